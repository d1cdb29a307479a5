"""The commands. Imports nothing heavy; each command imports what it uses."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from lockstep.errors import LockstepError, explain

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="A table, from its source to a watched prediction service, as one reproducible graph.",
)
contract_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The contract, expectations/rows.json.")
app.add_typer(contract_app, name="contract")
release_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What is live, .lockstep/live.json.")
app.add_typer(release_app, name="release")


def main() -> int:
    """Run the command line; an error of ours is one line and exit status 1."""
    try:
        return int(app(prog_name="lockstep", standalone_mode=False) or 0)  # typer.Exit comes back as its code
    except LockstepError as error:
        print(f"lockstep: {error}", file=sys.stderr)
        return 1
    except typer.Abort:
        return 130
    except OSError as error:
        if not explain(error):
            raise
        print(f"lockstep: {explain(error)}", file=sys.stderr)
        return 1
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        said = error.format_message()
        print(said if said.startswith("Usage:") else f"lockstep: {said} See `lockstep --help`.", file=sys.stderr)
        return 2


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(help="The new project's folder; must not exist, or be empty.")],
    table: Annotated[Path, typer.Option(help="The table: CSV, TSV, JSON Lines or Parquet, also gzipped.")],
    target: Annotated[str, typer.Option(help="The column to predict.")],
    problem: Annotated[str | None, typer.Option(help="binary, multiclass or regression; inferred without it.")] = None,
    ignore: Annotated[str, typer.Option(help="Columns that the model must not see: A,B.")] = "",
    time: Annotated[str | None, typer.Option(help="The column that orders rows; the split follows it.")] = None,
    group: Annotated[str | None, typer.Option(help="The column whose equal values stay together in a split.")] = None,
    id: Annotated[str | None, typer.Option("--id", help="The column that identifies a row.")] = None,
    names: Annotated[str, typer.Option(help="Column names, for a table without a header: A,B,C.")] = "",
    separator: Annotated[str | None, typer.Option(help="What parts cells in a text file.")] = None,
    header: Annotated[
        bool | None, typer.Option("--header/--no-header", help="Whether the first line names columns.")
    ] = None,
) -> None:
    """Look at a table and write a project for it, ready to run."""
    from lockstep import new as scaffold

    report = scaffold.create(
        folder,
        table=table,
        target=target,
        problem=problem,
        ignore=_split(ignore),
        time=time,
        group=group,
        id=id,
        names=_split(names),
        separator=separator,
        header=header,
    )
    print(scaffold.describe(report))


@app.command()
def refresh() -> None:
    """Take up a changed source: write data/source.lock anew."""
    from lockstep import params, project
    from lockstep.steps import lock

    root = project.find()
    print(lock.write(root, params.load(root)))


@app.command()
def check() -> None:
    """Check params.yaml and the contract; `make run` does it first."""
    from lockstep import contract, params, plugins, project
    from lockstep.contract import rules

    root = project.find()
    plugins.check(params.load(root))
    found = contract.load(root)
    rules.row_checks(found, set(found.columns))
    print(f"{params.FILE} and {contract.FILE} are consistent")


@app.command()
def status() -> None:
    """Say what is stale and why, what is packaged, and what is live."""
    from lockstep import project
    from lockstep.commands import status

    print(status.describe(project.find()))


@app.command()
def up(
    prefect_port: Annotated[int, typer.Option(min=1024, max=65535, help="The Prefect server's.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(min=1024, max=65535, help="The MLflow server's.")] = 5000,
    service_port: Annotated[int, typer.Option(min=1024, max=65535, help="The service's.")] = 3000,
    free_ports: Annotated[bool, typer.Option("--free-ports", help="Take free ports in place of taken ones.")] = False,
) -> None:
    """Run the Prefect server, the MLflow server, the service and scheduled flows, until Ctrl-C."""
    from lockstep import project
    from lockstep.commands import up

    wanted = {"prefect": prefect_port, "mlflow": mlflow_port, "service": service_port}
    up.up(project.find(), wanted, lambda line: print(line, flush=True), free_ports=free_ports)


@app.command()
def doctor() -> None:
    """Check environment, pins, ports, stores and disk; each problem with its cure."""
    from lockstep import project
    from lockstep.commands import doctor

    checks = doctor.examine(project.find())
    print("\n".join(str(check) for check in checks))
    raise typer.Exit(0 if all(check.passed for check in checks) else 1)


@app.command()
def publish(
    seconds: Annotated[float, typer.Option(help="How long it may take; a server that is down costs no more.")] = 60.0,
) -> None:
    """Bring MLflow up to what the stages wrote; twice changes nothing."""
    from lockstep import project, publishing

    print(publishing.publish(project.find(), seconds))


@app.command()
def summary() -> None:
    """Show the winner, its scores beside the baselines', and what to do next."""
    from lockstep import project
    from lockstep.commands import summary

    print(summary.describe(project.find()))


@app.command()
def rebuild() -> None:
    """Build the packaged bento again, to the recorded digest, if the store lacks it."""
    from lockstep import project, release

    root = project.find()
    if release.missing(root) or (release.is_packaged(root) and release.live(root) is None):
        print(f"rebuilt {release.rebuild(root).tag}")


@app.command()
def verify() -> None:
    """Compare every out, and DVC's cache, with dvc.lock, byte by byte; what is damaged leaves the cache."""
    from lockstep import project
    from lockstep.commands import verify

    found = verify.verify(project.find())
    print(found.said)
    raise typer.Exit(0 if found.passed else 1)


@app.command()
def trace(
    prediction: Annotated[str, typer.Argument(help="Its id, as the service gave it.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Follow a prediction back: release, MLflow run, commit, parameters, data, contract, versions."""
    from lockstep import digest, project
    from lockstep.commands import trace

    chain = trace.trace(project.find(), prediction)
    print(digest.dump_json(chain) if as_json else trace.describe(chain))


@app.command()
def replay(
    predictions: Annotated[list[str], typer.Argument(help="Their ids, as the service gave them.")],
    row: Annotated[Path | None, typer.Option(help="The row, as JSON, if private columns were only hashed.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Prove predictions: run the line that made their predictor again, and compare the answers bit by bit."""
    from lockstep import digest, project
    from lockstep.commands import replay

    proofs = replay.replay(project.find(), predictions, row, lambda line: None if as_json else print(line, flush=True))
    told = [proof.as_json() for proof in proofs]
    print(digest.dump_json({"predictions": told}) if as_json else "\n".join(map(str, proofs)))
    raise typer.Exit(0 if all(proof.holds for proof in proofs) else 1)


@app.command("explain")
def explain_prediction(
    prediction: Annotated[str, typer.Argument(help="Its id, as the service gave it.")],
    row: Annotated[Path | None, typer.Option(help="The row, as JSON, if private columns were only hashed.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say what each input added to the score behind a prediction."""
    from lockstep import digest, project
    from lockstep.commands import explain

    found = explain.explain(project.find(), prediction, row)
    print(digest.dump_json(found) if as_json else explain.describe(found))


@app.command()
def predict(
    table: Annotated[Path, typer.Argument(help="CSV, TSV, JSON Lines or Parquet, also gzipped.")],
    to: Annotated[Path, typer.Option(help="Where the answers go: .csv or .parquet.")],
) -> None:
    """Answer every row of a table by the live release; refused rows come out with a reason."""
    from lockstep import project
    from lockstep.commands import predict

    print(predict.predict(project.find(), table, to))


@release_app.command("promote")
def release_promote(
    name: Annotated[
        str, typer.Argument(help="A bento's tag or a release's digest; what was packaged last without it.")
    ] = "",
) -> None:
    """Make a release the live one; an earlier one too, which is how to go back."""
    from lockstep import project, release

    root = project.find()
    found = release.find(root, name or release.packaged(root))
    release.promote(root, found)
    print(f"{found.tag} is live; restart the service that follows it")


@contract_app.command("show")
def contract_show() -> None:
    """Print the contract as a table: columns, then rules."""
    from lockstep import contract, project
    from lockstep.contract import show

    print(show.describe(contract.load(project.find())))


@contract_app.command("check")
def contract_check(
    table: Annotated[Path | None, typer.Argument(help="A table to check against it; without, the file alone.")] = None,
) -> None:
    """Check the contract itself, and a table against it."""
    from lockstep import project
    from lockstep.commands import contract

    print(contract.check(project.find(), table))


@contract_app.command("suggest")
def contract_suggest() -> None:
    """Print the contract that the source's table suggests; nothing is overwritten."""
    from lockstep import project
    from lockstep.commands import contract

    print(contract.suggest(project.find()))


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())

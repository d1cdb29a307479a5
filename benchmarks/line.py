"""Time the line on the embedded default: from a fresh clone, with nothing to do, and beside one plain script.

Works on clones of what is committed, in a folder that is gone afterwards. The packages must be in the installer's
cache: one `make env` anywhere puts them there.
"""

import json
import os
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import measure

from lockstep import digest

FRESH_S, IDLE_S, STATUS_S, HELP_S, FIXED_S, BEHIND = 150, 2.5, 1.0, 0.4, 45, 0.015
COMMAND = "python benchmarks/line.py"
LINE = ["make", "--no-print-directory", "run"]


def main() -> None:
    """Measure each thing on clones, one after another."""
    parser = measure.arguments(__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of the line and of the plain script, side by side")
    given = parser.parse_args()
    with measure.scratch() as folder:
        first, second = measure.clone(folder / "first"), measure.clone(folder / "second")
        rows = [*fresh(first), *idle(first)]
        rows.append(same_lock(first, second))
        rows += [fixed_cost(first, given.runs), best_reachable(first)]
    measure.publish("line", rows, write=given.write)


def fresh(root: Path) -> list[measure.Row]:
    """Make environment and line in a clone that has neither."""
    env = measure.environment(None)
    python = f"PYTHON={Path(sys.base_prefix) / 'bin' / 'python3'}"
    made = measure.run(["make", "--no-print-directory", "env", python], root, env).seconds
    ran = measure.run([*LINE, python], root, env).seconds
    measure.say(f"fresh clone: environment {made:.1f} s, line {ran:.1f} s")
    return [
        measure.Row(
            "`make run` on a fresh clone, packages in the installer's cache",
            f"< {FRESH_S} s",
            f"{made + ran:.0f} s: environment {made:.0f}, line {ran:.0f}",
            made + ran < FRESH_S,
            COMMAND,
        )
    ]


def idle(root: Path) -> list[measure.Row]:
    """Time what people run again and again."""
    env = measure.environment(root / ".venv")
    asked: Sequence[tuple[str, float, int]] = (
        ("dvc repro", IDLE_S, 5),
        ("lockstep status", STATUS_S, 7),
        ("lockstep --help", HELP_S, 9),
    )
    rows = []
    for command, most, n in asked:
        found = measure.median_seconds(n, command.split(), root, env)
        what = f"`{command}`{' with nothing to do' if command == 'dvc repro' else ''}, median of {n}"
        rows.append(measure.Row(what, f"< {most} s", f"{found:.2f} s", found < most, COMMAND))
        measure.say(f"{command}: {found:.2f} s")
    return rows


def same_lock(first: Path, second: Path) -> measure.Row:
    """Run a second clone with one thread, the first having had all; compare their ``dvc.lock``."""
    (second / "dvc.lock").unlink(missing_ok=True)  # so that every byte of it is its own
    env = measure.environment(first / ".venv", LOCKSTEP_THREADS="1")
    measure.run(["dvc", "repro"], second, env)
    found = [digest.of_file(root / "dvc.lock") for root in (first, second)]
    measure.say(f"dvc.lock: {found[0][:12]} and {found[1][:12]}")
    n = len(os.sched_getaffinity(0))
    return measure.Row(
        f"`dvc.lock` of two clean clones, {n} threads and 1",
        "identical",
        f"{'identical' if found[0] == found[1] else 'different'}: `{found[0][:12]}`, `{found[1][:12]}`",
        found[0] == found[1],
        COMMAND,
    )


def fixed_cost(root: Path, n_runs: int) -> measure.Row:
    """Run the line from nothing and the plain script in turns; the scores of both must agree."""
    env, lines, plains = measure.environment(root / ".venv"), [], []
    for _ in range(n_runs):
        forget(root)
        lines.append(measure.run(["dvc", "repro"], root, env).seconds)
        plain = measure.run(["python", "benchmarks/plain.py"], root, env)
        plains.append(plain.seconds)
        compare(measure.read_json(root / "reports" / "metrics.json"), json.loads(plain.output.splitlines()[-1]))
        measure.say(f"line {lines[-1]:.1f} s, plain script {plains[-1]:.1f} s")
    cost = statistics.median(line - script for line, script in zip(lines, plains, strict=True))
    pairs = ", ".join(f"{line:.0f} - {script:.0f}" for line, script in zip(lines, plains, strict=True))
    what = f"the line over the same computation in one plain script, median of {n_runs} pairs"
    return measure.Row(what, f"< {FIXED_S} s", f"{cost:.0f} s", cost < FIXED_S, COMMAND, f"line - script: {pairs}")


def forget(root: Path) -> None:
    """Bring a clone back to where it was before its first run, but for its environment."""
    for name in ("models", "reports", ".dvc/cache", ".lockstep"):
        shutil.rmtree(root / name, ignore_errors=True)
    for file in (root / "data").glob("*.parquet"):
        file.unlink()


def compare(line: dict[str, float], plain: dict[str, float]) -> None:
    """Refuse to set times beside each other of what did not compute the same."""
    apart = {name for name in line.keys() | plain.keys() if not abs(line.get(name, 9) - plain.get(name, 9)) <= 1e-9}
    if apart:
        sys.exit(f"the plain script must score as the line does; they differ in {sorted(apart)[:5]}")


def best_reachable(root: Path) -> measure.Row:
    """Set the winner's score beside that of the very probabilities from which the test labels were drawn."""
    import pandas as pd
    from sklearn.metrics import roc_auc_score

    from lockstep import params
    from lockstep.sources import simulate

    drawn = simulate.draw(simulate.Settings(**params.load(root).source))
    answers = pd.read_parquet(root / "reports" / "predictions.parquet")
    left = drawn.rows["churned"].iloc[answers["row"]].to_numpy() == "yes"
    best = float(roc_auc_score(left, drawn.churn_probability[answers["row"]]))
    found = float(roc_auc_score(left, answers["probability_yes"]))
    return measure.Row(
        f"default data, ROC AUC on {len(answers)} test rows: the best reachable less the winner's",
        f"<= {BEHIND}",
        f"{best - found:.4f}: best reachable {best:.4f}, winner {found:.4f}",
        best - found <= BEHIND,
        COMMAND,
    )


if __name__ == "__main__":
    main()

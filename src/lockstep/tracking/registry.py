"""Bring the winner's model into MLflow: logged beside its run; registered, as the challenger, where it was accepted."""

import io
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockstep import bentos, contract, digest, pyfunc
from lockstep.contract import Contract
from lockstep.errors import IntegrityError
from lockstep.tracking.runs import Runs, write
from lockstep.tracking.wanted import ALIAS, KEY, Model

if TYPE_CHECKING:
    from mlflow import MlflowClient

N_PROVED = 200
"""Test rows that a model must answer as evaluate did, to the last bit, before it is shown to anybody."""


def log(runs: Runs, run: str, model: Model, root: Path) -> str:
    """Return the identity of the logged model, made unless it is there and whole, and tie it to the run."""
    client = runs.client
    known = client.search_logged_models([runs.experiment], filter_string=f"tags.`{KEY}` = '{model.key}'")
    found = min(known, key=lambda one: (one.status != "READY", one.creation_timestamp), default=None)
    if found is None:
        tags = {**model.tags, KEY: model.key}
        name = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in model.name)
        found = client.create_logged_model(runs.experiment, name, run, tags, dict(model.params), "lockstep")
    identity = str(found.model_id)
    if found.status != "READY":
        folder = save(model, root, runs.staging, run, identity)
        client.log_model_artifacts(identity, str(folder))
        client.finalize_logged_model(identity, "READY")
    runs.tie(run, identity, model.points)
    return identity


def register(client: "MlflowClient", run: str, identity: str, model: Model) -> str:
    """Return the version of the registered model that holds it, made if there was none."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    known = version_of(client, model)
    if known:
        return known
    made = client.create_model_version(
        model.name,
        f"models:/{identity}",
        run,
        tags={**model.tags, KEY: model.key},
        description=describe(contract.loads(model.predictor["contract.json"])),
        await_creation_for=0,
        model_id=identity,
    )
    return str(made.version)


def version_of(client: "MlflowClient", model: Model) -> str:
    """Return the version that holds the model, empty where there is none."""
    found = client.search_model_versions(f"name = '{model.name}' and tag.`{KEY}` = '{model.key}'")
    return str(min((int(one.version) for one in found), default=""))


def challenge(client: "MlflowClient", model: Model, version: str) -> bool:
    """Let the alias ``challenger`` name a version; return whether it did not already."""
    aliases = client.get_registered_model(model.name).aliases
    if str(aliases.get(ALIAS)) == version:
        return False
    client.set_registered_model_alias(model.name, ALIAS, version)
    return True


def save(model: Model, root: Path, staging: Path, run: str, identity: str) -> Path:
    """Write the model as MLflow stores it, and have it answer test rows as evaluate did.

    Raises
    ------
    IntegrityError
        It answers otherwise: the code was changed since.
    """
    import mlflow.pyfunc
    from mlflow.models import Model as Card

    package = root / "src" / "lockstep"
    card = digest.dump_json(pyfunc.card(model.digest, package)).encode()
    data = write(
        {pyfunc.CARD: card, **{f"{pyfunc.PREDICTOR}/{n}": c for n, c in model.predictor.items()}}, staging / "data"
    )
    code = write({name: (package / name).read_bytes() for name in pyfunc.shipped(package)}, staging / "lockstep")
    _prove(data, model, root)
    folder = write({}, staging / "model")
    with warnings.catch_warnings(action="ignore"):  # it wants an example of the rows, which may be private
        mlflow.pyfunc.save_model(
            folder,
            loader_module=pyfunc.__name__,
            data_path=str(data),
            code_paths=[str(code)],
            mlflow_model=Card(run_id=run, model_uuid=identity, model_id=identity),
            signature=_signature(model),
            pip_requirements=_requirements(root),
        )
    return folder


def describe(found: Contract) -> str:
    """Return the columns that the model reads as a table of Markdown."""
    rows = [
        f"| {name} | {column.kind} | {'yes' if column.required else 'no'} | {column.description} |"
        for name, column in found.columns.items()
        if column.is_input
    ]
    return "\n".join(["| column | kind | required | |", "|---|---|---|---|", *rows])[:5000]


def _prove(data: Path, model: Model, root: Path) -> None:
    import pandas as pd

    rows = pd.read_parquet(root / "data" / "test.parquet").head(N_PROVED)
    expected = pd.read_parquet(io.BytesIO(model.predictions)).head(N_PROVED)
    given = pyfunc._load_pyfunc(str(data)).predict(rows)
    names = [name for name in expected if name != "row"]
    if not given[names].reset_index(drop=True).equals(expected[names]):
        raise IntegrityError(
            "the model must answer the test rows as evaluate did; it answers otherwise. The code in src/lockstep was "
            "changed since: run `make run`, then `lockstep publish`."
        )


def _requirements(root: Path) -> list[str]:
    packages = (bentos.settings(root).get("python") or {}).get("packages") or []
    return bentos.pinned(root, ["mlflow", "pandas", *packages])


def _signature(model: Model) -> Any:
    """Return names and presence by the contract; cells are read by the contract, so MLflow lets any type through."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, Schema

    found = contract.loads(model.predictor["contract.json"])
    classes = json.loads(model.predictor["predictor.json"])["classes"]
    inputs = [
        ColSpec(AnyType(), name, required=column.is_input and column.required)
        for name, column in found.columns.items()
        if column.role not in ("target", "ignored")
    ]
    answers = ("string" if classes else "double", *(["double"] * len(classes)), "string")
    names = ("prediction", *(f"probability_{name}" for name in classes), "refused")
    outputs = [ColSpec(kind, name, required=name != "refused") for kind, name in zip(answers, names, strict=True)]
    return ModelSignature(Schema(inputs), Schema(outputs))

"""A project whose line is finished, made in a second, and what stands in MLflow of it."""

import contextlib
import hashlib
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import small_project
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from lockstep import digest, graph, ledger

REPOSITORY = Path(__file__).resolve().parents[2]
BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAMILIES = ("linear", "xgboost")
NAME = "churn"
OF_ONE_PUBLISHER = ("lockstep.owner", "mlflow.parentRunId", "mlflow.user")
"""Tags that tell who published, or name a run by MLflow's own identity."""

Trial = dict[str, Any]


def make(root: Path, problem: str = "binary", *, accepted: bool = True, n_trials: int = 3) -> Path:
    """Write a project as `dvc repro` leaves it, under git, its makers in the ledger."""
    small_project.make(root, problem, "linear", accepted=accepted)
    shutil.copy(REPOSITORY / "dvc.yaml", root)
    (root / "params.yaml").write_text(
        yaml.safe_dump({"problem": problem, "families": list(FAMILIES), "source": {"kind": "simulate"}, "seed": 7})
    )
    (root / ".gitignore").write_text("/.lockstep/\n/data/\n/models/\n/reports/\n__pycache__\n")
    write(root, "data/source.lock", "{}")
    for name in ("raw", "valid", "quarantine", "holdout", "features", "folds"):
        write(root, f"data/{name}.parquet", name)
    shutil.copy(root / "data/test.parquet", root / "data/train.parquet")
    for family in FAMILIES:
        search(root, family, [trial(number) for number in range(n_trials - 1)] + [trial(n_trials - 1, given_up=True)])
    shutil.copytree(root / "models/predictor", root / "models/baseline")
    write(root, "models/leaderboard.json", json.dumps([standing(root, family) for family in FAMILIES]))
    write(root, "reports/validation.html", "<p>valid</p>")
    write(root, "reports/validation.json", "{}")
    write(root, "reports/index.html", "<p>the report</p>")
    write(root, "reports/metrics.json", digest.dump_json({"n_rows": 100, "log_loss": 0.4, "linear_log_loss": 0.5}))
    for name in ("roc.csv", "roc.svg"):
        write(root, f"reports/plots/{name}", name)
    write(root, "models/bento.json", package(root))
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "The project"]):
        subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *words], cwd=root, check=True)
    record(root)
    return root


def trial(number: int, *, given_up: bool = False) -> Trial:
    """Return a trial as ``trials.json`` holds it."""
    losses = [0.5 + number / 100, 0.4 + number / 100][: 1 if given_up else 2]
    return {
        "number": number,
        "settings": {"strength": 0.1 * (number + 1), "kind": "l2"},
        "losses": losses,
        "rounds": [0] * len(losses),
        "complete": not given_up,
        "loss": sum(losses) / len(losses),
    }


def search(root: Path, family: str, trials: Sequence[Trial], study: str = "") -> None:
    """Write what tune writes."""
    best = min((one for one in trials if one["complete"] and one["loss"] is not None), key=lambda one: one["loss"])
    key = study or hashlib.sha256(f"{root.name} {family}".encode()).hexdigest()
    folder = f"models/candidates/{family}"
    write(root, f"{folder}/trials.json", digest.dump_json(list(trials)))
    write(root, f"{folder}/best.json", digest.dump_json({**best, "repeatable": True, "study": key}))
    write(root, f"{folder}/oof.parquet", f"{family} {len(trials)}")


def standing(root: Path, family: str) -> dict[str, Any]:
    """Return a family's entry in the leaderboard."""
    best = json.loads((root / "models/candidates" / family / "best.json").read_text())
    return {"family": family, "loss": best["loss"], "losses": best["losses"], "chosen": family == "linear"}


def package(root: Path) -> str:
    """Return what package records of the predictor."""
    predictor = digest.of_file(root / "models/predictor/manifest.json")
    return digest.dump_json({"predictor": predictor, "release": "f" * 64, "bento": f"{NAME}:{'f' * 16}"})


def write(root: Path, path: str, content: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content)


def record(root: Path) -> None:
    """Enter what lies here into ``dvc.lock``, as DVC does, and into the ledger, as stages do."""
    stages = graph.load(root)
    entries = {}
    for stage in stages:
        deps, outs = ([path for path in paths if (root / path).exists()] for paths in (stage.deps, stage.outs))
        params = {"params.yaml": {"problem": "binary", "seed": 7}}
        entries[stage.name] = {
            "cmd": stage.command,
            "deps": [{"path": path, "md5": graph.digest(root / path)} for path in deps],
            "params": params,
            "outs": [{"path": path, "md5": graph.digest(root / path)} for path in outs],
        }
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": entries}))
    for stage in stages:
        ledger.write(root, stage.name, BEGAN, 12.5)


def uri(root: Path) -> str:
    return f"sqlite:///{root / '.lockstep/mlflow.db'}"


def client(root: Path) -> MlflowClient:
    return MlflowClient(uri(root), uri(root))


def runs(of: MlflowClient, kind: str = "") -> list[Run]:
    """Return the runs of the project's experiment, the deleted ones too, oldest first."""
    experiment = of.get_experiment_by_name(NAME)
    wanted = f"tags.lockstep.kind = '{kind}'" if kind else ""
    order = ["attributes.start_time ASC", "tags.mlflow.runName ASC"]
    return list(of.search_runs([experiment.experiment_id], wanted, ViewType.ALL, 1000, order)) if experiment else []


def everything(of: MlflowClient) -> dict[str, Any]:
    """Return all that stands in MLflow of the project, without the identities that MLflow gives it."""
    experiment = of.get_experiment_by_name(NAME)
    found = runs(of)
    names = {run.info.run_id: f"{run.info.run_name} {run.data.tags['lockstep.content']}" for run in found}
    models = of.search_logged_models([experiment.experiment_id])
    versions = of.search_model_versions(f"name = '{NAME}'")
    aliases = of.get_registered_model(NAME).aliases if versions else {}
    return {
        "experiment": sorted(name for name in experiment.tags if not name.startswith("mlflow.experiment.")),
        "runs": sorted((_run(of, run, names) for run in found), key=lambda run: str(run["name"])),
        "models": sorted((names[model.source_run_id], str(model.status), dict(model.params)) for model in models),
        "model metrics": sorted((m.key, m.value) for model in models for m in model.metrics or []),
        "versions": sorted((int(one.version), names[one.run_id], one.tags) for one in versions),
        "aliases": {alias: str(version) for alias, version in aliases.items()},
    }


def _run(of: MlflowClient, run: Run, names: Mapping[str, str]) -> dict[str, Any]:
    identity = run.info.run_id
    kept = {name: value for name, value in run.data.tags.items() if name not in OF_ONE_PUBLISHER}
    history = [of.get_metric_history(identity, name) for name in sorted(run.data.metrics)]
    return {
        "name": names[identity],
        "status": run.info.status,
        "began": run.info.start_time,
        "ended": run.info.end_time,
        "parent": names.get(run.data.tags.get("mlflow.parentRunId", ""), ""),
        "tags": kept,
        "params": run.data.params,
        "metrics": sorted((at.key, at.step, at.timestamp, at.value) for values in history for at in values),
        "data": sorted((put.dataset.name, put.dataset.digest) for put in run.inputs.dataset_inputs),
        "models": len(run.outputs.model_outputs) if run.outputs else 0,
        "artifacts": sorted(artifacts(of, identity)),
    }


def artifacts(of: MlflowClient, run: str, path: str = "") -> list[str]:
    """Return the paths of all artifacts of a run."""
    found = of.list_artifacts(run, path or None)
    return [name for one in found for name in (artifacts(of, run, one.path) if one.is_dir else [one.path])]


def copy(root: Path, to: Path) -> Path:
    return Path(shutil.copytree(root, to, symlinks=True))


def refit(root: Path) -> None:
    """Fit another predictor of the same family, judge it, and package it."""
    rows = small_project.draw(300, seed=4)
    table = small_project.read(rows, small_project.contracts.load(root)).rows
    small_project.save_predictor(root, table[:150], "binary", "linear")
    small_project.evaluate(root, table[150:])
    write(root, "models/leaderboard.json", json.dumps([standing(root, family) for family in FAMILIES]))
    write(root, "models/bento.json", package(root))


def spoil_predictions(root: Path) -> None:
    """Let evaluate have found something else than the predictor answers."""
    path = root / "reports/predictions.parquet"
    found = pd.read_parquet(path)
    found.iloc[3, -1] = np.nextafter(found.iloc[3, -1], 1.0)
    found.to_parquet(path)
    record(root)


def replace(source: Path, target: Path) -> None:
    """Put a file or a folder in the place of another."""
    if source.is_dir():
        shutil.rmtree(target)
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def count(root: Path) -> list[str]:
    """Return the names of the runs that stand in the file, whatever else is being written."""
    with contextlib.closing(sqlite3.connect(root / ".lockstep/mlflow.db", timeout=20)) as database:
        return [name for (name,) in database.execute("SELECT name FROM runs")]

"""Search the settings of one family."""

import math
import platform
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_info

from lockstep import alive, digest, graph, plugins
from lockstep.errors import ProjectError
from lockstep.journal import Journal, Study, key_of
from lockstep.params import Params
from lockstep.stages import train
from lockstep.stages.files import empty_folder, n_threads, n_workers, read_table, write_json, write_table
from lockstep.steps.judge import Judge, encode_folds, mean_loss
from lockstep.steps.tune import Search, search
from lockstep.trial import Trial


def run(root: Path, params: Params, family: str) -> None:
    """Features and folds -> ``models/candidates/<family>/``: every trial, the best, its predictions out of fold."""
    module, files = plugins.load("families", family), digests(root, family)
    training = train.load(root, params)
    folds = encode_folds(
        training.features,
        training.y,
        read_table(root / "data" / "folds.parquet"),
        training.contract,
        training.feature_names,
        len(training.classes),
    )
    if digests(root, family) != files:  # else the journal would name other data than what was read
        raise ProjectError("data, contract or code changed while the search read them; run `dvc repro` again.")
    workers = min(n_workers(), params.tune.batch)
    threads = max(1, n_threads() // workers)
    judge = Judge(module, folds, mean_loss(training.problem), len(training.y), params.seed, threads)
    study = study_of(params, family, len(training.classes), files)
    with Journal(root, study, lambda line: _say(family, line)) as journal:
        found = search(judge, params.tune, journal, workers=workers, report=lambda line: _say(family, line))
        _write(found, study.key, training, empty_folder(root / "models" / "candidates" / family))
        journal.forget_others()


def digests(root: Path, family: str) -> dict[str, str]:
    """Return the SHA-256 of each file on which this stage depends by ``dvc.yaml``: data, contract, code, packages."""
    listed = [root / name for name in graph.stage(root, f"tune@{family}").deps]
    files = [file for path in listed for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    return {file.relative_to(root).as_posix(): digest.of_file(file) for file in files}


def study_of(params: Params, family: str, n_classes: int, files: Mapping[str, str]) -> Study:
    """Return what is searched for; more trials or seconds go on with the study that fewer began."""
    module = plugins.load("families", family)
    key = key_of(
        {
            "family": family,
            "space": {name: repr(drawn) for name, drawn in module.space(n_classes).items()},
            "defaults": module.defaults(n_classes),
            "problem": params.problem,
            "seed": params.seed,
            "batch": params.tune.batch,
            "files": files,
        }
    )
    wanted = params.tune.trials if params.tune.seconds is None else None
    return Study(key, family, wanted, params.tune.batch, _machine(), alive.me())


def _machine() -> str:
    kernels = {str(library.get("architecture")) for library in threadpool_info() if library["user_api"] == "blas"}
    python = ".".join(platform.python_version_tuple()[:2])
    return " ".join([platform.machine(), *sorted(kernels), "Python", python])


def _say(family: str, line: str) -> None:
    print(f"{family}: {line}", flush=True)


def _write(found: Search, study: str, training: train.Training, folder: Path) -> None:
    write_json([_entry(trial) for trial in found.trials], folder / "trials.json")
    best = {**_entry(found.best), "repeatable": found.repeatable, "study": study}
    write_json(best, folder / "best.json")
    outputs = found.out_of_fold.reshape(len(training.y), -1)
    write_table(pd.DataFrame(outputs, index=training.features.index, columns=_names(training)), folder / "oof.parquet")


def _entry(trial: Trial) -> dict[str, object]:
    """Return a trial as JSON that anyone reads: a loss that is not finite is null."""
    losses = [loss if math.isfinite(loss) else None for loss in trial.losses]
    return {**trial.as_json(), "losses": losses, "loss": trial.loss if math.isfinite(trial.loss) else None}


def _names(training: train.Training) -> list[str]:
    return [f"probability_{name}" for name in training.classes] or ["prediction"]

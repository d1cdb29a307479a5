"""Search the settings of one family."""

from pathlib import Path

import pandas as pd

from lockstep import plugins
from lockstep.params import Params
from lockstep.stages import train
from lockstep.stages.files import empty_folder, n_threads, read_table, write_json, write_table
from lockstep.steps.tune import Judge, Trial, encode_folds, mean_loss, search


def run(root: Path, params: Params, family: str) -> None:
    """Features and folds -> ``models/candidates/<family>/``: every trial, the best, its predictions out of fold."""
    module = plugins.load("families", family)
    training = train.load(root, params)
    folds = encode_folds(
        training.features,
        training.y,
        read_table(root / "data" / "folds.parquet"),
        training.contract,
        training.feature_names,
        len(training.classes),
    )
    judge = Judge(module, folds, mean_loss(training.problem), len(training.y), params.seed, n_threads())
    found = search(module, judge, params.tune, lambda line: print(f"{family}: {line}", flush=True))

    folder = empty_folder(root / "models" / "candidates" / family)
    write_json([_entry(trial) for trial in found.trials], folder / "trials.json")
    write_json({**_entry(found.best), "repeatable": found.repeatable}, folder / "best.json")
    outputs = found.out_of_fold.reshape(len(training.y), -1)
    write_table(pd.DataFrame(outputs, index=training.features.index, columns=_names(training)), folder / "oof.parquet")


def _entry(trial: Trial) -> dict[str, object]:
    return {
        "number": trial.number,
        "settings": trial.settings,
        "losses": list(trial.losses),
        "rounds": list(trial.rounds),
        "complete": trial.complete,
        "loss": trial.loss,
    }


def _names(training: train.Training) -> list[str]:
    return [f"probability_{name}" for name in training.classes] or ["prediction"]

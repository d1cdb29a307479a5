"""Choose the winner among the families, fit it on all of train, and write what serves it."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep import encoder, features, plugins, predictor
from lockstep.families import Task
from lockstep.params import Params
from lockstep.predictor import Card
from lockstep.stages import train
from lockstep.stages.files import n_threads, read_json, read_table, write_json
from lockstep.steps.fit import Candidate, check_engine, choose, leaderboard, refit

BASELINE = "linear"


def run(root: Path, params: Params) -> None:
    """Candidates and features -> ``models/predictor/``, ``models/baseline/``, ``models/leaderboard.json``."""
    _drop_left_families(root, params.families)
    training = train.load(root, params)
    standings = choose([_candidate(root, family) for family in params.families])
    winner = next(standing.candidate for standing in standings if standing.chosen)
    write_json(leaderboard(standings), root / "models" / "leaderboard.json")

    encoding = encoder.fit(training.features, training.contract, training.feature_names)
    X = encoding.encode_table(training.features)
    out_of_fold = read_table(root / "models" / "candidates" / winner.family / "oof.parquet").to_numpy()
    _write(root, "predictor", winner, training, encoding, X, params, out_of_fold)
    plain = plugins.load("families", BASELINE).defaults(len(training.classes))
    _write(root, "baseline", Candidate(BASELINE, 0, plain, (), (), (), True), training, encoding, X, params)
    print(f"{winner.family} is chosen: loss {winner.loss:.5g}")


def _write(
    root: Path,
    name: str,
    candidate: Candidate,
    training: train.Training,
    encoding: encoder.Encoder,
    X: NDArray[np.float64],
    params: Params,
    out_of_fold: NDArray[np.float64] | None = None,
) -> None:
    """Fit on all of train and write the predictor; its decision is chosen out of fold (the baseline's: in sample)."""
    family = plugins.load("families", candidate.family)
    task = Task(len(training.classes), encoding.parts)
    fitted = refit(family, candidate, X, training.y, task, seed=params.seed, threads=n_threads())
    decision = _decide(training, fitted.predict(X) if out_of_fold is None else out_of_fold, params)
    card = Card(params.problem, candidate.family, training.classes, decision, dict(candidate.settings))
    folder = root / "models" / name
    shutil.rmtree(folder, ignore_errors=True)
    predictor.save(folder, card, training.contract, encoding, (root / features.FILE).read_text("utf-8"), fitted)
    check_engine(family.load(folder, task), fitted, X, family.TOLERANCE, candidate.family)


def _decide(training: train.Training, output: NDArray[np.float64], params: Params) -> dict[str, float]:
    """Choose the decision on predictions for train; never on test."""
    output = output if training.classes else output.reshape(len(output))
    judged = ~np.isnan(output.reshape(len(output), -1)).any(axis=1)
    decision: dict[str, Any] = training.problem.choose(training.y[judged], output[judged], params.evaluate.cost)
    return decision


def _candidate(root: Path, family: str) -> Candidate:
    best, trials = (read_json(root / "models" / "candidates" / family / f"{name}.json") for name in ("best", "trials"))
    return Candidate(
        family,
        plugins.load("families", family).SIMPLICITY,
        best["settings"],
        tuple(best["losses"]),
        tuple(best["rounds"]),
        tuple(trial["loss"] if trial["complete"] else None for trial in trials),
        best["repeatable"],
    )


def _drop_left_families(root: Path, families: tuple[str, ...]) -> None:
    for folder in sorted((root / "models" / "candidates").iterdir()):
        if folder.name not in families:
            shutil.rmtree(folder)

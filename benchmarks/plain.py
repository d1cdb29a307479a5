"""Do in one plain script what the line does with this project's own table, and print the scores as JSON.

The same rows, split, search, fit and scores, by the same functions, in one process: no file between, no Great
Expectations, no DVC, no plots and importances, no bento. ``line.py`` compares the two, and checks that scores agree.
"""

import json
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import measure
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lockstep import contract as contracts
from lockstep import encoder, features, params, plugins
from lockstep.contract import Contract
from lockstep.contract.read import read
from lockstep.families import Array, Task
from lockstep.journal import InMemory
from lockstep.params import Params
from lockstep.sources import simulate
from lockstep.stages.files import n_threads, n_workers
from lockstep.steps.evaluate import Judged, resample, score
from lockstep.steps.fit import Candidate, choose, refit
from lockstep.steps.judge import Judge, encode_folds, mean_loss
from lockstep.steps.split import Division, divide
from lockstep.steps.tune import Search, search


@dataclass(frozen=True)
class Learned:
    """What was fitted, as far as it is scored."""

    problem: ModuleType
    n_classes: int
    y: NDArray[Any]
    y_test: NDArray[Any]
    out_of_fold: Array
    output: Array
    linear_on_train: Array
    linear_output: Array


def main() -> None:
    """Draw, clean, split, search, fit, score."""
    settings, contract = params.load(measure.ROOT), contracts.load(measure.ROOT)
    raw = simulate.read(simulate.Settings(**settings.source), measure.ROOT)
    rows = clean(read(raw, contract).rows)
    parts = divide(rows, contract, settings.split, seed=settings.seed)
    print(json.dumps(judged(learned(parts, contract, settings), settings)))


def clean(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that keep the contract, by conditions written down once more."""
    kept = (
        rows["tenure_months"].between(0, 600)
        & rows["monthly_charge"].between(0, 500)
        & ~(rows["total_charges"] < 0)
        & ~(rows["usage_gb"] < 0)
        & rows["support_contacts"].between(0, 100)
        & rows["contract"].isin(["monthly", "one year", "two years"])
    )
    return rows[kept]


def learned(parts: Division, contract: Contract, settings: Params) -> Learned:
    """Search every family, choose one, fit it and the linear baseline on all of train."""
    problem = plugins.load("problems", settings.problem)
    own = features.load((measure.ROOT / features.FILE).read_text("utf-8"), contract)
    train, test = (rows.assign(**own.of_table(rows)) for rows in (parts.train, parts.test))
    classes = problem.classes(train[contract.target], contract.columns[contract.target].classes)
    y, y_test = (problem.encode_target(rows[contract.target], classes) for rows in (train, test))
    folds = encode_folds(train, y, parts.folds, contract, own.names, len(classes))
    found: dict[str, Search] = {}
    workers = min(n_workers(), settings.tune.batch)
    threads = max(1, n_threads() // workers)
    for name in settings.families:
        judge = Judge(plugins.load("families", name), folds, mean_loss(problem), len(y), settings.seed, threads)
        found[name] = search(judge, settings.tune, InMemory(), workers=workers, report=_say_nothing)
    standings = choose([candidate(name, each) for name, each in found.items()])
    winner = next(standing.candidate for standing in standings if standing.chosen)
    plain = Candidate("linear", 0, plugins.load("families", "linear").defaults(len(classes)), (), (), (), True)
    encoding = encoder.fit(train, contract, own.names)
    X, X_test, task = encoding.encode_table(train), encoding.encode_table(test), Task(len(classes), encoding.parts)
    best, linear = (
        refit(plugins.load("families", each.family), each, X, y, task, seed=settings.seed, threads=n_threads())
        for each in (winner, plain)
    )
    return Learned(
        problem,
        len(classes),
        y,
        y_test,
        found[winner.family].out_of_fold,
        best.predict(X_test),
        linear.predict(X),
        linear.predict(X_test),
    )


def candidate(name: str, found: Search) -> Candidate:
    """Return the best of a family's search."""
    best = found.best
    return Candidate(name, plugins.load("families", name).SIMPLICITY, best.settings, best.losses, best.rounds, (), True)


def judged(model: Learned, settings: Params) -> dict[str, float]:
    """Score the winner and the linear baseline on test, each with its own threshold, and the trivial one."""
    y, y_test, problem, cost = model.y, model.y_test, model.problem, settings.evaluate.cost
    known = ~np.isnan(model.out_of_fold).any(axis=1)
    constant = problem.trivial(y, model.n_classes)
    seen = {
        "": (y[known], model.out_of_fold[known], model.output),
        "linear_": (y, model.linear_on_train, model.linear_output),
    }
    models = {
        name: Judged(output, problem.decide(output, problem.choose(truth, before, cost)))
        for name, (truth, before, output) in seen.items()
    }
    alike = np.tile(constant, (len(y_test), 1))
    models["trivial_"] = Judged(alike, np.full(len(y_test), np.argmax(constant)) if model.n_classes else alike)
    drawn = resample(len(y_test), settings.evaluate.resamples, seed=settings.seed)
    found: dict[str, float] = score(problem, y_test, models, drawn)
    return found


def _say_nothing(line: str) -> None:
    """Take a line of progress."""


if __name__ == "__main__":
    main()

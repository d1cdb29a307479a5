"""One model of each family on each problem, fitted once, for every check of this folder."""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lockstep import plugins
from lockstep.encoder import Part
from lockstep.families import Engine, Fitted, Task

N_TRAIN, N_TEST = 800, 2_000


@dataclass(frozen=True)
class Case:
    """A family on a problem, with data to learn from and to be judged on."""

    family: ModuleType
    problem: ModuleType
    task: Task
    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray

    @property
    def defaults(self) -> dict[str, Any]:
        """The family's own settings for this task."""
        return self.family.defaults(self.task.n_classes)

    def fit(self, *, threads: int = 1, valid: bool = False, **settings: Any) -> Fitted:
        """Fit with the defaults, ``settings`` over them; few rounds unless stopped early."""
        values = {**self.defaults, "rounds": 12, **settings}
        if valid:
            del values["rounds"]
        return self.family.fit(
            self.X,
            self.y,
            self.task,
            values,
            seed=5,
            threads=threads,
            valid=(self.X_test[:600], self.y_test[:600]) if valid else None,
        )


@dataclass(frozen=True)
class Learned:
    """A fitted model and the engine that serves it."""

    case: Case
    fitted: Fitted
    engine: Engine
    folder: Path


@pytest.fixture(scope="session", params=plugins.names("families"))
def family(request):
    return request.param


@pytest.fixture(scope="session", params=plugins.names("problems"))
def problem(request):
    return request.param


@pytest.fixture(scope="session")
def case(family, problem):
    problem, family = plugins.load("problems", problem), plugins.load("families", family)
    train, test = table(N_TRAIN, seed=1), table(N_TEST, seed=2)
    test.loc[::9, "seen"] = 3.0  # a code that training never saw
    target, target_test = (target_of(rows, problem) for rows in (train, test))
    classes = problem.classes(target, ())
    return Case(
        family,
        problem,
        Task(len(classes), PARTS),
        train.to_numpy(),
        problem.encode_target(target, classes),
        test.to_numpy(),
        problem.encode_target(target_test, classes),
    )


@pytest.fixture(scope="session")
def learned(case, tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    fitted = case.fit(valid=True)
    fitted.save(folder)
    return Learned(case, fitted, case.family.load(folder, case.task), folder)


PARTS = (
    *(Part(name, name, "number") for name in ("strong", "holey", "curved", "noise", "flag")),
    Part("seen", "seen", "category", vocabulary=("a", "b", "c")),
    Part("rare", "rare", "category", vocabulary=("a", "b"), other_seen=True),
)


def table(n_rows, *, seed):
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({name: rng.normal(size=n_rows) for name in ("strong", "holey", "curved", "noise")})
    rows["flag"] = (rng.random(n_rows) < 0.3).astype(float)
    rows["seen"] = rng.integers(0, 3, n_rows).astype(float)
    rows["rare"] = rng.choice([0.0, 1.0, 2.0], n_rows, p=[0.6, 0.3, 0.1])
    for name in ("holey", "flag", "seen", "rare"):
        rows.loc[rng.random(n_rows) < 0.15, name] = np.nan
    return rows


def target_of(rows, problem):
    rng = np.random.default_rng(len(rows))
    signal = (
        2 * rows["strong"]
        + rows["holey"].fillna(-1)
        + rows["curved"].abs()
        + 1.5 * (rows["seen"] == 1)
        + rng.normal(scale=0.7, size=len(rows))
    )
    if "number" in problem.KINDS:
        return 100 + 10 * signal
    cuts = [0.5] if problem.__name__.endswith("binary") else [-1.0, 1.5]
    return pd.Series(np.array(["low", "middle", "top"])[np.digitize(signal, cuts)], dtype="str")

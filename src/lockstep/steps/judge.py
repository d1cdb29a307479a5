"""Judge settings of a family on train's folds."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lockstep import encoder
from lockstep.contract import Contract
from lockstep.errors import FitError
from lockstep.families import Array, Settings, Task
from lockstep.steps.split import fold_masks
from lockstep.trial import Trial

HOPELESS = 0.005
"""A trial worse than the best on each of its first folds, by this share on average, is not judged on the others."""


@dataclass(frozen=True)
class Fold:
    """One fold, encoded: the encoder is learned on the fold's own training part."""

    task: Task
    X: Array
    y: NDArray[Any]
    X_valid: Array
    y_valid: NDArray[Any]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class Judged:
    """A trial, and its predictions out of fold if it is complete and better than its rival."""

    trial: Trial
    out_of_fold: Array | None = None
    """Output for each row of train; NaN where a row is never validated on."""


class Stopped(Exception):
    """Ends a judgement between two folds, because the search is over."""


@dataclass(frozen=True)
class Judge:
    """Judges settings on the folds; several at the same time, if asked from several threads."""

    family: ModuleType
    folds: list[Fold]
    loss: Callable[[NDArray[Any], Array], float]
    n_rows: int
    seed: int
    threads: int
    """Threads of one fit."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set where nobody waits for the answer any more."""

    def judge(self, number: int, settings: Settings, rival: Trial | None) -> Judged:
        """Judge on fold after fold; give up where ``rival`` is out of reach, or a loss is not finite.

        Raises
        ------
        Stopped
            The search ended meanwhile.
        """
        losses: list[float] = []
        rounds: list[int] = []
        outputs: list[Array] = []
        for fold in self.folds:
            if self.stop.is_set():
                raise Stopped
            output, n_rounds = self._output(fold, settings)
            outputs.append(output)
            losses.append(self.loss(fold.y_valid, output))
            rounds.append(n_rounds)
            if not np.isfinite(losses[-1]) or (rival and len(losses) < len(self.folds) and _hopeless(losses, rival)):
                return Judged(Trial(number, settings, tuple(losses), tuple(rounds), complete=False))
        trial = Trial(number, settings, tuple(losses), tuple(rounds), complete=True)
        return Judged(trial, self._gather(outputs) if rival is None or trial.loss < rival.loss else None)

    def _output(self, fold: Fold, settings: Settings) -> tuple[Array, int]:
        fitted = self.family.fit(
            fold.X,
            fold.y,
            fold.task,
            settings,
            seed=self.seed,
            threads=self.threads,
            valid=(fold.X_valid, fold.y_valid),
        )
        return fitted.predict(fold.X_valid), fitted.rounds or 0

    def _gather(self, outputs: list[Array]) -> Array:
        gathered = np.full((self.n_rows, *outputs[0].shape[1:]), np.nan)
        for fold, output in zip(self.folds, outputs, strict=True):
            gathered[fold.valid] = output
        return gathered


def encode_folds(
    features: pd.DataFrame,
    y: NDArray[Any],
    folds: pd.DataFrame,
    contract: Contract,
    feature_names: tuple[str, ...],
    n_classes: int,
) -> list[Fold]:
    """Encode each fold by an encoder learned on its training part.

    Raises
    ------
    FitError
        A fold's training part lacks a class.
    """
    encoded = []
    for learn, valid in fold_masks(folds):
        lacking = n_classes - len(np.unique(y[learn])) if n_classes else 0
        if lacking > 0:
            raise FitError(
                f"every fold must learn from all {n_classes} classes; one lacks {lacking}. "
                "Lower split.folds, or merge rare classes."
            )
        fitted = encoder.fit(features[learn], contract, feature_names)
        encoded.append(
            Fold(
                Task(n_classes, fitted.parts),
                fitted.encode_table(features[learn]),
                y[learn],
                fitted.encode_table(features[valid]),
                y[valid],
                valid,
            )
        )
    return encoded


def mean_loss(problem: ModuleType) -> Callable[[NDArray[Any], Array], float]:
    """Return the loss of a fold: mean log loss, or the root of the mean squared error."""
    if problem.__name__.endswith("regression"):
        return lambda y, output: float(np.sqrt(np.mean(problem.losses(y, output))))
    return lambda y, output: float(np.mean(problem.losses(y, output)))


def _hopeless(losses: list[float], rival: Trial) -> bool:
    excess = np.array(losses) - np.array(rival.losses[: len(losses)])
    return len(losses) >= 2 and bool((excess > 0).all()) and excess.mean() > HOPELESS * abs(rival.loss)

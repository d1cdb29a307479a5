"""Search the settings of one family by cross-validation on train's folds, deterministically.

Trials are asked for in batches of fixed size by a sampler seeded from (seed, batch), judged, and told in their order;
what one batch may know of another is only what was told before it began. So the list of trials depends on data, folds,
space and seed, and not on the number of threads.
"""

import time
from collections.abc import Callable, Iterator, Mapping
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
from lockstep.params import Tune
from lockstep.steps.split import fold_masks

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
class Trial:
    """One setting and how it did; ``losses`` is shorter than the folds where it was given up."""

    number: int
    settings: Settings
    losses: tuple[float, ...]
    rounds: tuple[int, ...]
    complete: bool

    @property
    def loss(self) -> float:
        """Mean loss over the folds that were judged."""
        return float(np.mean(self.losses))


@dataclass(frozen=True)
class Search:
    """All trials of a family, the best of the complete ones, and its predictions out of fold."""

    trials: tuple[Trial, ...]
    best: Trial
    out_of_fold: Array
    """Output for each row of train; NaN where a row is never validated on."""
    repeatable: bool


@dataclass
class Judge:
    """Judges settings on the folds, and keeps the best complete trial with its predictions."""

    family: ModuleType
    folds: list[Fold]
    loss: Callable[[NDArray[Any], Array], float]
    n_rows: int
    seed: int
    threads: int
    best: Trial | None = None
    out_of_fold: Array = field(default_factory=lambda: np.empty(0))

    def judge(self, number: int, settings: Settings, rival: Trial | None) -> Trial:
        """Judge on fold after fold; give up where ``rival`` is out of reach."""
        losses: list[float] = []
        rounds: list[int] = []
        outputs: list[Array] = []
        for fold in self.folds:
            fitted = self.family.fit(
                fold.X,
                fold.y,
                fold.task,
                settings,
                seed=self.seed,
                threads=self.threads,
                valid=(fold.X_valid, fold.y_valid),
            )
            outputs.append(fitted.predict(fold.X_valid))
            losses.append(self.loss(fold.y_valid, outputs[-1]))
            rounds.append(fitted.rounds or 0)
            if rival and len(losses) < len(self.folds) and _hopeless(losses, rival):
                return Trial(number, settings, tuple(losses), tuple(rounds), complete=False)
        trial = Trial(number, settings, tuple(losses), tuple(rounds), complete=True)
        if self.best is None or trial.loss < self.best.loss:
            self.best, self.out_of_fold = trial, self._gather(outputs)
        return trial

    def _gather(self, outputs: list[Array]) -> Array:
        gathered = np.full((self.n_rows, *outputs[0].shape[1:]), np.nan)
        for fold, output in zip(self.folds, outputs, strict=True):
            gathered[fold.valid] = output
        return gathered


class Clock:
    """Knows when the seconds of a search are used up; never, where trials are counted."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def is_over(self) -> bool:
        """Whether the search should end."""
        return self._end is not None and time.monotonic() >= self._end


def search(family: ModuleType, judge: Judge, settings: Tune, report: Callable[[str], None]) -> Search:
    """Try the family's defaults, then what the sampler asks for, until trials or seconds are used up.

    ``report`` receives a line of progress a trial.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    n_classes = judge.folds[0].task.n_classes
    space, defaults = family.space(n_classes), family.defaults(n_classes)
    study = optuna.create_study(direction="minimize")
    trials: list[Trial] = []
    clock = Clock(settings.seconds)
    for asked in _batches(study, space, settings, judge.seed, clock):
        rival = judge.best
        judged: list[Trial] = []
        for trial in asked:
            number = len(trials) + len(judged)
            judged.append(judge.judge(number, _rounded(trial.params if trial else defaults), rival))
            report(_progress(judged[-1], judge.best, settings))
            if clock.is_over():
                break
        for trial, result in zip(asked, judged, strict=False):  # a batch may be cut by the clock
            if trial:
                study.tell(trial, _projected(result, rival))
            else:
                first = optuna.trial.create_trial(params=defaults, distributions=space, value=result.loss)
                study.add_trial(first)
        trials += judged
    if judge.best is None:
        raise FitError("the search must complete a trial; none did.")
    return Search(tuple(trials), judge.best, judge.out_of_fold, repeatable=settings.seconds is None)


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


def _batches(study: Any, space: Mapping[str, Any], settings: Tune, seed: int, clock: Clock) -> Iterator[list[Any]]:
    """Yield batches of asked trials; the first is the defaults alone, asked of nobody."""
    import optuna

    yield [None]
    done = batch = 1
    while not clock.is_over() if settings.seconds else done < settings.trials:
        size = settings.batch if settings.seconds else min(settings.batch, settings.trials - done)
        entropy = int(np.random.SeedSequence([seed, batch]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(seed=entropy, n_startup_trials=6)
        yield [study.ask(fixed_distributions=dict(space)) for _ in range(size)]
        done, batch = done + size, batch + 1


def _hopeless(losses: list[float], rival: Trial) -> bool:
    excess = np.array(losses) - np.array(rival.losses[: len(losses)])
    return len(losses) >= 2 and bool((excess > 0).all()) and excess.mean() > HOPELESS * abs(rival.loss)


def _projected(trial: Trial, rival: Trial | None) -> float:
    """Return the loss; of a trial given up, what it would be if the other folds went as the first."""
    if trial.complete or rival is None:
        return trial.loss
    return rival.loss * trial.loss / float(np.mean(rival.losses[: len(trial.losses)]))


def _rounded(settings: Mapping[str, Any]) -> Settings:
    """Cut floats to six digits: what a person reads in a file is what was fitted, on any machine."""
    return {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in settings.items()}


def _progress(trial: Trial, best: Trial | None, settings: Tune) -> str:
    of = f"/{settings.trials}" if settings.seconds is None else ""
    note = "" if trial.complete else f" (given up after {len(trial.losses)} folds)"
    return f"trial {trial.number + 1}{of}: loss {trial.loss:.5g}{note}, best {best.loss if best else float('nan'):.5g}"

"""Choose a family, and fit it on all of train."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep.errors import FitError
from lockstep.families import Array, Engine, Fitted, Settings, Task, largest_difference


@dataclass(frozen=True)
class Candidate:
    """The best of one family's search."""

    family: str
    simplicity: int
    settings: Settings
    losses: tuple[float, ...]
    rounds: tuple[int, ...]
    trials: tuple[float | None, ...]
    """The loss of every trial in order; None where it was given up."""
    repeatable: bool

    @property
    def loss(self) -> float:
        """Mean loss over the folds."""
        return float(np.mean(self.losses))


@dataclass(frozen=True)
class Standing:
    """One candidate beside the best."""

    candidate: Candidate
    difference: float
    """Mean of the paired fold differences from the best."""
    difference_error: float
    """Their standard error."""
    chosen: bool


def choose(candidates: Sequence[Candidate]) -> list[Standing]:
    """Rank the candidates, best first; choose the simplest that is within one standard error of the best.

    The standard error is that of the *paired* differences over the folds, which share their rows; the rule is
    Breiman's et al. (Classification and Regression Trees, 1984, section 3.4.3).
    """
    ranked = sorted(candidates, key=lambda candidate: (candidate.loss, candidate.simplicity))
    best = np.array(ranked[0].losses)
    differences = [np.array(candidate.losses) - best for candidate in ranked]
    errors = [float(np.std(d, ddof=1) / np.sqrt(len(d))) for d in differences]
    eligible = [c for c, d, e in zip(ranked, differences, errors, strict=True) if d.mean() <= e]
    winner = min(eligible, key=lambda candidate: (candidate.simplicity, candidate.loss))
    return [Standing(c, float(d.mean()), e, c is winner) for c, d, e in zip(ranked, differences, errors, strict=True)]


def refit(
    family: ModuleType, candidate: Candidate, X: Array, y: NDArray[Any], task: Task, *, seed: int, threads: int
) -> Fitted:
    """Fit a candidate on all of train, for as many rounds as its folds took (their median)."""
    settings = dict(candidate.settings)
    if any(candidate.rounds):
        settings["rounds"] = int(np.median(candidate.rounds))
    fitted: Fitted = family.fit(X, y, task, settings, seed=seed, threads=threads, valid=None)
    return fitted


def check_engine(engine: Engine, fitted: Fitted, X: Array, tolerance: float, family: str) -> float:
    """Return the largest difference between the engine and the estimator it stands for, on ``X``.

    Raises
    ------
    FitError
        It exceeds the bound that the family states, relative to the size of the outputs.
    """
    expected = fitted.predict(X)
    scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    difference = largest_difference(engine, fitted, X)
    if not difference <= tolerance * scale:
        raise FitError(
            f"the engine of {family!r} must equal its estimator within {tolerance * scale:g}; "
            f"they differ by {difference:g}."
        )
    return difference


def leaderboard(standings: Sequence[Standing]) -> list[Mapping[str, Any]]:
    """Return the content of ``models/leaderboard.json``, best first."""
    return [
        {
            "family": s.candidate.family,
            "loss": s.candidate.loss,
            "standard_error": float(np.std(s.candidate.losses, ddof=1) / np.sqrt(len(s.candidate.losses))),
            "difference": s.difference,
            "difference_error": s.difference_error,
            "n_trials": len(s.candidate.trials),
            "repeatable": s.candidate.repeatable,
            "settings": s.candidate.settings,
            "chosen": s.chosen,
            "losses": list(s.candidate.losses),
            "trials": list(s.candidate.trials),
        }
        for s in standings
    ]

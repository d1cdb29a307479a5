"""One of two classes; the last class of the contract's list is the positive one."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lockstep import metrics as weighted
from lockstep.errors import FitError
from lockstep.params import Cost
from lockstep.problems import multiclass

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

METRICS = {"roc_auc": True, "average_precision": True, "log_loss": False, "brier": False, "accuracy": True, "f1": True}
MIN_ROWS = multiclass.MIN_ROWS
KINDS = multiclass.KINDS

encode_target = multiclass.encode_target
losses = multiclass.losses
trivial = multiclass.trivial


def check_target(values: "pd.Series", name: str) -> None:
    """Refuse a target that has not exactly two classes, or too few rows of one.

    Raises
    ------
    FitError
        With the classes found.
    """
    multiclass.check_counts(values, name)
    found = sorted(values.dropna().unique())
    if len(found) != 2:
        hint = "Set problem: multiclass." if len(found) > 2 else ""
        raise FitError(
            f"target {name!r} must have two classes for problem 'binary'; found {len(found)}: "
            f"{found[:6]}. {hint}".rstrip()
        )


def classes(values: "pd.Series", stated: tuple[str, ...]) -> tuple[str, ...]:
    """Return the two classes; the positive one last, which is the later in the alphabet unless stated."""
    return multiclass.classes(values, stated)


def choose(y: NDArray[np.int64], output: Array, cost: Cost | None) -> dict[str, float]:
    """Choose the threshold on the positive class, on predictions out of fold.

    With costs, the one of least total cost; without, the one of best F1. Rows at or above it are positive.
    """
    score, positive = output[:, 1], y == 1
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(positive[order])
    last_of_tie = np.r_[np.diff(score[order]) != 0, True]
    taken = np.arange(1, len(y) + 1)
    if cost:
        merit = -(cost.false_positive * (taken - hits) + cost.false_negative * (positive.sum() - hits))
        none_taken = -cost.false_negative * positive.sum()
        if none_taken > merit[last_of_tie].max():
            return {"threshold": 1.0 + 1e-9}
    else:
        merit = 2 * hits / (taken + positive.sum())
    best = np.flatnonzero(last_of_tie)[np.argmax(merit[last_of_tie])]
    lowest, below = score[order][best], score[order][best + 1] if best + 1 < len(y) else 0.0
    middle = (lowest + below) / 2
    return {"threshold": float(middle if middle > below else lowest)}


def decide(output: Array, decision: dict[str, float]) -> NDArray[np.int64]:
    """Return the class's code for each row of probabilities."""
    return (output[:, 1] >= decision["threshold"]).astype(np.int64)


def metrics(y: NDArray[np.int64], output: Array, predicted: NDArray[np.int64], weights: Array) -> dict[str, Array]:
    """Return every metric under every weighting."""
    positive, score = y == 1, output[:, 1]
    return {
        "roc_auc": weighted.roc_auc(positive, score, weights),
        "average_precision": weighted.average_precision(positive, score, weights),
        "log_loss": weighted.mean(losses(y, output), weights),
        "brier": weighted.mean((score - positive) ** 2, weights),
        "accuracy": weighted.mean((y == predicted).astype(np.float64), weights),
        "f1": weighted.f1(positive, predicted == 1, weights),
    }

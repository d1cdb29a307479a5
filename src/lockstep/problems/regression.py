"""A number."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lockstep import metrics as weighted
from lockstep.errors import FitError
from lockstep.params import Cost

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

METRICS = {"rmse": False, "mae": False, "r2": True}
KINDS = ("number",)


def check_target(values: "pd.Series", name: str) -> None:
    """Refuse a target that is constant.

    Raises
    ------
    FitError
        With the one value found.
    """
    if values.nunique() < 2:
        raise FitError(
            f"target {name!r} must take more than one value; all {len(values)} rows hold "
            f"{values.unique()[:1].tolist()}."
        )


def classes(values: "pd.Series", stated: tuple[str, ...]) -> tuple[str, ...]:
    """Return none: a number has no classes."""
    return ()


def encode_target(values: "pd.Series", names: tuple[str, ...]) -> Array:
    """Return the numbers themselves."""
    return np.asarray(values.to_numpy(dtype=np.float64))


def losses(y: Array, output: Array) -> Array:
    """Return each row's squared error."""
    return (y - output) ** 2


def trivial(y: Array, n_classes: int) -> Array:
    """Return the mean, the best constant; shape ()."""
    return np.asarray(y.mean())


def choose(y: Array, output: Array, cost: Cost | None) -> dict[str, float]:
    """Return no settings: the number is the prediction."""
    if cost is not None:
        raise FitError("params.yaml: evaluate.cost is for problem 'binary'; remove it.")
    return {}


def decide(output: Array, decision: dict[str, float]) -> Array:
    """Return the predicted numbers."""
    return output


def metrics(y: Array, output: Array, predicted: Array, weights: Array) -> dict[str, Array]:
    """Return every metric under every weighting."""
    return {
        "rmse": np.sqrt(weighted.mean((y - predicted) ** 2, weights)),
        "mae": weighted.mean(np.abs(y - predicted), weights),
        "r2": weighted.r2(y, predicted, weights),
    }

"""One of several classes."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lockstep import metrics as weighted
from lockstep.errors import FitError
from lockstep.params import Cost

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

METRICS = {"log_loss": False, "accuracy": True, "balanced_accuracy": True, "f1_macro": True}
KINDS = ("category", "boolean")
MIN_ROWS = 2
MAX_CLASSES = 100


def check_target(values: "pd.Series", name: str) -> None:
    """Refuse a target of too few or too many classes, or too few rows of one.

    Raises
    ------
    FitError
        With what was found.
    """
    n_classes = values.nunique()
    if n_classes > MAX_CLASSES:
        raise FitError(
            f"target {name!r} may have at most {MAX_CLASSES} classes; found {n_classes}. Is it a number "
            "(problem: regression) or an identifier?"
        )
    check_counts(values, name)


def check_counts(values: "pd.Series", name: str) -> None:
    """Refuse a constant target and a class too small to be both learned and tested."""
    counts = values.value_counts()
    if len(counts) < 2:
        raise FitError(
            f"target {name!r} must take more than one value; all {len(values)} rows hold {list(counts.index)}."
        )
    rare = sorted(str(value) for value, count in counts.items() if count < MIN_ROWS)
    if rare:
        raise FitError(
            f"each class of target {name!r} must have at least {MIN_ROWS} rows; {rare[:5]} "
            f"{'has' if len(rare) == 1 else 'have'} one. Drop or merge them, or add rows."
        )


def classes(values: "pd.Series", stated: tuple[str, ...]) -> tuple[str, ...]:
    """Return the classes in their order: as the contract states, else alphabetical."""
    found = tuple(sorted(_names(values).dropna().unique()))
    unknown = sorted(set(found) - set(stated))
    if stated and unknown:
        raise FitError(
            f"the target holds classes {unknown} that the contract's 'classes' {list(stated)} does not list."
        )
    return stated or found


def encode_target(values: "pd.Series", names: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the code of each row's class."""
    codes = _names(values).map({name: code for code, name in enumerate(names)})
    return np.asarray(codes.to_numpy(dtype=np.int64), dtype=np.int64)


def _names(values: "pd.Series") -> "pd.Series":
    """Return each row's class by name; a boolean, which is read as 0 or 1, is "False" or "True"."""
    return values.map({0.0: "False", 1.0: "True"}) if values.dtype.kind == "f" else values


def losses(y: NDArray[np.int64], output: Array) -> Array:
    """Return each row's log loss; probabilities are clipped as in scikit-learn."""
    chosen = output[np.arange(len(y)), y]
    return np.asarray(-np.log(np.clip(chosen, np.finfo(np.float64).eps, 1)))


def trivial(y: NDArray[np.int64], n_classes: int) -> Array:
    """Return the output of the model that knows only how frequent the classes are; shape (n_classes,)."""
    return np.bincount(y, minlength=n_classes) / len(y)


def choose(y: NDArray[np.int64], output: Array, cost: Cost | None) -> dict[str, float]:
    """Return no settings: the most probable class is taken."""
    if cost is not None:
        raise FitError("params.yaml: evaluate.cost is for problem 'binary'; remove it.")
    return {}


def decide(output: Array, decision: dict[str, float]) -> NDArray[np.int64]:
    """Return the code of the most probable class; the first of equals."""
    return np.asarray(np.argmax(output, axis=1), dtype=np.int64)


def metrics(y: NDArray[np.int64], output: Array, predicted: NDArray[np.int64], weights: Array) -> dict[str, Array]:
    """Return every metric under every weighting; means over classes take those present in the sample."""
    codes = [code for code in range(output.shape[1]) if (y == code).any() or (predicted == code).any()]
    recalls = [_recall(y == code, predicted == code, weights) for code in codes]
    f1s = [_f1(y == code, predicted == code, weights) for code in codes]
    return {
        "log_loss": weighted.mean(losses(y, output), weights),
        "accuracy": weighted.mean((y == predicted).astype(np.float64), weights),
        "balanced_accuracy": np.nanmean(recalls, axis=0),
        "f1_macro": np.nanmean(f1s, axis=0),
    }


def _recall(positive: NDArray[np.bool_], predicted: NDArray[np.bool_], weights: Array) -> Array:
    hits, present = weights @ (positive & predicted).astype(np.float64), weights @ positive.astype(np.float64)
    return np.divide(hits, present, out=np.full_like(hits, np.nan), where=present > 0)


def _f1(positive: NDArray[np.bool_], predicted: NDArray[np.bool_], weights: Array) -> Array:
    """Return the F1 of a class; NaN in the resamples that neither hold nor predict it."""
    drawn = weights @ (positive | predicted).astype(np.float64)
    return np.where(drawn > 0, weighted.f1(positive, predicted, weights), np.nan)

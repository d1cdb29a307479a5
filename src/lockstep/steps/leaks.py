"""Find columns that give the target away: one that tells it alone, or several that add up to it.

Judged on rows that the judgement was not learned from, so that a column of many values is not accused for having been
learned by heart. Works on a sample, except that a sum is checked on every row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lockstep.contract import FILE, Contract
from lockstep.errors import LeakError
from lockstep.steps import sums

N_ROWS = 20_000
MIN_ROWS = 30
N_FOLDS = 3
MAX_VALUES = 50
"""A number of no more values is also looked at as a category."""
SURE = {"class": 0.02, "number": 1e-4}
"""Accused where no more than this share of the error (of the variance of ranks) is left. The strongest honest column
that we know of, the odour of mushrooms, leaves 0.03; today's price leaves more than 1e-4 of tomorrow's."""
STRANGE = {"class": 0.1, "number": 0.01}

Array = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Leak:
    """One or more columns that tell the target."""

    columns: tuple[str, ...]
    reason: str
    figures: dict[str, float]
    certain: bool = True
    """Whether to act on it; else it is worth a look."""


def find(rows: pd.DataFrame, target: str, columns: Sequence[str], *, seed: int) -> tuple[Leak, ...]:
    """Return the leaks among ``columns``, sums first, then single ones from the most telling on.

    Parameters
    ----------
    rows
        Typed as the contract reads them; a target of numbers is a regression.
    """
    rows = rows[rows[target].notna()]
    numeric = rows[target].dtype.kind == "f"
    numbers = [name for name in columns if rows[name].dtype.kind == "f"] if numeric else []
    found = sums.find(rows, target, numbers, seed=seed)
    leaks = [Leak(total.columns, total.sentence(target), {"share_of_rows": total.share}) for total in found]
    alone = {leak.columns[0] for leak in leaks if len(leak.columns) == 1}
    left = errors_left(rows, target, [name for name in columns if name not in alone], seed=seed)
    return (*leaks, *_accused(left, target, len(rows), numeric))


def refuse(rows: pd.DataFrame, contract: Contract, accepted: Sequence[str], *, seed: int) -> None:
    """Stop the line where an input gives the target away.

    Raises
    ------
    LeakError
        Naming the columns; not those that ``accepted`` lists.
    """
    for leak in find(rows, contract.target, contract.inputs, seed=seed):
        if leak.certain and not set(leak.columns) <= set(accepted):
            names, verb = ", ".join(map(repr, leak.columns)), "gives" if len(leak.columns) == 1 else "give"
            raise LeakError(
                f"{names} {verb} the target away: {leak.reason}. Set the role to 'ignored' in {FILE}, or, "
                f"if it is known before {contract.target!r} is, list {names} in split.accept_leaks."
            )


def errors_left(rows: pd.DataFrame, target: str, columns: Sequence[str], *, seed: int) -> dict[str, float]:
    """Return for each column the share of the trivial model's error that is left when the target is told by it alone.

    Out of sample. Of classes: wrong guesses against those of the most frequent class. Of numbers: squared errors of
    ranks, which no outlier decides, against their variance. Empty where there are too few rows to judge.
    """
    rows = _sample(rows[rows[target].notna()], N_ROWS, seed)
    different = rows.drop_duplicates([target, *columns])
    rows = different if 2 * len(different) >= len(rows) else rows  # what stands in both halves is no proof
    folds = np.random.default_rng(seed).permutation(len(rows)) % N_FOLDS
    if len(rows) < MIN_ROWS:
        return {}
    if rows[target].dtype.kind == "f":
        ranks = rows[target].rank().to_numpy() / len(rows)
        return {name: _left_of_variance(rows[name], ranks, folds) for name in columns} if ranks.std() > 0 else {}
    classes = np.unique(rows[target].to_numpy().astype(str), return_inverse=True)[1]
    n_rest = len(classes) - np.bincount(classes).max()
    return {name: float(_wrong(rows[name], classes, folds) / n_rest) for name in columns} if n_rest >= N_FOLDS else {}


def _sample(rows: pd.DataFrame, n_rows: int, seed: int) -> pd.DataFrame:
    return rows.sample(n_rows, random_state=seed) if len(rows) > n_rows else rows


def _accused(left: dict[str, float], target: str, n_rows: int, numeric: bool) -> list[Leak]:
    kind = "number" if numeric else "class"
    # Gaps between few ranks are wide.
    sure = max(SURE[kind], 60 / max(n_rows, 1) ** 2) if numeric else SURE[kind]
    what = "of the variance of its ranks is" if numeric else "of the wrong guesses are"
    strange = sorted((share, name) for name, share in left.items() if share <= STRANGE[kind])
    return [
        Leak(
            (name,),
            f"{name!r} alone tells {target!r}; {share:.3%} {what} left, out of sample",
            {"error_left": share},
            share <= sure,
        )
        for share, name in strange
    ]


def _wrong(column: pd.Series, classes: Codes, folds: Codes) -> int:
    """Count wrong guesses: by value, and of numbers also by a few cuts; the fewer."""
    n_classes = int(classes.max()) + 1
    values = pd.factorize(column, use_na_sentinel=False)[0]
    if column.dtype.kind not in "fM":
        return _wrong_by_value(values, classes, folds)
    numbers = _numbers(column)
    by_value = _wrong_by_value(values, classes, folds) if values.max() < MAX_VALUES else len(classes)
    if n_classes <= N_FOLDS * 5 and _wrong_by_value(_bins(numbers), classes, folds) > len(classes) // 4:
        return by_value  # far from telling: no cut would change that
    return min(by_value, _wrong_by_cuts(numbers, classes, folds, n_classes))


def _wrong_by_value(values: Codes, classes: Codes, folds: Codes) -> int:
    """Guess the class most frequent among equal values in the other folds; of a new value, the most frequent at all."""
    n_classes, n_wrong = int(classes.max()) + 1, 0
    for fold in range(N_FOLDS):
        others, own = folds != fold, folds == fold
        pairs, counts = np.unique(values[others] * n_classes + classes[others], return_counts=True)
        order = np.argsort(counts, kind="stable")
        guess = np.full(int(values.max()) + 1, np.bincount(classes[others]).argmax())
        guess[pairs[order] // n_classes] = pairs[order] % n_classes  # the most frequent is written last
        n_wrong += int((guess[values[own]] != classes[own]).sum())
    return n_wrong


def _wrong_by_cuts(numbers: Array, classes: Codes, folds: Codes, n_classes: int) -> int:
    from sklearn.tree import DecisionTreeClassifier

    tree, n_wrong = DecisionTreeClassifier(max_leaf_nodes=4 * n_classes, random_state=0), 0
    for fold in range(N_FOLDS):
        own = folds == fold
        guess = tree.fit(numbers[~own, None], classes[~own]).predict(numbers[own, None])
        n_wrong += int((guess != classes[own]).sum())
    return n_wrong


def _left_of_variance(column: pd.Series, ranks: Array, folds: Codes) -> float:
    """Tell ranks by the mean of equal values, and of numbers between them by a straight line."""
    known = column.notna().to_numpy()
    x = _numbers(column) if column.dtype.kind in "fM" else pd.factorize(column)[0].astype(np.float64)
    squares = 0.0
    for fold in range(N_FOLDS):
        others, own = (folds != fold) & known, (folds == fold) & known
        mean = ranks[folds != fold].mean()
        squares += float(((ranks[(folds == fold) & ~known] - _mean(ranks[(folds != fold) & ~known], mean)) ** 2).sum())
        if not others.any():
            squares += float(((ranks[own] - mean) ** 2).sum())
            continue
        values, at = np.unique(x[others], return_inverse=True)
        means = np.bincount(at, ranks[others]) / np.bincount(at)
        told = np.interp(x[own], values, means)
        if column.dtype.kind not in "fM":
            told = np.where(np.isin(x[own], values), told, mean)
        squares += float(((ranks[own] - told) ** 2).sum())
    return squares / float(((ranks - ranks.mean()) ** 2).sum())


def _numbers(column: pd.Series) -> Array:
    if column.dtype.kind == "M":
        days = column.to_numpy(dtype="datetime64[us]").astype(np.int64) / 86_400_000_000
        return np.where(column.isna(), np.nan, days)
    return np.asarray(column.to_numpy(dtype=np.float64))


def _bins(numbers: Array) -> Codes:
    """Number up to 256 bins of equally many rows; missing has its own."""
    known = numbers[~np.isnan(numbers)]
    shares = np.linspace(0, 1, min(256, 2 + len(numbers) // 8))[1:-1]
    edges = np.quantile(known, shares) if len(known) else known
    return np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers)).astype(np.int64)


def _mean(values: Array, default: float) -> float:
    return float(values.mean()) if len(values) else default

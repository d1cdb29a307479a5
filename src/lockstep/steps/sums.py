"""Find number columns that add up to the target, or one that is the target in another unit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

N_DRAWN = 20_000
N_ROWS = 2_000
MIN_ROWS = 20
MIN_SHARE = 0.8
"""Share of rows in which a sum must hold; fees left out of a total break it in some. Exact to the last digit in so many
rows, with a target of many values, is no coincidence."""
MIN_SHARE_ALONE = 0.99
"""The same for a single column, which may equal the target often for being its past."""
SLACK = 0.005
"""Share of rows that a spared column may break."""
MIN_VALUES = 50
"""Values that the target must take where the sum does not hold in nearly every row."""
MAX_MEMBERS = 12
MAX_WEIGHT = 3
"""Largest weight of a member where there are two or three; of more, each counts once."""
MAX_TRIES = 20
MAX_DECIMALS = 6
N_REWEIGHTED = 20
N_HOPED = 3
"""Rounds after which half of the rows must be twice as near; where a sum holds they are ten times as near."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sum:
    """Columns, their weights and a constant that give the target."""

    columns: tuple[str, ...]
    weights: tuple[float, ...]
    constant: float
    share: float
    """Of the rows without a missing member, those in which it holds."""

    def sentence(self, target: str) -> str:
        """Say the sum in words: ``casual + registered = cnt in every row``."""
        added_first = sorted(zip(self.columns, self.weights, strict=True), key=lambda item: item[1] < 0)
        terms = [f"{'-' if weight < 0 else '+'} {_factor(abs(weight))}{name}" for name, weight in added_first]
        constant = f" {'-' if self.constant < 0 else '+'} {abs(self.constant):.6g}" if abs(self.constant) > 1e-9 else ""
        where = "every row" if self.share == 1 else f"{self.share:.2%} of the rows"
        return f"{' '.join(terms).removeprefix('+ ')}{constant} = {target} in {where}"


def find(rows: pd.DataFrame, target: str, columns: Sequence[str], *, seed: int) -> tuple[Sum, ...]:
    """Return the sums that hold in all rows but a few, exactly up to rounding.

    If a sum holds at all, least squares on all columns together leaves nothing; columns are then dropped while that
    stays so. What is left is a sum if its weights are whole multiples of the smallest, or if it is a single column.
    """
    from threadpoolctl import threadpool_limits

    drawn = rows.sample(N_DRAWN, random_state=seed) if len(rows) > N_DRAWN else rows
    with threadpool_limits(1):  # small systems: threads would cost seventy times what they do
        return tuple(_search(rows, drawn, target, _usable(drawn, target, columns), seed))


def _search(rows: pd.DataFrame, drawn: pd.DataFrame, target: str, names: list[str], seed: int) -> Iterator[Sum]:
    """Find a sum, take its columns away, and go on; of one that means nothing take the heaviest column away."""
    for _ in range(MAX_TRIES):
        table = _Table.sample(drawn, target, names, seed)
        members = table.minimal() if table else []
        if not members or table is None:
            return
        weights = table.solve(members)
        total = _check(rows, target, [names[j] for j in members], weights)
        if total:
            yield total
        heaviest = members[int(np.argmax(np.abs(weights[:-1]) * table.X[:, members].std(axis=0)))]
        spent = members if total else [heaviest]
        names = [name for j, name in enumerate(names) if j not in spent]


@dataclass(frozen=True)
class _Table:
    """A sample of complete rows."""

    X: Array
    y: Array
    decimals: int | None

    @classmethod
    def sample(cls, rows: pd.DataFrame, target: str, names: Sequence[str], seed: int) -> "_Table | None":
        """Draw complete rows; nothing where they are too few for so many columns."""
        complete = rows[[target, *names]].dropna()
        n_needed = max(MIN_ROWS, 3 * len(names) + 10)
        if not names or len(complete) < n_needed or complete[target].nunique() < 3:
            return None
        n_rows = min(len(complete), max(N_ROWS, n_needed))
        drawn = complete.sample(n_rows, random_state=seed)
        return cls(drawn[list(names)].to_numpy(), drawn[target].to_numpy(), decimals_of(drawn[target].to_numpy()))

    def minimal(self) -> list[int]:
        """Return positions of columns that give the target and of which none can be spared; none if all cannot."""
        kept = list(range(self.X.shape[1]))
        needed = self.share_exact(kept) - SLACK
        if needed < MIN_SHARE - SLACK:
            return []
        weights = np.abs(self.solve(kept)[:-1]) * self.X.std(axis=0)
        heavy = [j for j in kept if weights[j] > 1e-6 * self.y.std()]
        kept = heavy if self.share_exact(heavy) >= needed else kept
        for j in sorted(kept, key=lambda j: weights[j]):
            without = [i for i in kept if i != j]
            if self.share_exact(without) >= needed:
                kept = without
        return kept

    def share_exact(self, members: list[int]) -> float:
        """Return the share of rows whose target the columns give, up to rounding."""
        if not members:
            return 0.0
        X, weights = self.X[:, members], self.solve(members)
        return _share(np.abs(X @ weights[:-1] + weights[-1] - self.y) <= tolerance(X, self.y, self.decimals), self.y)

    def solve(self, members: list[int]) -> Array:
        """Return weights and, last, the constant.

        By least squares; where those leave something, by least absolute differences (reweighted least squares, which
        ignores the rows where a sum does not hold), then again by least squares on the rows where it does.
        """
        X = self.X[:, members]
        gap = tolerance(X, self.y, self.decimals)
        weights = _least_squares(X, self.y)
        off = np.abs(X @ weights[:-1] + weights[-1] - self.y)
        if off.max() <= gap:
            return weights
        off_at_first = np.median(off)
        for i in range(N_REWEIGHTED):
            weights = _least_squares(X, self.y, 1 / np.maximum(off, gap))
            off = np.abs(X @ weights[:-1] + weights[-1] - self.y)
            holds = off <= gap
            if i == N_HOPED and np.median(off) > off_at_first / 2:
                break
            if holds.mean() >= MIN_SHARE:
                return _least_squares(X[holds], self.y[holds])
        return weights


def decimals_of(values: Array) -> int | None:
    """Return how many decimals all values are rounded to; none if more than 6."""
    for decimals in range(MAX_DECIMALS + 1):
        scaled = values * 10.0**decimals
        if (np.abs(scaled - np.round(scaled)) <= 1e-6 * np.maximum(1, np.abs(scaled) * 1e-6)).all():
            return decimals
    return None


def tolerance(X: Array, y: Array, decimals: int | None) -> float:
    """Return how far a sum may be off: nothing but float error, or as far as rounding of its members goes."""
    tight = 1e-7 * float(np.abs(y).max() + y.std())
    if decimals is None or (np.round(X) == X).all():
        return tight
    rounding = (min(X.shape[1], 6) + 1) * 0.5 * 10.0**-decimals
    return max(tight, rounding) if rounding < 1e-3 * y.std() else tight


def _usable(rows: pd.DataFrame, target: str, columns: Sequence[str]) -> list[str]:
    """Return the columns that vary and are mostly there; the most correlated where rows are few."""
    usable = [name for name in columns if rows[name].notna().mean() > 0.5 and rows[name].nunique() > 1]
    limit = max(1, (len(rows) - 10) // 4)
    if len(usable) <= limit:
        return usable
    strength = rows[usable].corrwith(rows[target]).abs().fillna(0)
    return sorted(usable, key=lambda name: -strength[name])[:limit]


def _check(rows: pd.DataFrame, target: str, names: list[str], weights: Array) -> Sum | None:
    """Judge the weights, and look at every row."""
    if len(names) > MAX_MEMBERS or not _whole(weights[:-1]):
        return None
    weights = _tidy(weights)
    complete = rows[[target, *names]].dropna()
    X, y = complete[names].to_numpy(), complete[target].to_numpy()
    off = np.abs(X @ weights[:-1] + weights[-1] - y)
    holds = off <= 2 * tolerance(X, y, decimals_of(y))
    least = MIN_SHARE if len(names) > 1 and len(np.unique(y)) >= MIN_VALUES else MIN_SHARE_ALONE
    if _share(holds, y) < least:
        return None
    return Sum(tuple(names), tuple(weights[:-1].tolist()), float(weights[-1]), float(holds.mean()))


def _share(holds: NDArray[np.bool_], y: Array) -> float:
    """Return the share of rows in which a sum holds, or of those with an unusual target where that is less.

    Where most targets are nought, nought times anything gives most of them.
    """
    values, counts = np.unique(y, return_counts=True)
    return float(min(holds.mean(), holds[y != values[counts.argmax()]].mean()))


def _whole(weights: Array) -> bool:
    ratios = np.abs(weights) / np.abs(weights).min()
    largest = MAX_WEIGHT if len(weights) <= 3 else 1
    return len(weights) == 1 or bool((np.abs(ratios - np.round(ratios)) < 1e-3).all() and ratios.max() < largest + 0.5)


def _tidy(weights: Array) -> Array:
    rounded = np.round(weights, 6)
    return np.where(np.abs(weights - rounded) <= 1e-9 * np.maximum(1, np.abs(weights)), rounded, weights)


def _least_squares(X: Array, y: Array, trust: Array | None = None) -> Array:
    trust = np.ones(len(y)) if trust is None else trust
    center, y_center, scale = np.average(X, axis=0, weights=trust), np.average(y, weights=trust), X.std(axis=0)
    scale, root = np.where(scale > 0, scale, 1.0), np.sqrt(trust / trust.max())
    weights = np.linalg.lstsq((X - center) / scale * root[:, None], (y - y_center) * root, rcond=1e-10)[0] / scale
    return np.append(weights, y_center - center @ weights)


def _factor(weight: float) -> str:
    return "" if abs(weight - 1) < 1e-6 else f"{weight:.6g} * "

"""Divide rows into train, test and hold-out, and train into folds, all in one way."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lockstep.contract import Contract
from lockstep.errors import LeakError, SplitError, expected_one_of
from lockstep.params import Split

N_TARGET_BINS = 10
MIN_TRAIN_ROWS = 20


@dataclass(frozen=True)
class Division:
    """Rows in their parts; each keeps the index and the order of the table."""

    train: pd.DataFrame
    test: pd.DataFrame
    holdout: pd.DataFrame
    folds: pd.DataFrame
    """For each row of train: ``fold`` (-1 where it is never validated on), and ``ordered``: whether a fold may learn
    from earlier folds alone."""


def divide(rows: pd.DataFrame, contract: Contract, settings: Split, *, seed: int) -> Division:
    """Divide ``rows`` as ``settings`` say.

    Raises
    ------
    SplitError
        A column that the kind needs is missing, or a part would be empty.
    LeakError
        A group stands on both sides.
    """
    rest, holdout = _hold_out(rows, contract, settings)
    in_test = _choose_test(rest, contract, settings, seed)
    train, test = rest[~in_test], rest[in_test]
    if len(test) == 0 or len(train) < max(MIN_TRAIN_ROWS, settings.folds):
        raise SplitError(
            f"split must leave a test row and at least {max(MIN_TRAIN_ROWS, settings.folds)} rows to train "
            f"on; {len(rows)} rows gave {len(train)} for train and {len(test)} for test. "
            "Rows of one group, or with equal inputs (split.duplicates: group), stay together."
        )
    _refuse_shared_groups(train, test, contract, settings)
    ordered = settings.kind == "time"
    folds = (
        _time_folds(train, contract, settings)
        if ordered
        else _spread(train, contract, settings, settings.folds, seed + 1)
    )
    return Division(train, test, holdout, pd.DataFrame({"fold": folds, "ordered": ordered}, index=train.index))


def fold_masks(folds: pd.DataFrame) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Return for each fold which rows it learns from and which it is judged on."""
    fold, ordered = folds["fold"].to_numpy(), bool(folds["ordered"].iloc[0])
    return [(fold < i if ordered else fold != i, fold == i) for i in range(fold.max() + 1)]


def _hold_out(rows: pd.DataFrame, contract: Contract, settings: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
    if not settings.holdout:
        return rows, rows.iloc[:0]
    times = _times(rows, contract, "split.holdout")
    recent = _last_share(times, settings.holdout)
    return rows[~recent], rows[recent]


def _choose_test(rows: pd.DataFrame, contract: Contract, settings: Split, seed: int) -> NDArray[np.bool_]:
    match settings.kind:
        case "predefined":
            return _predefined(rows, contract, str(settings.column))
        case "time":
            share = settings.test / (1 - settings.holdout)
            return _last_share(_times(rows, contract, "split.kind: time"), share)
        case "group" if contract.group is None:
            raise SplitError("split.kind 'group' needs a column of role 'group' in expectations/rows.json; found none.")
    return _portions(rows, contract, settings, seed) < settings.test / (1 - settings.holdout)


def _predefined(rows: pd.DataFrame, contract: Contract, name: str) -> NDArray[np.bool_]:
    if name not in contract.columns or name not in rows.columns:
        raise SplitError(
            f"split.column {name!r} is no column of the contract (and not of role 'ignored'); "
            f"{expected_one_of(name, contract.columns)}"
        )
    if contract.columns[name].is_input:
        raise SplitError(
            f"split.column {name!r} must not be an input; give it the role 'id' in expectations/rows.json."
        )
    found = set(rows[name].dropna().unique())
    if found != {"train", "test"} or rows[name].isna().any():
        raise SplitError(
            f"split.column {name!r} must say 'train' or 'test' in every row; found {sorted(found)[:5]}"
            f"{' and missing' if rows[name].isna().any() else ''}."
        )
    return np.asarray(rows[name] == "test")


def _times(rows: pd.DataFrame, contract: Contract, asked_by: str) -> pd.Series:
    if contract.time is None:
        raise SplitError(f"{asked_by} needs a column of role 'time' in expectations/rows.json; found none.")
    times = rows[contract.time]
    if times.isna().any():
        raise SplitError(
            f"{asked_by} needs the time {contract.time!r} of every row; {int(times.isna().sum())} miss it. "
            "Make it required, so that such rows go to quarantine."
        )
    return times


def _last_share(times: pd.Series, share: float) -> NDArray[np.bool_]:
    """Mark the most recent rows, about ``share`` of them; rows of one time stay together."""
    ordered = np.sort(times.to_numpy())
    cut = ordered[min(len(ordered) - 1, round(len(ordered) * (1 - share)))]
    return np.asarray(times.to_numpy() >= cut)


def _spread(rows: pd.DataFrame, contract: Contract, settings: Split, n_parts: int, seed: int) -> NDArray[np.int64]:
    """Make folds as the test set was made: even parts of the same kind of portions; none is empty."""
    portions = _portions(rows, contract, settings, seed)
    parts = np.unique(np.minimum((portions * n_parts).astype(np.int64), n_parts - 1), return_inverse=True)[1]
    if parts.max() < 1:
        raise SplitError(
            f"train must hold at least two groups, or different inputs, to be cut into {n_parts} folds; it is all one. "
            "Choose another split.kind, or split.duplicates: keep."
        )
    return parts


def _time_folds(rows: pd.DataFrame, contract: Contract, settings: Split) -> NDArray[np.int64]:
    """Cut train into consecutive blocks; the first is only learned from."""
    ranks = _times(rows, contract, "split.kind: time").rank(method="min").to_numpy() - 1
    blocks = np.minimum((ranks / len(rows) * (settings.folds + 1)).astype(np.int64), settings.folds)
    present = np.unique(blocks)
    if len(present) < 2:
        raise SplitError(f"folds by time need several times in train; {contract.time!r} has too few.")
    return np.asarray(np.searchsorted(present, blocks) - 1)


def _portions(rows: pd.DataFrame, contract: Contract, settings: Split, seed: int) -> NDArray[np.float64]:
    """Place each unit (a row, a group, rows with equal inputs) somewhere in 0..1, evenly within each stratum.

    Cutting the result at a share takes that share of every class; cutting it into equal parts makes folds.
    """
    units = _units(rows, contract, settings)
    order = np.random.default_rng(seed).permutation(units.max() + 1)
    sizes = np.bincount(units)
    strata = _strata(rows, contract, units)
    sequence = np.lexsort((order, strata))
    sizes_in_order, strata_in_order = sizes[sequence], strata[sequence]
    ends = np.cumsum(sizes_in_order)
    starts_of_stratum = np.r_[0, np.flatnonzero(np.diff(strata_in_order)) + 1]
    before = (ends - sizes_in_order)[starts_of_stratum]
    lengths = np.diff(np.r_[starts_of_stratum, len(sequence)])
    totals = np.add.reduceat(sizes_in_order, starts_of_stratum)
    middle = ends - sizes_in_order / 2 - np.repeat(before, lengths)
    portions = np.empty(len(sequence))
    portions[sequence] = middle / np.repeat(totals, lengths)
    return portions[units]


def _units(rows: pd.DataFrame, contract: Contract, settings: Split) -> NDArray[np.int64]:
    """Number the units that may not be cut: connected through an equal group or equal inputs."""
    labels = []
    if settings.duplicates == "group":
        labels.append(pd.util.hash_pandas_object(rows[list(contract.inputs)], index=False).to_numpy())
    if contract.group is not None and settings.kind in ("group", "predefined"):
        groups = rows[contract.group]
        if groups.isna().any():
            raise SplitError(
                f"a row without its group {contract.group!r} cannot be placed; {int(groups.isna().sum())} "
                "miss it. Make it required, so that such rows go to quarantine."
            )
        labels.append(groups.to_numpy())
    codes = [np.unique(label, return_inverse=True)[1] for label in labels]
    if not codes:
        return np.arange(len(rows))
    return codes[0] if len(codes) == 1 else _connect(codes[0], codes[1])


def _connect(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n_a, n_b = a.max() + 1, b.max() + 1
    graph = coo_matrix((np.ones(len(a)), (a, n_a + b)), shape=(n_a + n_b, n_a + n_b))
    return np.unique(connected_components(graph, directed=False)[1][a], return_inverse=True)[1]


def _strata(rows: pd.DataFrame, contract: Contract, units: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the class of each unit: of its first row; of a number, its decile."""
    target = rows[contract.target]
    if contract.columns[contract.target].kind == "number" and target.nunique() > 2 * N_TARGET_BINS:
        codes: NDArray[Any] = pd.qcut(target.rank(method="first"), N_TARGET_BINS, labels=False).to_numpy()
    else:
        codes = np.unique(target.to_numpy().astype(str), return_inverse=True)[1]
    return codes[np.unique(units, return_index=True)[1]].astype(np.int64)


def _refuse_shared_groups(train: pd.DataFrame, test: pd.DataFrame, contract: Contract, settings: Split) -> None:
    name = contract.group
    if name is None or settings.kind in ("group", "time") or name in settings.accept_leaks:
        return
    shared = sorted(set(train[name].dropna()) & set(test[name].dropna()), key=str)
    if shared:
        raise LeakError(
            f"group {name!r} stands on both sides of the split: {len(shared)} values, such as {shared[0]!r}; "
            f"set split.kind: group, or list {name!r} in split.accept_leaks."
        )

"""Say what is worth knowing of a table beside the roles of its columns."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lockstep.steps.cells import Look
from lockstep.steps.roles import Decision

MIN_LIKENESS = 0.3
"""Likeness of neighbouring targets, beyond chance, above which the order of the rows is said to matter."""
N_ROWS = 100_000
MIN_ROWS = 200
NINES = re.compile(r"9{2,}")
MIN_SHARE = 0.002


def of(
    rows: pd.DataFrame, looks: Mapping[str, Look], decided: Mapping[str, Decision], target: str, *, split: bool
) -> tuple[str, ...]:
    """Return sentences on how cells were read, on marks of missing among numbers, and on the order of the rows.

    ``split`` says whether the split follows a time or a group already.
    """
    inputs = [name for name, decision in decided.items() if decision.decision == "input"]
    read = [name for name, decision in decided.items() if decision.decision != "ignored"]
    notes = [f"{name}: {note}" for name in (target, *read) for note in looks[name].notes]
    notes += [f"{name}: {note}" for name in inputs if looks[name].kind == "number" and (note := sentinel(rows[name]))]
    if split:
        return tuple(notes)
    return (*notes, *_unused_dates([name for name in inputs if looks[name].kind == "date"]), *_order(rows[target]))


def sentinel(values: pd.Series) -> str:
    """Say where a number of nothing but nines, far from all others, seems to stand for missing."""
    known = values.dropna()
    for value in (known.min(), known.max()):
        others, count = known[known != value], int((known == value).sum())
        if not NINES.fullmatch(f"{abs(value):.6g}") or count < max(5, MIN_SHARE * len(known)) or others.empty:
            continue
        if (others - value).abs().min() > others.max() - others.min():
            return (
                f"{value:g} stands in {count} rows, far from all other values; if it means missing, list it under "
                "'missing' in the contract"
            )
    return ""


def _unused_dates(dates: Sequence[str]) -> list[str]:
    return (
        [
            f"rows do not stand in the order of {dates[0]!r}; if it says when a row was seen, give --time {dates[0]}: "
            "the future must judge the past"
        ]
        if dates
        else []
    )


def _order(target: pd.Series) -> list[str]:
    found = likeness(target.dropna().iloc[:N_ROWS])
    return (
        [
            f"neighbouring rows have like values of {target.name!r} ({found:.2f} beyond chance): the rows seem to be "
            "in order of time, of place or in groups. A random split then judges too kindly; give --time or --group if "
            "a column tells, or add one that does"
        ]
        if found >= MIN_LIKENESS
        else []
    )


def likeness(target: pd.Series) -> float:
    """Return how alike neighbours are beyond chance; 0 where the table is merely sorted by its target."""
    values = target.to_numpy()
    if len(values) < MIN_ROWS:
        return 0.0
    if target.dtype.kind == "f":
        steps = np.diff(values)
        turns = (steps[:-1] * steps[1:] < 0).mean()
        return float(np.corrcoef(values[:-1], values[1:])[0, 1]) if turns > 0.1 else 0.0
    same = values[:-1] == values[1:]
    by_chance = float((target.value_counts(normalize=True) ** 2).sum())
    return float((same.mean() - by_chance) / (1 - by_chance)) if (~same).sum() > 10 * target.nunique() else 0.0

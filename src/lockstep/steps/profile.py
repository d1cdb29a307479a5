"""Describe a column in a few stable figures."""

from typing import Any

import numpy as np
import pandas as pd

from lockstep.contract import Column

N_TOP = 10


def profile(values: pd.Series, column: Column) -> dict[str, Any]:
    """Return kind, role, counts, and the range or the most frequent values; of a private column no value."""
    known = values.dropna()
    profile: dict[str, Any] = {
        "kind": column.kind,
        "role": column.role,
        "n_missing": int(values.isna().sum()),
        "share_missing": float(values.isna().mean()) if len(values) else 0.0,
        "n_distinct": int(known.nunique()),
    }
    if column.private or not len(known):
        return profile
    if column.kind in ("number", "boolean"):
        return {**profile, "min": float(known.min()), "mean": float(known.mean()), "max": float(known.max())}
    if column.kind == "date":
        return {**profile, "min": known.min().isoformat(), "max": known.max().isoformat()}
    counts = known.value_counts()
    ranked = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:N_TOP]
    return {**profile, "top": [[shown(value), int(count)] for value, count in ranked]}


def plain(value: Any) -> Any:
    """Return an observed value as stable JSON; long ones as text, cut."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | np.number):
        return float(value) if np.isfinite(value) else str(value)
    return str(value)[:200]


def shown(value: Any) -> str:
    """Return a value as at most 64 characters."""
    return "missing" if value is None or value != value else str(value)[:64]

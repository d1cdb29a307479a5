"""Suggest rules from what a table holds; all of them hold on that very table."""

import math
import re
from collections.abc import Iterator
from typing import Any

import pandas as pd

from lockstep.contract.model import NOT_NULL, Column

BETWEEN = "expect_column_values_to_be_between"
PROPORTION = "expect_column_proportion_of_non_null_values_to_be_between"
MAX_SET = 50
"""Categories listed as usual; of more, no list."""
FEW = 31
"""A whole number of no more values gets no margin: hours, months, grades."""
MARGIN = 0.25
"""Share of the observed range that a value may lie outside of it before it is flagged."""
MIN_ROWS = 100
"""Fewer rows do not show that a number is never negative."""
SIGNED = re.compile(r"(?i)temp|lat|lon|lng|chang|diff|delta|balance|profit|return|growth|score|offset|net|^x$|^y$|^z$")
"""Names of numbers that may well be negative although none is."""

Rule = dict[str, Any]


def of_column(values: pd.Series, column: Column, name: str) -> list[Rule]:
    """Return the rules on one column, from its typed values."""
    rules = list(_presence(values, column, name))
    if column.role == "id":
        unique = _rule("expect_column_values_to_be_unique", "warning", column=name)
        return [*rules, unique] if _is_unique(values) else rules
    if column.role == "group":
        return rules
    match column.kind:
        case "number":
            rules += _number(values.dropna(), column, name)
        case "date":
            rules += [_rule(BETWEEN, "info", column=name, min_value=_earliest(values.dropna(), column))]
        case "category" if not column.private:
            rules += _category(values.dropna(), column, name)
    return rules


def of_table(n_rows: int) -> list[Rule]:
    """Return the rules on the table as a whole: it may lose half of its rows, not more."""
    return [_rule("expect_table_row_count_to_be_between", "critical", min_value=max(1, n_rows // 2))]


def _presence(values: pd.Series, column: Column, name: str) -> Iterator[Rule]:
    share = float(values.isna().mean())
    least = math.floor(100 * (1 - 2 * share - 0.05)) / 100  # twice as many gaps, and some more, are still usual
    if column.required:
        yield _rule(NOT_NULL, "warning", column=name)
    elif share and least > 0:
        yield _rule(PROPORTION, "warning", column=name, min_value=least)


def _number(known: pd.Series, column: Column, name: str) -> Iterator[Rule]:
    low, high = float(known.min()), float(known.max())
    whole = bool((known % 1 == 0).all())
    margin = 0.0 if whole and known.nunique() <= FEW else MARGIN * (high - low)
    if low >= 0 and len(known) >= MIN_ROWS and not SIGNED.search(name):
        yield _rule(BETWEEN, "warning", column=name, min_value=0)
    bounds = {
        "min_value": _outward(low - margin, whole, up=False),
        "max_value": _outward(high + margin, whole, up=True),
    }
    if low >= 0:
        bounds["min_value"] = max(0, bounds["min_value"])
    if column.role == "time":
        del bounds["max_value"]
    yield _rule(BETWEEN, "info", column=name, **bounds)


def _outward(bound: float, whole: bool, *, up: bool) -> float | int:
    """Round away from the data, to three digits or to a whole number."""
    away = math.ceil if up else math.floor
    if whole and abs(bound) < 1000:
        return away(bound)
    if bound == 0:
        return 0
    digits = 2 - math.floor(math.log10(abs(bound)))
    rounded = away(bound * 10.0**digits) / 10.0**digits
    return int(rounded) if rounded == int(rounded) else rounded


def _earliest(known: pd.Series, column: Column) -> str:
    earliest = known.min() if column.role == "time" else known.min() - MARGIN * (known.max() - known.min())
    return str(earliest.floor("D").date().isoformat())


def _category(known: pd.Series, column: Column, name: str) -> Iterator[Rule]:
    values = sorted(known.unique())
    if column.role == "target":
        yield _rule("expect_column_values_to_be_in_set", "critical", column=name, value_set=values)
    elif len(values) <= MAX_SET:
        yield _rule("expect_column_values_to_be_in_set", "info", column=name, value_set=values)


def _is_unique(values: pd.Series) -> bool:
    return not values.dropna().duplicated().any()


def _rule(kind: str, severity: str, **kwargs: Any) -> Rule:
    return {"type": kind, "kwargs": kwargs, "severity": severity}

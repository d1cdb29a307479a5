"""Turn the cells of a table into the values that the contract speaks of.

Text formats arrive as text and are read here, alone; Parquet arrives typed and is brought to the same types. After
reading, numbers and booleans are float64, dates ``datetime64[us]`` in UTC without a zone, categories and texts
``str``; missing is NaN, NaT or None.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lockstep.contract.model import Column, Contract
from lockstep.errors import Breach, expected_one_of

INTEGERS_EXACT_BELOW = 2**53
CLOCK = ("now", "today")
"""Texts that pandas takes for the moment at which it reads them."""


@dataclass(frozen=True)
class Table:
    """A table read by the contract."""

    rows: pd.DataFrame
    """The contract's columns in its order, under the index of the raw table."""
    unreadable: dict[str, pd.Series]
    """By column, the cells that are not of its kind, as they were; such columns alone."""


def read(raw: pd.DataFrame, contract: Contract, *, target: bool = True) -> Table:
    """Read every column of the contract from ``raw``.

    Parameters
    ----------
    raw
        The source's table; text cells or typed ones.
    target
        Whether the target must be there (training) or is not looked at (prediction).

    Raises
    ------
    Breach
        A column is missing, doubled, or not in the contract.
    """
    _check_names(list(raw.columns), contract, target)
    values, unreadable = {}, {}
    for name, column in contract.columns.items():
        if column.role == "ignored" or (not target and column.role == "target"):
            continue
        if name not in raw.columns:  # then _check_names found that it may be absent
            if column.is_input:
                values[name] = read_cells(pd.Series(None, index=raw.index, dtype="str"), column)
            continue
        cells = raw[name]
        values[name] = read_cells(cells, column)
        lost = values[name].isna() & ~is_missing(cells, column)
        if lost.any():
            unreadable[name] = cells[lost]
    return Table(pd.DataFrame(values, index=raw.index), unreadable)


def read_cells(cells: pd.Series, column: Column) -> pd.Series:
    """Return the values of one column; what cannot be read becomes missing."""
    cells = _unboxed(cells, column)
    match column.kind:
        case "number":
            return _numbers(cells, column)
        case "boolean":
            return _booleans(cells, column)
        case "date":
            return _dates(cells, column)
    return _texts(cells, column)


def is_missing(cells: pd.Series, column: Column) -> pd.Series:
    """Say for each cell whether it means "no value"."""
    cells = _unboxed(cells, column)
    missing = cells.isna()
    if _is_text(cells) or column.kind in ("category", "text"):
        missing = missing | _plain_text(cells).str.strip().isin(column.missing)
    return missing.astype(bool)


def _unboxed(cells: pd.Series, column: Column) -> pd.Series:
    """Give typed cells that come as objects, or as a dictionary of values, their own type."""
    if isinstance(cells.dtype, pd.CategoricalDtype):
        cells = cells.astype(object).infer_objects()
    if cells.dtype != object:
        return cells
    match column.kind, pd.api.types.infer_dtype(cells, skipna=True):
        case "boolean", "boolean":
            return cells.astype("boolean")
        case "number", "decimal":
            return cells.astype("float64")
        case "date", "date":
            return cells.astype("datetime64[us]")
    return cells


def _is_text(cells: pd.Series) -> bool:
    return bool(pd.api.types.is_string_dtype(cells.dtype) or cells.dtype == object)


def _numbers(cells: pd.Series, column: Column) -> pd.Series:
    if not _is_text(cells):
        numbers = cells.map(lambda _: np.nan) if cells.dtype.kind in "mM" else pd.to_numeric(cells, errors="coerce")
        return _finite(numbers.astype("float64"))
    text = cells.astype("str").str.strip()
    marks = text.isin(column.missing)
    point = _escaped(column.decimal)
    if column.thousands:
        grouped = text.str.fullmatch(rf"[+-]?\d{{1,3}}(?:{_escaped(column.thousands)}\d{{3}})+(?:{point}\d*)?")
        text = text.where(~grouped.fillna(False).astype(bool), text.str.replace(column.thousands, "", regex=False))
    plain = text.str.fullmatch(rf"[+-]?(?:\d+(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?").fillna(False).astype(bool)
    if column.decimal != ".":
        text = text.str.replace(column.decimal, ".", regex=False)
    return _finite(pd.to_numeric(text.where(plain & ~marks), errors="coerce").astype("float64"))


def _finite(numbers: pd.Series) -> pd.Series:
    return numbers.where(np.isfinite(numbers))


def _is_time(cells: pd.Series) -> bool:
    return bool(pd.api.types.is_datetime64_any_dtype(cells.dtype))


def _escaped(mark: str) -> str:
    return "\\" + mark if not mark.isspace() else mark


def _booleans(cells: pd.Series, column: Column) -> pd.Series:
    if pd.api.types.is_bool_dtype(cells):
        return cells.astype("float64")
    codes = {**dict.fromkeys(column.true, 1.0), **dict.fromkeys(column.false, 0.0)}
    text = _plain_text(cells).str.strip()
    return text.map(codes).astype("float64")


def _dates(cells: pd.Series, column: Column) -> pd.Series:
    if _is_time(cells):
        naive = cells.dt.tz_convert("UTC").dt.tz_localize(None) if cells.dt.tz is not None else cells
        return naive.astype("datetime64[us]")
    text = cells.astype("str").str.strip() if _is_text(cells) else cells.map(lambda _: None).astype("str")
    text = text.where(~text.isin([*column.missing, *CLOCK]))
    # One cell in nanoseconds would put the whole column into them, and far dates out of range.
    text = text.str.replace(r"([.,]\d{6})\d+", r"\1", regex=True)
    parsed = pd.to_datetime(text, format=column.format or "ISO8601", errors="coerce", utc=True)
    return parsed.dt.tz_localize(None).astype("datetime64[us]")


def _texts(cells: pd.Series, column: Column) -> pd.Series:
    text = _plain_text(cells).str.strip()
    return text.where(~text.isin(column.missing))


def _plain_text(cells: pd.Series) -> pd.Series:
    """Write each cell as text, whole numbers without a fraction: 3.0 and 3 are the category "3"."""
    text = cells.astype("str").where(cells.notna())
    if pd.api.types.is_float_dtype(cells.dtype):
        whole = cells.notna() & (cells % 1 == 0) & (cells.abs() < INTEGERS_EXACT_BELOW)
        text[whole] = cells[whole].astype("int64").astype("str")
    return text


def _check_names(names: list[str], contract: Contract, target: bool) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise Breach(f"column names must differ; {doubled} stand more than once in the table.")
    # An ignored column may go; one that a prediction does not need may be absent.
    spared = {"ignored"} if target else {"ignored", "target", "id", "time", "group"}
    needed = [
        name for name, column in contract.columns.items() if column.role not in spared and (target or column.required)
    ]
    absent = [name for name in needed if name not in names]
    extra = [name for name in names if name not in contract.columns]
    if absent:
        guess = f" Was it renamed? The table has {extra}, which the contract does not." if extra else ""
        raise Breach(
            f"column {absent[0]!r} is missing from the table; the contract requires {absent}.{guess} "
            "See expectations/rows.json."
        )
    if extra:
        raise Breach(
            f"column {extra[0]!r} is not in the contract; {expected_one_of(extra[0], contract.columns)} "
            "Describe it in expectations/rows.json, or give it the role 'ignored'."
        )

"""Look at the cells of one raw column: of which kind are they, how are they written, and what marks a missing one."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import pandas as pd

from lockstep.contract.model import Column, Kind
from lockstep.contract.read import read_cells

MISSING = ("", "?", "NA", "N/A", "n/a", "null", "NULL", "Null", "NaN", "nan", "NAN", "#N/A", "<NA>", "\\N")
"""Marks that mean "no value" in any column."""
MISSING_NUMBER = {
    "-",
    "--",
    ".",
    "..",
    "*",
    "x",
    "na",
    "n.a.",
    "none",
    "nil",
    "unknown",
    "missing",
    "not available",
    "undefined",
    "inf",
    "-inf",
    "+inf",
    "infinity",
    "-infinity",
    "error",
    "tbd",
    "#div/0!",
    "#value!",
    "#ref!",
    "#num!",
    "#name?",
}
"""Marks that mean it, in any case of letters, among numbers and dates; among categories they may be one."""
NUMBERS = (
    ("", "."),
    (",", "."),
    ("", ","),
    (".", ","),
    (" ", "."),
    (" ", ","),
    ("'", "."),
    ("\u00a0", ","),
    ("\u202f", ","),
)
"""Marks for thousands and for decimals, the usual ones first."""
DAYS = (
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%m-%d-%Y",
    "%d-%m-%Y",
    "%Y.%m.%d",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d.%m.%y",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%b %d %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%Y%m%d",
)
TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S", " %H:%M:%S.%f")
MIN_SHARE = 0.99
"""Share of the cells that must be readable as a kind to be of it."""
MAX_STRANGE = 10
"""Different unreadable cells that are taken for marks of missing; of more, each puts its row into quarantine."""
TYPED: dict[str, Kind] = {
    "boolean": "boolean",
    "integer": "number",
    "floating": "number",
    "decimal": "number",
    "mixed-integer-float": "number",
    "datetime64": "date",
    "datetime": "date",
    "date": "date",
}
"""Kinds of cells that come typed, by what pandas calls them."""
N_FIRST = 300
MIN_TEXTS = 20
LONG = 50


@dataclass(frozen=True)
class Look:
    """What a column's cells are."""

    column: Column
    """Kind, and how to read them."""
    notes: tuple[str, ...] = ()
    """Sentences worth telling."""
    mixed: bool = False
    """Dates in several formats, which nothing can read safely."""

    @property
    def kind(self) -> Kind:
        """The kind of the cells."""
        return self.column.kind


def look(cells: pd.Series, name: str) -> Look:
    """Tell the kind of a column from all of its cells."""
    typed = TYPED.get(pd.api.types.infer_dtype(cells, skipna=True))
    if typed in ("boolean", "date"):
        return Look(Column(kind=typed))
    if typed:
        return _as_date_number(cells, name) or Look(Column(kind="number"))
    texts = cells.dropna().astype("str").str.strip().value_counts()
    known = texts[~texts.index.isin(MISSING)]
    marks = ("", *(mark for mark in MISSING[1:] if mark in texts.index))
    if known.empty:
        return Look(Column(kind="category", missing=marks))
    return (
        _booleans(known, marks)
        or _date(known, marks, name, number_too=True)
        or _number(known, marks)
        or _date(known, marks, name)
        or _strings(known, marks)
    )


def _booleans(known: pd.Series, marks: tuple[str, ...]) -> Look | None:
    plain = Column(kind="boolean", missing=marks)
    words = set(known.index) - {"0", "1"}
    return Look(plain) if len(words) > 1 and words <= {*plain.true, *plain.false} and len(words) == len(known) else None


def _number(known: pd.Series, marks: tuple[str, ...]) -> Look | None:
    """Read as numbers what nearly all reads so; codes with leading zeros are none."""
    if known[known.index.str.fullmatch(r"0\d+")].sum() > (1 - MIN_SHARE) * known.sum():
        return None
    for thousands, decimal in NUMBERS:
        column = Column(kind="number", missing=marks, thousands=thousands, decimal=decimal)
        first = known[~_lower_in(known, MISSING_NUMBER)].iloc[:N_FIRST]
        if first.empty or _share_read(first, column) < 0.9:
            continue
        found = _finish(known, column)
        if found and not _is_scale(known, found.column):
            style = [f"thousands are marked by {thousands!r}"] if thousands else []
            style += [f"decimals are marked by {decimal!r}"] if decimal != "." else []
            return Look(found.column, (*style, *found.notes))
    return None


def _is_scale(known: pd.Series, column: Column) -> bool:
    """Say whether numbers and words form one scale, such as 1, 2, 3, 4, "5+"."""
    strange = [mark for mark in column.missing if mark not in MISSING and mark.lower() not in MISSING_NUMBER]
    return bool(strange) and len(known) <= MIN_TEXTS


def _finish(known: pd.Series, column: Column) -> Look | None:
    """Take unreadable cells for marks of missing where they are few; give up where they are many."""
    lost = known[read_cells(_cells(known), column).isna().to_numpy()]
    words = _lower_in(lost, MISSING_NUMBER)
    strange = lost[~words]
    if strange.sum() > (1 - MIN_SHARE) * known.sum() or len(lost) == len(known):
        return None
    marked = [*lost[words].index, *(strange.index if len(strange) <= MAX_STRANGE else ())]
    notes = []
    if len(strange):
        fate = "taken for missing" if len(strange) <= MAX_STRANGE else "their rows go to quarantine"
        notes.append(f"{int(strange.sum())} cells such as {strange.index[0]!r} are no {column.kind}: {fate}")
    return Look(column.model_copy(update={"missing": (*column.missing, *marked)}), tuple(notes))


def _date(known: pd.Series, marks: tuple[str, ...], name: str, *, number_too: bool = False) -> Look | None:
    """Read as dates what nearly all reads so in one format; of month and day the order that all cells allow.

    ``number_too`` asks for days written as one number, 20240131, in a column named like a date.
    """
    first = known[~_lower_in(known, MISSING_NUMBER)].iloc[:N_FIRST]
    all_digits = bool(first.index.str.fullmatch(r"(?:19|20)\d{6}").all())
    if number_too != all_digits or (number_too and not _is_named_date(name)):
        return None
    if first.empty or not first.index.str.contains(r"\d.*[-/. ,T]\s*.*\d|^\d{8}$", regex=True).mean() > 0.8:
        return None
    forms = ["%Y%m%d"] if number_too else _formats(first)
    columns = [Column(kind="date", missing=marks, format=form) for form in forms]
    read = [column for column in columns if _share_read(first, column) > 0.0]
    whole = [found for column in read if (found := _finish(known, column))]
    if whole:
        return _choose_order(whole, known)
    shares = _cover(known, read)
    if len(shares) > 1 and sum(shares.values()) >= MIN_SHARE:
        said = ", ".join(f"{share:.0%} {form}" for form, share in shares.items())
        note = f"dates in several formats ({said}); bring them to one"
        return Look(Column(kind="category", missing=marks), (note,), mixed=True)
    return None


def _cover(known: pd.Series, columns: list[Column]) -> dict[str, float]:
    """Return formats that together read what can be read, each with the share that it adds, the largest first."""
    added, left = {}, known
    for column in sorted(columns, key=lambda column: -_share_read(known, column)):
        read = read_cells(_cells(left), column).notna().to_numpy()
        if read.any():
            added[column.format or "ISO 8601"] = float(left[read].sum() / known.sum())
        left = left[~read]
    return added


def _formats(first: pd.Series) -> Iterator[str | None]:
    """Give the formats that may fit, ISO 8601 (None) first."""
    if first.index.str.match(r"\d{4}-\d\d").any():
        yield None
    timed, worded = first.index.str.contains(":").any(), first.index.str.contains(r"[A-Za-z]{3}", regex=True).any()
    for day, time in product(DAYS, TIMES):
        if (timed or not time) and (worded or "%b" not in day.lower()):
            yield day + time


def _choose_order(found: list[Look], known: pd.Series) -> Look:
    """Take the format that reads most; of two that read all, month first, and say so."""
    shares = [_share_read(known, look.column) for look in found]
    best = [look for look, share in zip(found, shares, strict=True) if share == max(shares)]
    chosen, form = best[0], str(best[0].column.format)
    if len(best) > 1:
        days = [read_cells(_cells(known), look.column).dt.day.nunique() for look in best]
        chosen = best[days.index(min(days))] if min(days) == 1 else best[0]  # one day only: a table of months
        form = str(chosen.column.format)
        others = [str(look.column.format) for look in best if look is not chosen]
        doubt = f"dates read as {form}, but every one could be {others[0]} too: check"
        return Look(chosen.column, (*chosen.notes, doubt))
    note = [f"dates read as {form}{_evidence(known, form, chosen.column)}"] if chosen.column.format else []
    return Look(chosen.column, (*note, *chosen.notes))


def _evidence(known: pd.Series, form: str, column: Column) -> str:
    """Name a cell that month and day the other way round could not be."""
    swapped = form.translate(str.maketrans("md", "dm")) if re.match(r"%[md].%[md]", form) else form
    other = column.model_copy(update={"format": swapped})
    reads = read_cells(_cells(known), column).notna() & read_cells(_cells(known), other).isna()
    lost = known[reads.to_numpy()]
    return f", as {lost.index[0]!r} says" if len(lost) else ""


def _strings(known: pd.Series, marks: tuple[str, ...]) -> Look:
    """Tell categories from texts: most texts differ, or are long."""
    n_letters = float(known.index.str.len().to_numpy() @ known.to_numpy() / known.sum())
    notes: list[str] = []
    many = len(known) > 0.5 * known.sum() and len(known) > MIN_TEXTS
    long = n_letters >= LONG and len(known) > 10 * MIN_TEXTS
    if "NA" in marks and len(known) >= 3 and known.index.str.fullmatch("[A-Z]{2}").all():
        marks = tuple(mark for mark in marks if mark != "NA")
        notes.append("'NA' is kept as a value: all others are two capitals too")
    first = _cells(known.iloc[:N_FIRST])
    plain = first.str.replace(r"[\s$€£¥%,]", "", regex=True)
    if (plain != first).mean() > 0.5 and read_cells(plain, Column(kind="number")).notna().mean() >= MIN_SHARE:
        notes.append(
            f"cells such as {known.index[0]!r} would be numbers without their signs; write them plain to use them so"
        )
    return Look(Column(kind="text" if many or long else "category", missing=marks), tuple(notes))


def _as_date_number(cells: pd.Series, name: str) -> Look | None:
    whole = cells.dropna()
    if not _is_named_date(name) or whole.empty or not (whole.between(19000101, 20991231) & (whole % 1 == 0)).all():
        return None
    return Look(
        Column(kind="number"),
        (
            "days written as numbers, such as 20240131, stay numbers in a typed file; "
            "store them as dates to use them so",
        ),
    )


def _is_named_date(name: str) -> bool:
    return re.search(r"date|day|time|month|period|^dt$|_dt$|_at$", name, flags=re.IGNORECASE) is not None


def _share_read(known: pd.Series, column: Column) -> float:
    return float(known[read_cells(_cells(known), column).notna().to_numpy()].sum() / known.sum())


def _cells(known: pd.Series) -> pd.Series:
    return pd.Series(known.index, dtype="str")


def _lower_in(known: pd.Series, words: Iterable[str]) -> pd.Series:
    return pd.Series(known.index.str.lower().isin(list(words)), index=known.index, dtype=bool)

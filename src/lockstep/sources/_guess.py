"""Guess how somebody's file is cut into cells: format, encoding, separator, quotes, header."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lockstep.errors import SourceError
from lockstep.sources import _bytes, _delimited, file
from lockstep.sources.file import Settings

SEPARATORS = (",", "\t", ";", "|", " ")
N_RECORDS = 200
MIN_NUMBERS = 0.9
"""Share of a column's cells below the first row that must be numbers to call it one of numbers."""
MAX_LABEL = 64
YEAR = re.compile(r"(?:19|20)\d\d")
"""A number that may well be a column's name."""
N_QUOTING = 10_000


@dataclass(frozen=True)
class Guess:
    """The settings of the source, and what there is to say about them."""

    settings: Settings
    notes: tuple[str, ...]


def guess(
    path: Path, written: str, *, names: tuple[str, ...] = (), separator: str | None = None, header: bool | None = None
) -> Guess:
    """Look at a file and settle what is not given.

    Parameters
    ----------
    written
        The path as it will stand in ``params.yaml``.

    Raises
    ------
    SourceError
        The file is missing, empty, or no table in any way we know.
    """
    plain = Settings(path=written)
    file.locate(plain.model_copy(update={"path": str(path)}), path.parent)
    form, notes = _format(path, plain)
    plain = plain.model_copy(update={"format": form if notes else None})
    if form == "parquet":
        return Guess(plain, notes)
    _bytes.refuse_binary(path, written, encoding := _bytes.guess_encoding(path))
    if encoding != "utf-8":
        notes = (*notes, f"the file is not UTF-8; it is read as {encoding}")
    found = plain.model_copy(update={"encoding": encoding})
    if form == "jsonl":
        return Guess(found, notes)
    default = file.SEPARATORS[form]
    mark = separator or _separator(path, written, encoding, default)
    found = found.model_copy(update={"separator": mark if mark != default else None})
    quoting = _quoting(path, found)
    if not quoting:
        notes = (*notes, "double quotes are ordinary characters here; as quotes they would swallow rows")
    first = _records(path, _delimited.Cut(written, mark, False, None, encoding, quoting))
    has_header = header if header is not None else looks_like_header(first)
    if not has_header:
        numbered = f"columns are called column_1 to column_{len(first[0])}; name them by --names"
        called = "columns are named as asked" if names else numbered
        notes = (*notes, f"the first row is data, not names ({_shown(first[0])}): {called}")
    cut = {"quoting": quoting, "header": has_header, "names": names or None}
    return Guess(Settings(**{**found.model_dump(), **cut}), notes)


def looks_like_header(records: Sequence[Sequence[str]]) -> bool:
    """Say whether the first record names the others' columns; where nothing speaks against it, it does."""
    first, below = records[0], [record for record in records[1:] if len(record) == len(records[0])]
    if not below:
        return True
    votes = [_vote(cell.strip(), [record[j].strip() for record in below]) for j, cell in enumerate(first)]
    if sum(votes) != 0:
        return sum(votes) > 0
    return all(0 < len(cell) <= MAX_LABEL and not _is_number(cell) for cell in first)


def _vote(cell: str, below: Sequence[str]) -> int:
    """Return 1 where a cell differs from those below as a name does, -1 where it is one of them, else 0."""
    known = [other for other in below if other and other != "?"]
    if not known or not cell or cell == "?":
        return 0
    if sum(map(_is_number, known)) >= MIN_NUMBERS * len(known):
        return 1 if not _is_number(cell) else 0 if YEAR.fullmatch(cell) else -1
    if cell in known:
        return -1
    return 1 if len(set(known)) <= len(known) / 4 else 0


def _format(path: Path, plain: Settings) -> tuple[file.Format, tuple[str, ...]]:
    """Return the format by the ending, else by the first bytes."""
    with path.open("rb") as stream:
        head = stream.read(64)
    try:
        return plain.resolved_format, ()
    except SourceError:
        is_json = head.lstrip().startswith(b"{")
        found: file.Format = "parquet" if head.startswith(b"PAR1") else "jsonl" if is_json else "csv"
        return found, (f"the ending {path.suffix!r} tells no format; by its content it is {found}",)


def _separator(path: Path, written: str, encoding: str, default: str) -> str:
    """Return the mark that cuts most of the first rows into equally many cells, more than one."""
    with _delimited.lines(path, encoding) as text:
        lines = [line for line in islice(text, N_RECORDS) if line.strip()]
    if not lines:
        raise SourceError(f"source {written!r} must hold a table; there is nothing but blank lines in it.")
    scores = {mark: _evenness(lines, mark) for mark in dict.fromkeys((default, *SEPARATORS))}
    best = max(scores, key=lambda mark: scores[mark])
    if scores[best] > 0:
        return best
    if all("  " in line.strip() for line in lines):
        raise SourceError(
            f"source {written!r}: cells seem to be parted by runs of spaces; part them by one mark, such as a comma."
        )
    return default


def _evenness(lines: Sequence[str], mark: str) -> float:
    widths = Counter(len(record) for record in csv.reader(lines, delimiter=mark) if record)
    width, count = widths.most_common(1)[0]
    share = count / sum(widths.values())
    uneven = mark == " " and (share < 1 or any("  " in line for line in lines))
    return 0.0 if width < 2 or uneven else share


def _quoting(path: Path, found: Settings) -> bool:
    """Say whether double quotes are put around cells; not where each line is a whole row only without them."""
    if _are_around_cells(path, found):
        return True
    quoted, plain = (
        _n_rows(path, found.model_copy(update={"quoting": quoting, "path": str(path), "header": False}))
        for quoting in (True, False)
    )
    return quoted >= plain


def _are_around_cells(path: Path, found: Settings) -> bool:
    """Say whether most of the first double quotes, if there are any, open or close a cell."""
    mark = re.escape(found.separator or file.SEPARATORS[found.resolved_format])
    around = re.compile(rf'(?:(?<=^)|(?<={mark}))"[^"]*"(?=$|{mark})')
    with _delimited.lines(path, found.encoding) as text:
        quoting = list(islice((line.rstrip("\r\n") for line in text if '"' in line), N_QUOTING))
    n_around = 2 * sum(len(around.findall(line)) for line in quoting)
    return n_around >= sum(line.count('"') for line in quoting) / 2


def _n_rows(path: Path, settings: Settings) -> int:
    """Return how many rows are read so; none where it cannot be read."""
    try:
        return len(file.read(settings, path.parent))
    except SourceError:
        return 0


def _records(path: Path, cut: _delimited.Cut) -> list[list[str]]:
    with _delimited.lines(path, cut.encoding) as text:
        return list(islice((record for record in _delimited.records(text, cut) if record), N_RECORDS))


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip().replace(",", "."))
    except ValueError:
        return False
    return True


def _shown(record: Sequence[str]) -> str:
    text = ", ".join(cell.strip() for cell in record)
    return text if len(text) <= 50 else text[:47] + "..."

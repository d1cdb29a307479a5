"""Read separated text: every cell as the text it is, or one line that says where the file is broken."""

import csv
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lockstep.errors import SourceError
from lockstep.sources import _bytes

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 1 << 24
"""Bytes parsed at a time; no row may be longer."""


@dataclass(frozen=True)
class Cut:
    """How a file is cut into cells."""

    where: str
    """The path as errors name it."""
    separator: str
    header: bool
    names: tuple[str, ...] | None
    encoding: str
    quoting: bool


def read(path: Path, cut: Cut, *, whole: bool) -> "Iterator[pa.Table]":
    """Give the cells as text, the empty string for an empty cell; blank lines are no rows.

    ``whole`` asks for one piece, which is parsed on all cores; else the pieces are blocks of the file.

    Raises
    ------
    SourceError
        Naming the line, or the byte, at which the file stops being a table.
    """
    _bytes.refuse_binary(path, cut.where, cut.encoding)
    names, n_lines = _names(path, cut)
    try:
        yield from _parse(path, cut, names, n_lines, whole)
    except (UnicodeError, OSError, ValueError) as error:
        _diagnose(path, cut, len(names), error)
    if cut.quoting and sum(chunk.count(b'"') for chunk in _bytes.chunks(path)) % 2:
        _refuse_open_quote(path, cut)


@contextmanager
def lines(path: Path, encoding: str) -> Iterator[io.TextIOWrapper]:
    """Open a file, plain or gzipped, as text without its byte-order mark; line ends are kept."""
    with _bytes.opened(path) as stream, io.TextIOWrapper(stream, encoding=_without_mark(encoding), newline="") as text:
        yield text


def records(text: io.TextIOWrapper, cut: Cut, *, strict: bool = False) -> Any:
    """Return a ``csv.reader`` over the file."""
    csv.field_size_limit(BLOCK)
    if cut.quoting:
        return csv.reader(text, delimiter=cut.separator, strict=strict)
    return csv.reader(text, delimiter=cut.separator, quoting=csv.QUOTE_NONE)


def _names(path: Path, cut: Cut) -> tuple[tuple[str, ...], int]:
    """Return the names, and the number of lines that the header takes."""
    first, n_lines = _first_record(path, cut)
    given = cut.names
    if given is not None and len(given) != len(first):
        raise SourceError(
            f"source {cut.where!r}: source.names must name every column; the first row has {len(first)} "
            f"cells, source.names has {len(given)}."
        )
    if not cut.header:
        return given or tuple(f"column_{i}" for i in range(1, len(first) + 1)), 0
    names = given or tuple(name.strip() or f"column_{i}" for i, name in enumerate(first, start=1))
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise SourceError(
            f"source {cut.where!r}: column names must differ; {doubled} stand more than once in the "
            "header. Rename them, or give source.names; is there a header at all (source.header)?"
        )
    return names, n_lines


def _first_record(path: Path, cut: Cut) -> tuple[list[str], int]:
    try:
        with lines(path, cut.encoding) as text:
            reader = records(text, cut)
            first: list[str] = next((record for record in reader if record), [])
            n_lines = reader.line_num
    except (UnicodeError, OSError, EOFError, csv.Error, zlib.error) as error:
        _bytes.refuse_broken(path, cut.where, cut.encoding, error)
    if not first:
        raise SourceError(f"source {cut.where!r} must hold a table; there is nothing but blank lines in it.")
    return first, n_lines


def _parse(path: Path, cut: Cut, names: tuple[str, ...], n_skipped: int, whole: bool) -> "Iterator[pa.Table]":
    import pyarrow as pa
    from pyarrow import csv as arrow

    options = (
        arrow.ReadOptions(column_names=list(names), skip_rows=n_skipped, block_size=BLOCK, encoding=cut.encoding),
        arrow.ParseOptions(
            delimiter=cut.separator, quote_char='"' if cut.quoting else False, newlines_in_values=cut.quoting
        ),
        arrow.ConvertOptions(column_types=dict.fromkeys(names, pa.large_string()), strings_can_be_null=False),
    )
    with pa.input_stream(str(path), compression="gzip" if _bytes.is_gzip(path) else None) as source:
        try:
            if whole:
                yield arrow.read_csv(source, *options)
                return
            for batch in arrow.open_csv(source, *options):
                yield pa.Table.from_batches([batch])
        except pa.ArrowInvalid as error:
            if not ("Could not skip" in str(error) or "Empty CSV" in str(error)):
                raise


def _diagnose(path: Path, cut: Cut, n_cells: int, error: Exception) -> NoReturn:
    """Read again, slowly, to say where the file is broken."""
    try:
        with lines(path, cut.encoding) as text:
            reader, begun = records(text, cut), 1
            for record in reader:
                if record and len(record) != n_cells:
                    raise _uneven(cut, begun, len(record), n_cells, last=next(reader, None) is None)
                begun = reader.line_num + 1
    except SourceError:
        raise
    except (UnicodeError, OSError, EOFError, csv.Error, zlib.error) as found:
        _bytes.refuse_broken(path, cut.where, cut.encoding, found)
    _bytes.refuse_broken(path, cut.where, cut.encoding, error)


def _uneven(cut: Cut, line: int, n_found: int, n_cells: int, *, last: bool) -> SourceError:
    cure = (
        "It is the last one: was the file cut off?"
        if last and n_found < n_cells
        else f"Is {cut.separator!r} the separator (source.separator), and are quotes around cells (source.quoting)?"
    )
    return SourceError(
        f"source {cut.where!r}: line {line} must hold {n_cells} cells like the first row; found {n_found}. {cure}"
    )


def _refuse_open_quote(path: Path, cut: Cut) -> None:
    begun = 1
    with lines(path, cut.encoding) as text:
        reader = records(text, cut, strict=True)
        try:
            for _ in reader:
                begun = reader.line_num + 1
        except csv.Error as error:
            if "end of data" in str(error):
                raise SourceError(
                    f"source {cut.where!r}: a double quote opened on line {begun} is never closed. Was "
                    "the file cut off? If quotes are ordinary characters here, set source.quoting: "
                    "false."
                ) from error


def _without_mark(encoding: str) -> str:
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding

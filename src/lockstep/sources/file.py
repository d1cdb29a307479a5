"""Take the table from one file: CSV, TSV, JSON lines or Parquet, plain or gzipped.

Cells of text formats stay the text that they are; the contract alone turns them into values. Parquet is typed already.
"""

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from lockstep import digest
from lockstep.errors import SourceError
from lockstep.params import Block
from lockstep.sources import _delimited, _jsonl

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Format = Literal["csv", "tsv", "jsonl", "parquet"]

ENDINGS: dict[str, Format] = {
    "csv": "csv",
    "data": "csv",
    "test": "csv",
    "train": "csv",
    "txt": "csv",
    "dat": "csv",
    "tsv": "tsv",
    "tab": "tsv",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "json": "jsonl",
    "parquet": "parquet",
    "pq": "parquet",
}
SEPARATORS = {"csv": ",", "tsv": "\t"}


class Settings(Block):
    """Say which file, and how it is cut into cells."""

    kind: Literal["file"] = "file"
    path: str = Field(min_length=1)
    """Relative to the project, or absolute."""
    format: Format | None = None
    """By the file's ending without it; an ending ``.gz`` is looked through."""
    separator: str | None = Field(None, min_length=1, max_length=1)
    """Of csv and tsv: ``,`` and a tab without it."""
    header: bool = True
    """Of csv and tsv: whether the first row holds the names."""
    names: tuple[str, ...] | None = None
    """Of csv and tsv: names to use instead of the header's, or of ``column_1`` and so on."""
    encoding: str = "utf-8"
    quoting: bool = True
    """Of csv and tsv: whether a cell may stand in double quotes; off where they are ordinary characters."""

    @property
    def resolved_format(self) -> Format:
        """The format, stated or told by the file's ending.

        Raises
        ------
        SourceError
            The ending says nothing.
        """
        if self.format:
            return self.format
        ending = PurePath(self.path.lower().removesuffix(".gz")).suffix.removeprefix(".")
        if ending not in ENDINGS:
            raise SourceError(
                f"source {self.path!r}: the ending {'.' + ending!r} tells no format; set source.format "
                f"to one of {sorted(set(ENDINGS.values()))} (known endings: {sorted(ENDINGS)})."
            )
        return ENDINGS[ending]

    @field_validator("encoding")
    @classmethod
    def _encoding_exists(cls, encoding: str) -> str:
        try:
            "x".encode(encoding)  # codecs.lookup would also take base64
        except LookupError:
            raise ValueError(
                f"source.encoding must be one that Python knows, such as 'utf-8' or 'cp1252'; got {encoding!r}"
            ) from None
        return encoding

    @field_validator("names")
    @classmethod
    def _names_differ(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        doubled = sorted({name for name in names or () if (names or ()).count(name) > 1})
        if doubled or "" in (names or ()):
            raise ValueError(
                f"source.names must name each column once; found {doubled or ['']} "
                f"{'more than once' if doubled else 'among them'}"
            )
        return names


def lock(settings: Settings, root: Path) -> dict[str, Any]:
    """Return what identifies the table: the settings as written, and the file's size and digest.

    Raises
    ------
    SourceError
        The file is not there.
    """
    path = locate(settings, root)
    cut = settings.model_dump(mode="json", exclude_none=True)
    return cut | {"bytes": path.stat().st_size, "sha256": digest.of_file(path)}


def read(settings: Settings, root: Path) -> "pd.DataFrame":
    """Return the table; the index counts its rows from 0.

    Raises
    ------
    SourceError
        The file is missing, empty, cut off, binary, of another encoding, or its rows differ in length.
    """
    import pyarrow as pa

    pieces = list(_pieces(settings, root, None))
    return _frame(pa.concat_tables(pieces, promote_options="default"))


def read_chunks(settings: Settings, root: Path, n_rows: int) -> "Iterator[pd.DataFrame]":
    """Give the table in pieces of at most ``n_rows`` rows, never all of it in memory; the index goes on counting.

    Raises
    ------
    SourceError
        As in :func:`read`, once the piece with the fault is reached.
    """
    import pandas as pd

    start = 0
    for piece in _pieces(settings, root, n_rows):
        for offset in range(0, piece.num_rows, n_rows):
            rows = _frame(piece.slice(offset, n_rows))
            rows.index = pd.RangeIndex(start, start + len(rows))
            start += len(rows)
            yield rows


def locate(settings: Settings, root: Path) -> Path:
    """Return the file's place on this machine.

    Raises
    ------
    SourceError
        No file is there, or it holds nothing.
    """
    path = root / Path(settings.path).expanduser()
    if not path.is_file():
        state = "is a folder" if path.is_dir() else "is not there"
        raise SourceError(f"source {settings.path!r} must be a file; it {state}. Is the path right (source.path)?")
    if path.stat().st_size == 0:
        raise SourceError(f"source {settings.path!r} must hold a table; the file is empty (0 bytes).")
    return path


def _pieces(settings: Settings, root: Path, n_rows: int | None) -> "Iterator[pa.Table]":
    """Give the table in one piece, or in pieces of about ``n_rows`` rows; at least one row in all."""
    path, n_found = locate(settings, root), 0
    match settings.resolved_format:
        case "parquet":
            pieces = _parquet(path, settings.path, n_rows)
        case "jsonl":
            pieces = _jsonl.read(path, settings.path, settings.encoding, n_rows)
        case form:
            pieces = _delimited.read(path, _cut(settings, form), whole=n_rows is None)
    for piece in pieces:
        n_found += piece.num_rows
        yield piece
    if not n_found:
        raise SourceError(
            f"source {settings.path!r} must hold rows; there is none in it, though it may hold names of columns."
        )


def _cut(settings: Settings, form: str) -> _delimited.Cut:
    return _delimited.Cut(
        settings.path,
        settings.separator or SEPARATORS[form],
        settings.header,
        settings.names,
        settings.encoding,
        settings.quoting,
    )


def _parquet(path: Path, where: str, n_rows: int | None) -> "Iterator[pa.Table]":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Not read_table(path): a folder named like "a=1" on the way would become a column.
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise SourceError(f"source {where!r}: column names must differ; {doubled} stand more than once.")
        if n_rows is None:
            yield file.read()
            return
        for batch in file.iter_batches(n_rows):
            yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as error:
        said = " ".join(str(error).split()).split(". ")[0].rstrip(".")[:160]
        raise SourceError(
            f"source {where!r} must be a whole Parquet file; {said}. Was it cut off, or is it of another "
            "format (source.format)?"
        ) from error


def _frame(table: "pa.Table") -> "pd.DataFrame":
    """Make a frame of a table as it is: what pandas noted beside it, such as an index, is not followed."""
    import pyarrow as pa

    plain = [
        pa.chunked_array([piece.dictionary_decode() for piece in column.chunks], column.type.value_type)
        if pa.types.is_dictionary(column.type)
        else column
        for column in table.columns
    ]
    rows: pd.DataFrame = pa.table(plain, names=table.column_names).to_pandas(date_as_object=False)
    return rows

"""Read JSON lines: one flat object a line, each value as its text."""

import json
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockstep.errors import SourceError
from lockstep.sources import _bytes, _delimited

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 50_000
"""Rows held as Python objects at a time."""

Row = dict[str, str | None]


def read(path: Path, where: str, encoding: str, n_rows: int | None) -> "Iterator[pa.Table]":
    """Give the values as text: numbers as written, booleans ``true`` and ``false``, null and absent as missing.

    Raises
    ------
    SourceError
        Naming the line that is not one flat JSON object.
    """
    _bytes.refuse_binary(path, where, encoding)
    try:
        with _delimited.lines(path, encoding) as text:
            rows = _rows(text, where)
            while piece := list(islice(rows, n_rows or CHUNK)):
                table = _table(piece)
                if not table.num_columns:
                    raise SourceError(f"source {where!r} must hold rows with values; its objects are empty.")
                yield table
    except SourceError:
        raise
    except (UnicodeError, OSError, EOFError, zlib.error) as error:
        _bytes.refuse_broken(path, where, encoding, error)


def _rows(text: Iterator[str], where: str) -> Iterator[Row]:
    decode = json.JSONDecoder(object_pairs_hook=_flat, parse_int=str, parse_float=str, parse_constant=str).decode
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            row = decode(line)
        except json.JSONDecodeError as error:
            raise _broken(where, number, f"{error.msg} at character {error.pos + 1}") from None
        except (ValueError, RecursionError) as error:
            raise _broken(where, number, str(error)) from None
        if not isinstance(row, dict):
            raise _broken(where, number, f"found {line.strip()[:40]!r}")
        yield row


def _flat(pairs: list[tuple[str, Any]]) -> Row:
    row: Row = {}
    for name, value in pairs:
        if name in row:
            raise ValueError(f"{name!r} stands in it twice")
        if isinstance(value, dict | list):
            raise ValueError(f"{name!r} holds {'an object' if isinstance(value, dict) else 'a list'}")
        row[name] = str(value).lower() if isinstance(value, bool) else value
    return row


def _table(rows: list[Row]) -> "pa.Table":
    import pyarrow as pa

    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: pa.array([row.get(name) for row in rows], pa.large_string()) for name in names})


def _broken(where: str, number: int, found: str) -> SourceError:
    return SourceError(f"source {where!r}: line {number} must be one flat JSON object; {found}.")

"""Look at a file's bytes: is it text, is it whole, and in which encoding."""

import codecs
import gzip
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

from lockstep.errors import SourceError

N_PROBED = 1 << 16
CHUNK = 1 << 20
KNOWN = {
    b"PAR1": "a Parquet file; set source.format: parquet",
    b"PK\x03\x04": "a zip archive or an Excel workbook; save the table as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save the table as CSV",
    b"SQLite": "a SQLite database; export the table as CSV",
    b"BZh": "a bzip2 archive; unpack it",
    b"\xfd7zXZ": "an xz archive; unpack it",
    b"\x28\xb5\x2f\xfd": "a zstd archive; unpack it",
}
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def is_gzip(path: Path) -> bool:
    """Say whether the file begins as gzip does, whatever its name."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def refuse_binary(path: Path, where: str, encoding: str) -> None:
    """Refuse a file that is no text.

    Raises
    ------
    SourceError
        Saying what it seems to be.
    """
    head = _head(path, where)
    if not head:
        raise SourceError(f"source {where!r} must hold a table; the file is empty once unpacked.")
    if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
        return
    if head.startswith(UTF_16):
        raise SourceError(
            f"source {where!r} must be {encoding}; it begins as UTF-16 does. Set source.encoding: utf-16."
        )
    kind = next((kind for mark, kind in KNOWN.items() if head.startswith(mark)), None)
    if kind or b"\0" in head:
        raise SourceError(f"source {where!r} must be text; it is {kind or 'a binary file'}.")


def refuse_broken(path: Path, where: str, encoding: str, error: Exception) -> NoReturn:
    """Say in one line why a file could not be read as text.

    Raises
    ------
    SourceError
        Always: cut off, or of another encoding, or as ``error`` says.
    """
    if isinstance(error, EOFError | zlib.error | gzip.BadGzipFile) or "compressed stream" in str(error):
        raise _cut_off(where) from error
    position = undecodable(path, encoding)
    if position is not None:
        byte = _byte_at(path, position)
        raise SourceError(
            f"source {where!r} must be {encoding}; byte {position} (0x{byte:02x}) is not. Set "
            f"source.encoding: {guess_encoding(path)}, or save the file as UTF-8."
        ) from error
    raise SourceError(f"source {where!r} cannot be read; {' '.join(str(error).split())[:160]}.") from error


def undecodable(path: Path, encoding: str) -> int | None:
    """Return the position of the first byte that is not of this encoding, counted from 0 in the unpacked file."""
    decoder, position = codecs.getincrementaldecoder(encoding)(), 0
    for chunk in chain(chunks(path), [b""]):
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            held = len(error.object) - len(chunk)
            return position - held + error.start
        position += len(chunk)
    return None


def guess_encoding(path: Path) -> str:
    """Return the encoding that a file most likely has: UTF-8, UTF-16 by its mark, else cp1252, else latin-1."""
    with path.open("rb") as file:
        if file.read(2) in UTF_16:
            return "utf-16"
    return next((name for name in ("utf-8", "cp1252") if undecodable(path, name) is None), "latin-1")


def opened(path: Path) -> BinaryIO:
    """Open a file to read its bytes, unpacked."""
    return cast(BinaryIO, gzip.open(path)) if is_gzip(path) else path.open("rb")


def chunks(path: Path) -> Iterator[bytes]:
    """Give the file's bytes, unpacked, a piece at a time."""
    with opened(path) as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _head(path: Path, where: str) -> bytes:
    try:
        return next(chunks(path), b"")[:N_PROBED]
    except (EOFError, OSError, zlib.error) as error:
        raise _cut_off(where) from error


def _cut_off(where: str) -> SourceError:
    return SourceError(f"source {where!r} must be a whole gzip file; it ends early or is damaged. Fetch it again.")


def _byte_at(path: Path, position: int) -> int:
    for chunk in chunks(path):
        if position < len(chunk):
            return chunk[position]
        position -= len(chunk)
    return 0

"""Read the body of a request strictly: what is ambiguous in JSON is refused, not guessed."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import numpy as np
import orjson

MAX_BYTES = 8 * 1024 * 1024
MAX_ROWS = 10_000
MAX_EXPLAINED = 100
"""Rows explained by one request; one may take as long as a thousand predictions."""

Row = dict[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class RefusedError(Exception):
    """End a request with a status and a JSON answer."""

    def __init__(self, status: int, answer: Mapping[str, Any], headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(status, answer)
        self.status, self.answer, self.headers = status, answer, headers


class GoneError(Exception):
    """The client left before its request was complete."""


async def read(headers: list[tuple[bytes, bytes]], receive: Receive, hold: Callable[[int], None]) -> bytes:
    """Return the whole body of a JSON request; ``hold`` is told of the bytes as they come, and may refuse them.

    Raises
    ------
    RefusedError
        415 for another type, 413 for more than 8 MiB, by announcement or by count.
    GoneError
        The client closed the connection.
    """
    _check_headers(headers)
    message = await receive()
    body: bytes = message.get("body", b"")
    pieces, n_bytes = [body], len(body)
    hold(n_bytes)
    while message.get("more_body"):
        _check_size(n_bytes)
        message = await receive()
        piece: bytes = message.get("body", b"")
        hold(len(piece))
        pieces.append(piece)
        n_bytes += len(piece)
    if message["type"] == "http.disconnect":
        raise GoneError
    _check_size(n_bytes)
    return b"".join(pieces) if len(pieces) > 1 else body


def parse(body: bytes, n_fields: int) -> list[Row]:
    """Return the rows of ``{"rows": [{...}, ...]}``, each of some ``n_fields``.

    Raises
    ------
    RefusedError
        400 for anything but that: other JSON, NaN, a key given twice, bytes that are not UTF-8; 413 for too many rows.
    """
    _check_count(body, MAX_ROWS * (n_fields + 1))
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _malformed(f"the body must be JSON in UTF-8; {error}") from None
    if type(found) is not dict or found.keys() != {"rows"}:
        raise _malformed('the body must be {"rows": [...]} and hold nothing else')
    rows: list[Row] = found["rows"]
    if type(rows) is not list or not rows:
        raise _malformed('"rows" must be a list of at least one row')
    if len(rows) > MAX_ROWS:
        raise RefusedError(413, {"error": f"at most {MAX_ROWS:,} rows fit one request; got {len(rows):,}."})
    n_keys = 1
    for i, row in enumerate(rows):
        if type(row) is not dict:
            raise _malformed(f"every row must be an object; row {i} is not")
        n_keys += len(row)
    if body.count(b":") != n_keys:
        _refuse_doubles(body, rows, n_keys)
    return rows


def _check_headers(headers: list[tuple[bytes, bytes]]) -> None:
    kind: bytes | None = None
    for name, value in headers:
        if name == b"content-type":
            kind = value if kind is None else b"two"
        elif name == b"content-length":
            _check_size(int(value) if value.isdigit() else 0)
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise RefusedError(415, {"error": "the body must not be compressed."})
    if kind != b"application/json":
        _check_type(kind or b"")


def _check_type(value: bytes) -> None:
    kind, _, parameters = value.decode("latin-1").lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "")
    if kind.strip() != "application/json" or charset not in ("", "charset=utf-8", "charset=utf8"):
        raise RefusedError(415, {"error": "the content type must be application/json, in UTF-8."})


def _check_size(n_bytes: int) -> None:
    if n_bytes > MAX_BYTES:
        raise RefusedError(413, {"error": f"the body must be at most {MAX_BYTES:,} bytes; send the rows in parts."})


def _check_count(body: bytes, n_most: int) -> None:
    """Refuse more values than rows can hold before they are made, since each takes a hundred bytes; commas tell."""
    if body.count(b",") > n_most and _count_values(body) > n_most:
        raise RefusedError(413, {"error": f"at most {MAX_ROWS:,} rows of the contract's fields fit one request."})


def _count_values(body: bytes) -> int:
    """Count the commas outside of texts, by numpy, which lets other threads go on and minds no number of texts."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    letters = np.frombuffer(body, np.uint8)
    in_text = np.logical_xor.accumulate(letters == ord('"'))
    return int(np.count_nonzero((letters == ord(",")) & ~in_text))


def _refuse_doubles(body: bytes, rows: list[Row], n_keys: int) -> None:
    """Refuse a key that stands twice: each key has a colon, so any left over stand in texts or belong to a double."""
    if b"\\" not in body:
        texts = [text for row in rows for item in row.items() for text in item if type(text) is str]
        if body.count(b":") == n_keys + sum(text.count(":") for text in texts):
            return
    try:
        json.loads(body, object_pairs_hook=_unique)
    except RecursionError:
        raise _malformed("the body is nested too deep") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        double = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        raise _malformed(f"a key may stand once in an object; {double[:64]!r} stands twice")
    return found


def _malformed(reason: str) -> RefusedError:
    return RefusedError(400, {"error": f"{reason}."})

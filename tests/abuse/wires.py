"""Write bytes to a service as no decent client would, and read what it answers."""

import json
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

WITHIN_S = 30.0
CLOSED = (ConnectionResetError, BrokenPipeError)


@dataclass(frozen=True)
class Answer:
    """One answer, as it stood on the wire."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    took_s: float

    def header(self, name: str) -> str | None:
        """Return the one header of this name, or None."""
        found = [value for key, value in self.headers if key == name]
        assert len(found) <= 1, self.headers
        return found[0] if found else None

    def json(self) -> Any:
        """Return what the body says."""
        return json.loads(self.body)


def head(
    method: str = "POST", path: str = "/predict", headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()
) -> bytes:
    """Return the head of a request; a host is among it."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", *(f"{name}: {value}" for name, value in pairs)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def post(body: bytes, headers: Mapping[str, str], path: str = "/predict") -> bytes:
    """Return a whole request."""
    return head("POST", path, {**headers, "content-length": str(len(body))}) + body


def chunked(body: bytes, headers: Mapping[str, str], size: int = 1 << 16) -> Iterable[bytes]:
    """Give a request in chunks, with no length."""
    yield head("POST", "/predict", {**headers, "transfer-encoding": "chunked"})
    for start in range(0, len(body), size):
        piece = body[start : start + size]
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def ask(port: int, pieces: bytes | Iterable[bytes], *, within_s: float = WITHIN_S) -> Answer:
    """Send bytes and return the first answer; what the service does not want to read any more is not sent."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=within_s) as connection:
        with suppress(*CLOSED):
            for piece in [pieces] if isinstance(pieces, bytes) else pieces:
                connection.sendall(piece)
        status, headers, body = read(connection)
    return Answer(status, headers, body, time.monotonic() - began)


@contextmanager
def sending(port: int, content: bytes) -> Iterator[socket.socket]:
    """Open a connection and send bytes on it."""
    with socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S) as connection:
        with suppress(*CLOSED):
            connection.sendall(content)
        yield connection


def read(connection: socket.socket) -> tuple[int, list[tuple[str, str]], bytes]:
    """Read one answer."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += some(connection)
    top, _, body = found.partition(b"\r\n\r\n")
    first, *lines = top.decode("latin-1").split("\r\n")
    pairs = [line.partition(": ") for line in lines]
    headers = [(name.lower(), value) for name, _, value in pairs]
    length = int(dict(headers).get("content-length", 0))
    while len(body) < length:
        body += some(connection)
    return int(first.split()[1]), headers, body[:length]


def read_all(connection: socket.socket) -> bytes:
    """Read until the service closes."""
    found = b""
    with suppress(*CLOSED):
        while piece := connection.recv(1 << 16):
            found += piece
    return found


def some(connection: socket.socket) -> bytes:
    piece = connection.recv(1 << 16)
    assert piece, "the service closed without an answer"
    return piece


def check_refusal(answer: Answer, *statuses: int, within_s: float = 5.0) -> None:
    """Demand a clean refusal: one of these statuses, in time, in JSON that tells one line and nothing of the inside."""
    assert answer.status in statuses, (answer.status, answer.body[:300])
    assert answer.took_s < within_s
    assert answer.header("content-type") == "application/json"
    assert answer.header("content-length") == str(len(answer.body))
    assert len(answer.body) < 2000, "nothing that was sent is sent back at length"
    check_text(answer.json())


def check_text(told: Any) -> None:
    """Demand that no text of an answer holds a control character, or a line of a stack trace."""
    if isinstance(told, dict):
        told = list(told.items())
    if isinstance(told, list | tuple):
        for one in told:
            check_text(one)
    elif isinstance(told, str):
        assert told.isprintable(), told
        assert "Traceback" not in told
        assert 'File "' not in told

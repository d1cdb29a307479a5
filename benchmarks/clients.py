"""Ask a service over connections that stay open, each for its next row as soon as it has an answer; print what it took.

A process of its own, so that it shares no interpreter with what is measured, and lean: requests are bytes made
beforehand, answers are looked at as far as their length and status. Every answer but 200 is a failure.
"""

import argparse
import asyncio
import itertools
import json
import os
import re
import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import uvloop

OK = b"HTTP/1.1 200 "
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
ANSWER_WITHIN_S = 30.0
SHOWN = 400
"""Bytes of the first failure that are told."""


class Load:
    """What is sent, and what came back; one for all connections."""

    def __init__(self, requests: list[bytes], seconds: float, n_requests: int | None) -> None:
        self._requests: Iterator[bytes] = itertools.cycle(requests)
        self._left = n_requests
        self._began = self._ended = time.perf_counter()
        self._stop = self._began + seconds
        self._seconds = array("d")
        self._n_failed, self._failure = 0, b""

    def next(self) -> bytes | None:
        """Return the next request, or None where it is enough."""
        if self._left is None:
            return next(self._requests) if time.perf_counter() < self._stop else None
        self._left -= 1
        return next(self._requests) if self._left >= 0 else None

    def answered(self, since: float, answer: bytes) -> None:
        """Count an answer to what was sent then."""
        self._ended = time.perf_counter()
        self._seconds.append(self._ended - since)
        if not answer.startswith(OK):
            self.failed(answer)

    def failed(self, what: bytes) -> None:
        """Count a failure."""
        self._n_failed += 1
        self._failure = self._failure or what[:SHOWN]

    def figures(self) -> dict[str, float | str]:
        """Return rate and latencies, over all requests."""
        taken = sorted(self._seconds)
        if not taken:
            return {"n": 0, "n_failed": self._n_failed, "failure": self._failure.decode("latin-1")}
        return {
            "n": len(taken),
            "n_failed": self._n_failed,
            "failure": self._failure.decode("latin-1"),
            "rate": len(taken) / (self._ended - self._began),
            "p50_ms": taken[len(taken) // 2] * 1000,
            "p99_ms": taken[len(taken) * 99 // 100] * 1000,
            "largest_ms": taken[-1] * 1000,
        }


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, load: Load) -> None:
        self.over = asyncio.get_running_loop().create_future()
        self._load = load
        self._answer, self._n_bytes, self._since = b"", 0, 0.0
        self._waits = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Send the first request."""
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Take a piece of an answer; where it is the last, send the next request."""
        self._answer = self._answer + data if self._answer else data
        if not self._n_bytes:
            end = self._answer.find(b"\r\n\r\n")
            if end < 0:
                return
            length = LENGTH.search(self._answer, 0, end + 2)
            if not length:
                self._transport.abort()  # counted as a connection that was lost
                return
            self._n_bytes = end + 4 + int(length[1])
        if len(self._answer) >= self._n_bytes:
            self._waits = False
            self._load.answered(self._since, self._answer)
            self._ask()

    def connection_lost(self, _: Exception | None) -> None:
        """End; it is a failure where an answer was due."""
        if self._waits:
            self._load.failed(b"the connection was closed instead of an answer; " + self._answer)
        if not self.over.done():
            self.over.set_result(None)

    def _ask(self) -> None:
        request = self._load.next()
        if request is None:
            self._transport.close()
            return
        self._answer, self._n_bytes, self._waits, self._since = b"", 0, True, time.perf_counter()
        self._transport.write(request)


async def ask(port: int, load: Load, n_clients: int, within_s: float) -> None:
    """Open the connections, and wait until all are done."""
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(lambda: Client(load), "127.0.0.1", port) for _ in range(n_clients)]
    await asyncio.wait_for(asyncio.gather(*(client.over for _, client in opened)), within_s)


def request(path: str, body: bytes, token: str) -> bytes:
    """Return a request as it goes over the wire."""
    head = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    head += [f"Authorization: Bearer {token}"] if token else []
    return "\r\n".join([*head, "", ""]).encode() + body


def main() -> None:
    """Send the lines of a file, again and again, for some seconds or for a number of requests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("bodies", type=Path, help="a file with a body a line")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--requests", type=int, help="end after as many instead")
    given = parser.parse_args()
    token = os.environ.get("LOCKSTEP_TOKEN", "")
    requests = [request(given.path, line, token) for line in given.bodies.read_bytes().splitlines()]
    load = Load(requests, given.seconds, given.requests)
    within_s = ANSWER_WITHIN_S + (given.requests / 10 if given.requests else given.seconds)
    try:
        uvloop.run(ask(given.port, load, given.clients, within_s))
    except TimeoutError:
        sys.exit(f"not every request was answered within {within_s:g} s: {load.figures()}")
    print(json.dumps(load.figures()))


if __name__ == "__main__":
    main()

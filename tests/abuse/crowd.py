"""Decent clients, in a process of their own, who ask on and on and compare every answer with the expected one.

As a script, ``crowd.py SETTINGS``: asks until its input ends, then writes what it saw.
"""

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from served import Built, Service

WITHIN_S = 10.0


@dataclass(frozen=True)
class Settings:
    """Who asks, and how."""

    port: int
    requests: list[str]
    """Whole requests but for the header that closes the connection."""
    expected: list[str]
    """The predictions of each, as JSON; without their ids and warnings."""
    model: str
    result: str
    """The file that what was seen is written to."""
    clients: int = 4
    every_s: float = 0.02
    """From one request of a client to its next, on average; 0 for at once."""
    keep: bool = True
    """Whether a client keeps its connection."""


@dataclass(frozen=True)
class Seen:
    """One request and what came back."""

    began: float
    """As ``time.monotonic`` says, for all processes the same."""
    took_ms: float
    status: int
    """0 for no whole answer."""
    told: str = ""
    """What was wrong, or nothing."""
    ids: list[str] = field(default_factory=list)
    """Of its predictions."""


class Crowd:
    """Clients at work; ends with the ``with`` block of :func:`asking`, and knows then what they saw."""

    def __init__(self, settings: Settings) -> None:
        self.seen: list[Seen] = []
        file = Path(settings.result).with_suffix(".settings")
        file.write_text(json.dumps(asdict(settings)))
        self._result = Path(settings.result)
        self._process = subprocess.Popen([sys.executable, __file__, str(file)], stdin=subprocess.PIPE)

    def end(self) -> None:
        """End, and read what was seen."""
        self._process.communicate(timeout=3 * WITHIN_S)
        assert self._process.returncode == 0
        self.seen = [Seen(**json.loads(line)) for line in self._result.read_text().splitlines()]

    def between(self, start: float, end: float) -> list[Seen]:
        """Return what began in a time."""
        return [one for one in self.seen if start <= one.began < end]


@contextlib.contextmanager
def asking(service: Service, folder: Path, **settings: Any) -> Iterator[Crowd]:
    """Let clients ask while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    requests, expected = prepared(service.built, service.headers)
    result = folder / f"crowd-{time.monotonic_ns()}"
    crowd = Crowd(Settings(service.port, requests, expected, service.built.model, str(result), **settings))
    try:
        yield crowd
    finally:
        crowd.end()


def prepared(built: Built, headers: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return requests of one to three rows each, with what must be answered."""
    requests, expected = [], []
    for i in range(0, len(built.rows) - 3):
        part = slice(i, i + 1 + i % 3)
        body = json.dumps({"rows": built.rows[part]})
        lines = ["POST /predict HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}"]
        head = [*lines, *(f"{name}: {value}" for name, value in headers.items())]
        requests.append("\r\n".join([*head, "", body]))
        expected.append(json.dumps(built.expected[part]))
    return requests, expected


class Client:
    """One of them."""

    def __init__(self, number: int, settings: Settings) -> None:
        self._draw, self._settings = random.Random(number), settings
        self._requests = [request.encode() for request in settings.requests]
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.seen: list[Seen] = []

    async def run(self, over: asyncio.Event) -> None:
        pace_s = self._settings.every_s
        while not over.is_set():
            if pace_s:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), self._draw.uniform(0, 2 * pace_s))
            self.seen.append(await self._ask(self._draw.randrange(len(self._requests))))
            if not self.seen[-1].status:
                await asyncio.sleep(0.02)
        self._close()

    async def _ask(self, number: int) -> Seen:
        began, is_fresh = time.monotonic(), self._streams is None
        try:
            async with asyncio.timeout(WITHIN_S):
                status, answer = await self._exchange(self._requests[number])
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self._close()
            how = f"{len(getattr(error, 'partial', b''))} bytes on a {'fresh' if is_fresh else 'kept'} connection"
            return Seen(began, _since(began), 0, f"{type(error).__name__} after {how}")
        took_ms = _since(began)
        if status != 200:
            return Seen(began, took_ms, status, answer[:200].decode())
        told = json.loads(answer)
        ids = [one.pop("prediction_id") for one in told["predictions"]]
        for one in told["predictions"]:
            one.pop("warnings", None)
        right = json.dumps(told["predictions"]) == self._settings.expected[number]  # as text: to the last bit
        right = right and told["model"] == self._settings.model
        return Seen(began, took_ms, status, "" if right else f"WRONG: {answer!r}", ids)

    async def _exchange(self, request: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._settings.port)
        reader, writer = self._streams
        if not self._settings.keep:
            request = request.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        body = await reader.readexactly(length)
        if "connection: close" in head:
            self._close()
        return int(head.split()[1]), body

    def _close(self) -> None:
        if self._streams:
            self._streams[1].close()
        self._streams = None


def _since(began: float) -> float:
    return (time.monotonic() - began) * 1000


async def ask_on(settings: Settings) -> None:
    over, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.run_in_executor(None, sys.stdin.read).add_done_callback(lambda _: over.set())
    clients = [Client(number, settings) for number in range(settings.clients)]
    await asyncio.gather(*(client.run(over) for client in clients))
    seen = sorted((one for client in clients for one in client.seen), key=lambda one: one.began)
    Path(settings.result).write_text("".join(json.dumps(asdict(one)) + "\n" for one in seen))


if __name__ == "__main__":
    uvloop.run(ask_on(Settings(**json.loads(Path(sys.argv[1]).read_text()))))

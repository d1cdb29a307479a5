"""Record every prediction in JSON Lines, by a thread of its own, so that no request waits for a disk.

A line holds what was asked and what was answered: ``id``, ``time`` (UTC), ``bento``, ``model``, ``inputs``,
``prediction``, ``probabilities``, ``warnings`` and ``latency_ms`` of its request. Values of columns that the contract
calls private stand there as keyed hashes. Files are named by day and process; a new one is begun at 64 MiB.
"""

import contextlib
import errno
import hashlib
import hmac
import logging
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import orjson

from lockstep.contract import Contract

MAX_BYTES = 64 << 20
MAX_WAITING_BYTES = 16 << 20
"""Of bodies whose predictions wait to be written; beyond it they are counted as unwritten."""
WRITE_EVERY_S = 0.25
KEY = "private.key"
HASHED = "hmac-sha256:"
TIME_DIGITS = 12
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL

log = logging.getLogger("lockstep.service")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was answered."""

    identity: str
    began: float
    """Seconds since 1970."""
    latency_s: float
    n_bytes: int
    """Of its body."""
    rows: list[dict[str, Any]]
    answers: list[dict[str, Any]]


def request_id() -> str:
    """Return a name for a request, of 28 hexadecimal digits: milliseconds since 1970, then 64 random bits."""
    return f"{time.time_ns() // 1_000_000:0{TIME_DIGITS}x}{secrets.token_hex(8)}"


def prediction_id(request: str, row: int) -> str:
    """Return the name of one of a request's predictions."""
    return f"{request}-{row}"


class Recorder:
    """Appends what was answered to files in a folder; counts in ``n_unwritten`` what it could not."""

    def __init__(self, folder: Path, contract: Contract, bento: str, model: str, max_bytes: int = MAX_BYTES) -> None:
        self.n_unwritten = 0
        self._folder, self._bento, self._model, self._max_bytes = folder, bento, model, max_bytes
        self._columns = {name for name, column in contract.columns.items() if column.role not in ("target", "ignored")}
        self._private = {name for name in self._columns if contract.columns[name].private}
        self._hash: Callable[[Any], str] | None = None
        self._waiting: deque[Asked] = deque()
        self._n_waiting = self._n_files = 0
        self._counting = threading.Lock()
        self._file: IO[bytes] | None = None
        self._day = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="predictions", daemon=True)
        self._thread.start()

    def add(self, asked: Asked) -> None:
        """Have a request written soon."""
        with self._counting:  # the thread that writes counts too
            if self._n_waiting + asked.n_bytes > MAX_WAITING_BYTES:
                self.n_unwritten += len(asked.answers)
                return
            self._n_waiting += asked.n_bytes
        self._waiting.append(asked)

    def close(self) -> None:
        """Write what waits, and end."""
        self._over.set()
        self._thread.join()

    def _write_on(self) -> None:
        while not self._over.wait(WRITE_EVERY_S):
            self._write_waiting()
        self._write_waiting()
        if self._file:
            self._file.close()

    def _write_waiting(self) -> None:
        while self._waiting:
            asked, n_unwritten = self._waiting.popleft(), 0
            try:
                self._append(b"".join(self._lines(asked)), asked.began)
            except OSError:
                n_unwritten = len(asked.answers)
            except Exception as error:  # the thread must go on; what it could not write is counted
                n_unwritten = len(asked.answers)
                log.error("predictions of request %s are not recorded: %s", asked.identity, type(error).__name__)
            with self._counting:
                self._n_waiting -= asked.n_bytes
                self.n_unwritten += n_unwritten

    def _append(self, lines: bytes, began: float) -> None:
        file = self._current(datetime.fromtimestamp(began, UTC).date().isoformat())
        end = file.tell()
        try:
            if file.write(lines) < len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(end)  # of a request all lines are there, or none
            file.seek(end)
            raise

    def _current(self, day: str) -> IO[bytes]:
        if self._file is None or day != self._day or self._file.tell() >= self._max_bytes:
            if self._file:
                self._file.close()
                self._file = None
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            name = f"{day}-{os.getpid()}-{self._n_files:04}-{secrets.token_hex(2)}.jsonl"
            self._file = os.fdopen(os.open(self._folder / name, NEW, 0o600), "wb", buffering=0)
            self._day, self._n_files = day, self._n_files + 1
        return self._file

    def _lines(self, asked: Asked) -> Iterator[bytes]:
        when = datetime.fromtimestamp(asked.began, UTC).isoformat(timespec="milliseconds")
        common: dict[str, Any] = {"time": when, "bento": self._bento, "model": self._model}
        common["latency_ms"] = round(asked.latency_s * 1000, 3)
        shared = orjson.dumps(common)[1:-1]
        for row, answer in zip(asked.rows, asked.answers, strict=True):
            # Put together from three parts: one dump of all would copy every input and every answer first.
            name, told = orjson.dumps(answer["prediction_id"]), orjson.dumps(self._answer(answer))
            yield b'{"id":%b,%b,"inputs":%b,%b\n' % (name, shared, orjson.dumps(self._inputs(row)), told[1:])

    def _inputs(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        if not self._private and self._columns.issuperset(row):
            return row
        return {name: self._told(name, value) for name, value in row.items() if name in self._columns}

    def _answer(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        told = {key: value for key, value in answer.items() if key != "prediction_id"}
        if self._private and "warnings" in told:
            warnings = [{**one, "found": self._told(one["field"], one["found"])} for one in told["warnings"]]
            return {**told, "warnings": warnings}
        return told

    def _told(self, name: str, value: Any) -> Any:
        if name not in self._private:
            return value
        self._hash = self._hash or hasher(self._folder)
        return self._hash(value)


def hasher(folder: Path) -> Callable[[Any], str]:
    """Return what turns a private value into its keyed hash; the key lies in the folder, for its owner alone.

    Null stays distinguishable from other values by its hash alone: equal values have equal hashes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, new = folder / KEY, folder / f".{KEY}.{secrets.token_hex(4)}"
    if not path.exists():
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
        with contextlib.suppress(FileExistsError):  # another process was first; its key, whole, is everybody's
            os.link(new, path)
        new.unlink()
    key = path.read_bytes()
    return lambda value: HASHED + hmac.new(key, orjson.dumps(value), hashlib.sha256).hexdigest()


def find(folder: Path, identity: str) -> Mapping[str, Any] | None:
    """Return the recorded prediction of this id, or None; only files of its day, and of the next, are read."""
    try:
        began = datetime.fromtimestamp(int(identity[:TIME_DIGITS], 16) / 1000, UTC).date()
    except (ValueError, OverflowError, OSError):
        return None
    wanted = f'{{"id":"{identity}",'.encode()
    for day in (began, began + timedelta(days=1)):  # a request may arrive before midnight and be answered after
        for path in sorted(folder.glob(f"{day.isoformat()}-*.jsonl")):
            with path.open("rb") as file:
                for line in file:
                    if line.startswith(wanted) and line.endswith(b"\n"):
                        found: Mapping[str, Any] = orjson.loads(line)
                        return found
    return None

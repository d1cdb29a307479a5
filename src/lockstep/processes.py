"""Run a command in a process group of its own, within limits, and leave nothing of it behind."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from lockstep.errors import PASSING, StageFailed, explain

TICK_S = 0.05
WEIGH_S = 0.5
GRACE_S = 5.0
SHELL_SIGNAL = 128
"""What a shell adds to the number of the signal that killed its command."""


@dataclass(frozen=True)
class Limits:
    """What a command may use: seconds, and MiB of resident memory, its children's included."""

    timeout_s: float
    memory_mb: int | None = None


@dataclass(frozen=True)
class Watch:
    """What is told of a command while it runs, and who may stop it."""

    line: Callable[[str], None] = lambda _: None
    """Receives each line that it prints."""
    tick: Callable[[], None] = lambda: None
    """Called about twice a second."""
    stopped: Callable[[], bool] = lambda: False
    """Whether it should end now."""


def run(command: str, root: Path, log: Path, limits: Limits, watch: Watch, **environment: str) -> None:
    """Run a shell command in ``root``, its output in ``log``.

    However it ends, by itself, by a limit or because it was stopped, no process of its group is left.

    Raises
    ------
    StageFailed
        It ended with another status than 0, or by a limit; with the last line that it printed. ``passing`` where it
        ended with status 75, or was killed by a signal that nobody here sent.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)  # a run of another worktree may be writing it; it keeps its own
    with log.open("wb") as output, log.open("rb") as reading:
        started = subprocess.Popen(
            _bound(command),
            cwd=root,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        lines = _Lines(reading, watch.line)
        try:
            cause = _wait(started, limits, watch, lines)
        finally:
            end(started)
            lines.read(whole=True)
    if cause or started.returncode:
        raise _failure(started.returncode, cause, lines, log)


def end(started: "subprocess.Popen[bytes]") -> None:
    """End a process, its group and all that descends from it: asked first, then killed; returns when all are gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(started.pid).children(recursive=True) if started.poll() is None else []
        _signal_group(started.pid, signal.SIGTERM)
        _, left = psutil.wait_procs(family, timeout=GRACE_S) if family else ([], [])
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        started.wait(GRACE_S)
    _signal_group(started.pid, signal.SIGKILL)
    started.wait()


def _wait(started: "subprocess.Popen[bytes]", limits: Limits, watch: Watch, lines: "_Lines") -> str:
    """Wait until the command ends; return why it must be ended, empty where it did so by itself."""
    deadline, weigh = time.monotonic() + limits.timeout_s, 0.0
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(TICK_S)
            return ""
        lines.read()
        now = time.monotonic()
        if watch.stopped():
            return "was stopped"
        if now > deadline:
            return f"took longer than flow.timeout_s, {limits.timeout_s:g} s"
        if now >= weigh:
            weigh = now + WEIGH_S
            watch.tick()
            if limits.memory_mb and (held := resident_mb(started.pid)) > limits.memory_mb:
                return f"held {held:.0f} MiB of memory; flow.memory_mb allows {limits.memory_mb}"


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process and all that descends from it, in MiB; shared pages count for each."""
    return sum(_resident(process) for process in _family(pid)) / (1 << 20)


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _bound(command: str) -> list[str]:
    """Return the words that run a shell command which the kernel kills when this process dies (Linux)."""
    shell = ["/bin/sh", "-c", command]
    return ["setpriv", "--pdeathsig", "KILL", *shell] if shutil.which("setpriv") else shell


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _failure(status: int, cause: str, lines: "_Lines", log: Path) -> StageFailed:
    killer = -status if status < 0 else status - SHELL_SIGNAL
    killed = killer > 0 and killer in set(signal.Signals) and killer != signal.SIGINT
    # The shell says how its command ended, as "Killed"; what the command itself said comes before.
    last = lines.before if killed and lines.last.startswith(signal.strsignal(killer) or "\n") else lines.last
    if cause or killed:
        said = cause or f"was killed by {signal.Signals(killer).name}"
        return StageFailed(f"{said}{f'; it said last: {last}' if last else ''}", passing=not cause)
    return StageFailed(
        last or _unwritten(log) or f"ended with status {status} and said nothing", passing=status == PASSING
    )


def _unwritten(log: Path) -> str:
    """Say why a command may have said nothing: a full disk takes no log either."""
    try:
        with log.open("ab") as file:
            file.write(b"\n")
    except OSError as error:
        error.filename = error.filename or str(log)
        return explain(error)
    return ""


class _Lines:
    """Follows a growing file line by line."""

    def __init__(self, file: IO[bytes], line: Callable[[str], None]) -> None:
        self._file, self._line, self._rest = file, line, b""
        self.last = self.before = ""

    def read(self, *, whole: bool = False) -> None:
        """Pass on what came since; the unfinished last line too if ``whole``."""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in self._texts([*lines, *([self._rest] if whole else [])]):
            self.before, self.last = self.last, line
            self._line(line)

    def _texts(self, lines: list[bytes]) -> Iterator[str]:
        for line in lines:
            if text := line.decode("utf-8", "replace").rstrip():
                yield text

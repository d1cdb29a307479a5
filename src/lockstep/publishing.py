"""Have a process of its own publish to MLflow, and end it when its time is up: no server, however ill, holds the line.

Imports nothing heavy; the work is done in ``lockstep.tracking``. A publisher that is ended loses nothing: what it did
is there, and the next one goes on from there.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lockstep import project
from lockstep.errors import Unavailable

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from lockstep.tracking.worker import main
sys.exit(main(*sys.argv[2:]))
"""
LOG = "logs/publish.log"
AGAIN = "`lockstep publish` goes on from there"
TICK_S = 0.1


@dataclass(frozen=True)
class Outcome:
    """What came of publishing."""

    went_well: bool
    line: str

    def __str__(self) -> str:
        return self.line


def publish(root: Path, seconds: float = 60.0) -> str:
    """Bring MLflow up to what the stages wrote; return one line of what was done.

    Raises
    ------
    Unavailable
        It failed, or took longer than ``seconds``; in one line.
    """
    outcome = _run(root, seconds, lambda: False)
    if not outcome.went_well:
        raise Unavailable(outcome.line)
    return outcome.line


def best_effort(root: Path, seconds: float = 12.0, stopped: Callable[[], bool] = lambda: False) -> Outcome:
    """Publish if that goes well within ``seconds``; never raise for what MLflow, or the disk, does.

    Ends early once ``stopped`` says so.
    """
    try:
        outcome = _run(root, seconds, stopped)
    except OSError as error:
        outcome = Outcome(False, f"{error}; {AGAIN}.")
    return outcome if outcome.went_well else Outcome(False, f"not published: {outcome.line}")


def _run(root: Path, seconds: float, stopped: Callable[[], bool]) -> Outcome:
    log = project.state(root) / LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)  # another publisher may be writing it
    command = [sys.executable, "-c", PROGRAM, str(root / "src"), str(root), str(seconds), str(os.getpid())]
    with log.open("wb") as errors:
        started = subprocess.Popen(
            command, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
        try:
            said, why = _wait(started, seconds, stopped)
        finally:
            _end(started)
    if why:
        return Outcome(False, f"publishing to MLflow {why}; {AGAIN}.")
    lines = said.decode("utf-8", "replace").strip().splitlines()
    if started.returncode in (0, 1) and lines:
        return Outcome(started.returncode == 0, lines[-1])
    return Outcome(False, f"the publisher ended with status {started.returncode}, see {log}; {AGAIN}.")


def _wait(started: "subprocess.Popen[bytes]", seconds: float, stopped: Callable[[], bool]) -> tuple[bytes, str]:
    """Return what the publisher said, and why it must be ended before it is done, empty where it is."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return started.communicate(timeout=TICK_S)[0], ""
        if stopped():
            return b"", "was stopped"
        if time.monotonic() > end:
            return b"", f"took longer than {seconds:g} s and was ended"


def _end(started: "subprocess.Popen[bytes]") -> None:
    """End the publisher and whatever it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    if started.stdout:
        started.stdout.close()

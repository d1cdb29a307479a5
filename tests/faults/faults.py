"""Start the line with a fault in it: what shall happen where, the run, and what it left to read."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
FLOW = ("python", "flows/train.py")
REPRO = ("dvc", "repro")
WITHIN_S = 300.0
CONTROL_C = b"\x03"


@dataclass(frozen=True)
class Fault:
    """What shall happen inside a stage's process, and when; see ``inject/sitecustomize.py``."""

    stage: str
    at: str
    act: str = "hold"
    times: int = 1


@dataclass(frozen=True)
class Placed:
    """A fault in a run that was started."""

    fault: Fault
    folder: Path
    outs: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        return {**vars(self.fault), "folder": str(self.folder), "outs": list(self.outs)}

    def count(self) -> int:
        """Return how often it has happened."""
        return len([path for path in self.folder.iterdir() if path.name.isdigit()])

    def pids(self, number: int = 1) -> tuple[int, int]:
        """Return the processes in which it happened: the stage's, and that of the child which it left, or 0."""
        stage, child = (self.folder / str(number)).read_text().split()
        return int(stage), int(child)

    def release(self) -> None:
        """Let a held stage go on."""
        (self.folder / "go").touch()


@dataclass(frozen=True)
class Ended:
    """What a run of the line left to read."""

    command: tuple[str, ...]
    status: int
    text: str

    @property
    def made(self) -> list[str]:
        """The stages that it ran, in order; of a flow those that it ran to their end."""
        if self.command[0] == "dvc":
            return re.findall(r"^Running stage '([^']+)'", self.text, flags=re.MULTILINE)
        return re.findall(r"Task run '([^']+)' - Finished in state Completed\('run'", self.text)

    @property
    def finished(self) -> list[str]:
        """The stages that it ran and recorded, or was about to record."""
        if self.command[0] == "dvc":
            return re.findall(
                r"^Running stage '([^']+)'(?:(?!\n(?:Running )?[Ss]tage ')[\s\S])*?\nUpdating", self.text, re.M
            )
        return self.made

    def said(self, *parts: str) -> str:
        """Criterion 5: return the one line that tells what went wrong; it must hold every part."""
        assert self.status != 0, f"{self.command} went well:\n{self.text}"
        assert "Traceback" not in self.text, self.text
        lines = {line for line in self.text.splitlines() if line.startswith("lockstep ")}
        assert len(lines) == 1, f"{self.command} must say one line of the line's own:\n{self.text}"
        line = lines.pop()
        absent = [part for part in parts if part not in line]
        assert not absent, f"{absent} not in: {line}"
        return line


class Started:
    """A run of the line, started as a terminal does: the leader of a process group of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path, faults: Sequence[Placed], terminal: int) -> None:
        self.process, self.faults = process, faults
        self._log, self._terminal = log, terminal

    @property
    def text(self) -> str:
        """What it has said by now."""
        return self._log.read_text("utf-8", "replace")

    def reaches(self, number: int = 0, times: int = 1) -> Placed:
        """Wait until a fault has happened; fail where the run ends before."""
        placed = self.faults[number]
        until(lambda: placed.count() >= times or self.is_over(), lambda: f"{placed.fault} in\n{self.text}")
        assert placed.count() >= times, f"the run ended before {placed.fault}:\n{self.text}"
        return placed

    def says(self, text: str) -> None:
        """Wait until it has said something; fail where it ends before."""
        until(lambda: text in self.text or self.is_over(), lambda: f"{text!r} not in\n{self.text}")
        assert text in self.text, self.text

    def is_over(self) -> bool:
        return self.process.poll() is not None

    def signal(self, number: int) -> None:
        """Send a signal to the leader alone."""
        os.kill(self.process.pid, number)

    def types(self, keys: bytes) -> None:
        """Type on its terminal."""
        os.write(self._terminal, keys)

    def ends(self) -> Ended:
        """Wait until it is over."""
        self.process.wait(WITHIN_S)
        os.close(self._terminal)
        return Ended(tuple(self.process.args), self.process.returncode, self.text)  # type: ignore[arg-type]


def until(holds: Callable[[], T], else_say: Callable[[], str] = lambda: "it did not come true in time") -> T:
    """Wait until ``holds()`` is true, and return what it gave."""
    end = time.monotonic() + WITHIN_S
    while not (found := holds()):
        assert time.monotonic() < end, else_say()
        time.sleep(0.01)
    return found

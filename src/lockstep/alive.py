"""Say which process owns a piece of work and whether it lives, after crashes, reboots and changes of the clock."""

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
START_FIELD = 19
"""Position of a process's start, in ticks since boot, behind its name in ``/proc/<pid>/stat`` (proc(5), field 22)."""


@dataclass(frozen=True)
class Owner:
    """A process, named so that no later one can be taken for it."""

    host: str
    boot: str
    pid: int
    started: str

    def as_json(self) -> dict[str, Any]:
        """Return what :func:`read` reads."""
        return asdict(self)


def read(value: Mapping[str, Any]) -> Owner:
    """Return the owner that ``value`` names; keys that it does not know are left alone."""
    return Owner(str(value["host"]), str(value["boot"]), int(value["pid"]), str(value["started"]))


def me() -> Owner:
    """Return this process."""
    return of(os.getpid())


def of(pid: int) -> Owner:
    """Return a process of this host."""
    return Owner(socket.gethostname(), _boot(), pid, _started(pid))


def is_dead(owner: Owner) -> bool:
    """Say whether a process is known to have ended; of another host nothing is known."""
    if owner.host != socket.gethostname():
        return False
    return owner.boot != _boot() or owner.started != _started(owner.pid)


def _boot() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Return when a process began, empty if there is none; in ticks, which a change of the clock does not move."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _started_elsewhere(pid)
    return "" if words[0] in "ZX" else words[START_FIELD]


def _started_elsewhere(pid: int) -> str:
    if BOOT_ID.exists():
        return ""
    import psutil

    try:
        return str(int(psutil.Process(pid).create_time()))
    except psutil.Error:
        return ""

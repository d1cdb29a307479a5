"""Find the processes of a `lockstep up` by the mark that they inherit, and have them end with their parents."""

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable

import psutil

NAME = "LOCKSTEP_UP"
"""The variable that holds the mark. Every Python that finds it asks the kernel to be killed with its parent."""
GONE_WITHIN_S = 10.0
LOOK_EVERY_S = 0.05
PR_SET_PDEATHSIG = 1


def living(mark: str) -> list[psutil.Process]:
    """Return the processes that carry ``mark``."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(NAME) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def sweep(mark: str) -> None:
    """Kill every process that carries ``mark``, whoever its parent is by now."""
    _kill_all(lambda: living(mark))


def end_orphans(mark: str, parent: int) -> None:
    """Kill those whose parent is gone, and what descends from them; ``parent`` is the only one without the mark."""

    def orphans() -> list[psutil.Process]:
        found = living(mark)
        parents = {parent, *(process.pid for process in found)}
        return [process for process in found if _parent(process) not in parents]

    _kill_all(orphans)


def end_with_parent(parent: int) -> None:
    """Have the kernel ask this process to end when its parent does (Linux), or has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)


def _kill_all(find: Callable[[], list[psutil.Process]]) -> None:
    """Kill until none is found: one may start another while it ends, or leave another without a parent."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while (left := find()) and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(LOOK_EVERY_S)


def _parent(process: psutil.Process) -> int:
    """Return the parent of a process, or the process itself where it is gone."""
    try:
        return int(process.ppid())
    except psutil.NoSuchProcess:
        return int(process.pid)

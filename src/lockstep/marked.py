"""Find the processes of a `lockstep up` by the mark that they inherit, and have them end with their parents."""

import contextlib
import ctypes
import signal
import sys
from collections.abc import Sequence

import psutil

NAME = "LOCKSTEP_UP"
"""The variable that holds the mark. Every Python that finds it asks the kernel to be killed with its parent."""
GONE_WITHIN_S = 10.0
ROUNDS = 10
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
    for _ in range(ROUNDS):  # one may start another while it ends, so look again until none is left
        if not (left := living(mark)):
            return
        _kill(left)


def end_orphans(mark: str, parent: int) -> None:
    """Kill those whose parent is gone, and what descends from them; ``parent`` is the only one without the mark."""
    for _ in range(ROUNDS):  # whose parent is killed is an orphan of the next round
        found = living(mark)
        parents = {parent, *(process.pid for process in found)}
        if not (orphans := [process for process in found if _parent(process) not in parents]):
            return
        _kill(orphans)


def end_with_parent() -> None:
    """Have the kernel ask this process to end when its parent does (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=GONE_WITHIN_S)


def _parent(process: psutil.Process) -> int:
    """Return the parent of a process, or the process itself where it is gone."""
    try:
        return int(process.ppid())
    except psutil.NoSuchProcess:
        return int(process.pid)

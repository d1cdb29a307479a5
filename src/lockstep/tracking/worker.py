"""Publish in a process of its own, which ends in time whatever MLflow does: ``python -c`` starts :func:`main`."""

import os
import signal
from pathlib import Path

from lockstep.errors import LockstepError, explain
from lockstep.runner import die_with_parent
from lockstep.tracking.reconcile import publish

RESERVE_S = 1.0
"""Seconds before the end, left for saying what happened."""


def main(root: str, limit: str, parent: str) -> int:
    """Publish the project at ``root`` within ``limit`` seconds; print one line, and return the exit status."""
    seconds = float(limit)
    die_with_parent()
    if os.getppid() != int(parent):  # it died before that
        return 1
    signal.setitimer(signal.ITIMER_REAL, seconds + RESERVE_S)  # nobody handles it: the kernel ends this process
    try:
        print(publish(Path(root), max(seconds - RESERVE_S, seconds / 2)))
    except LockstepError as error:
        print(error)
        return 1
    except OSError as error:
        if not explain(error):
            raise
        print(explain(error))
        return 1
    return 0

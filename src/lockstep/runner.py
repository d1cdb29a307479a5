"""Run one stage in this process, tied to the life of the process that asked for it."""

import ctypes
import importlib
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from lockstep import graph, params, plugins, project
from lockstep.errors import UnknownName, expected_one_of

STAGES = ("ingest", "validate", "split", "featurize", "tune", "fit", "evaluate", "package")
PR_SET_PDEATHSIG = 1


def run_stage(root: Path, words: list[str]) -> None:
    """Check environment and parameters, then run the stage that ``words`` name (``tune`` names a family too).

    Raises
    ------
    UnknownName
        There is no such stage.
    LockstepError
        Whatever the stage finds wrong.
    """
    name, *arguments = words or [""]
    if name not in STAGES:
        raise UnknownName(f"no stage {name!r}; {expected_one_of(name, STAGES)}")
    die_with_parent()
    project.check_environment(root)
    settings = params.load(root)
    plugins.check(settings)
    os.chdir(root)
    asked_as = os.environ.get("DVC_STAGE", "")  # as DVC and the flow name it; absent where a person runs a stage alone
    if asked_as:
        graph.check_inputs(root, asked_as)
    began, clock = datetime.now(UTC), time.monotonic()
    importlib.import_module(f"lockstep.stages.{name}").run(root, settings, *arguments)
    if asked_as:
        _note(root, asked_as, began, time.monotonic() - clock)


def _note(root: Path, name: str, began: datetime, seconds: float) -> None:
    """Enter who made the outs into the ledger; a ledger that cannot be written costs nobody the work."""
    ledger = importlib.import_module("lockstep.ledger")  # no dependency of a stage: it cannot change what was made
    try:
        ledger.write(root, name, began, seconds)
    except OSError as error:
        print(f"lockstep {name}: the ledger could not be written: {error}", file=sys.stderr)


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent ends, so that a killed ``dvc`` leaves no orphan (Linux)."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

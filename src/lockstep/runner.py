"""Run one stage in this process, tied to the life of the process that asked for it."""

import ctypes
import importlib
import os
import signal
import sys
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
    # As DVC names it, from a folder below with the way to dvc.yaml; absent where a person runs a stage alone.
    asked_as = os.environ.get("DVC_STAGE", "").rpartition(":")[2]
    read = graph.inputs(root, graph.stage(root, asked_as)) if asked_as else {}
    settings = params.load(root)
    plugins.check(settings)
    os.chdir(root)
    stage = importlib.import_module(f"lockstep.stages.{name}")
    if not asked_as:
        stage.run(root, settings, *arguments)
        return
    graph.check_inputs(root, asked_as)
    # Loaded by its name, as the stage is: it cannot change what is made, so no stage depends on it.
    with importlib.import_module("lockstep.accounts").of(root, asked_as):
        stage.run(root, settings, *arguments)
        graph.check_unchanged(root, graph.stage(root, asked_as), read)


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent ends, so that a killed ``dvc`` leaves no orphan (Linux)."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

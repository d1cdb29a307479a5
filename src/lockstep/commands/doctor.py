"""Check what the line stands on; each problem comes with its cure."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lockstep import contract, graph, params, plugins, ports, project, release, running, servers
from lockstep.activate import TELEMETRY_OFF
from lockstep.errors import LockstepError, ProjectError
from lockstep.params import parse

MIN_FREE_BYTES = 2 << 30


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    name: str
    passed: bool
    said: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.passed else 'FAIL'}  {self.name:12} {self.said}"


def examine(root: Path) -> list[Check]:
    """Run every check."""
    checks: dict[str, Callable[[], str]] = {
        "python": _python,
        "packages": partial(_packages, root),
        "telemetry": _telemetry,
        "params": partial(_params, root),
        "contract": partial(_contract, root),
        "graph": partial(_graph, root),
        "source": partial(_source, root),
        "stores": partial(_stores, root),
        "live": partial(_live, root),
        "ports": partial(_ports, root),
        "disk": partial(_disk, root),
    }
    return [_run(name, check) for name, check in checks.items()]


def _run(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except LockstepError as error:
        return Check(name, False, str(error))


def _python() -> str:
    if not (3, 11) <= sys.version_info < (3, 14):
        raise ProjectError(
            f"Python must be 3.11 to 3.13; this is {sys.version.split()[0]}. Run `make clean env PYTHON=python3.12`."
        )
    return f"{sys.version.split()[0]} at {sys.prefix}"


def _packages(root: Path) -> str:
    project.check_environment(root)
    return f"{len(project.locked(root))} packages are those of {project.LOCK}"


def _telemetry() -> str:
    on = sorted(name for name, off in TELEMETRY_OFF.items() if os.environ.get(name) != off)
    if on:
        raise ProjectError(f"{on} should be set, so that no tool reports home; run in the activated environment.")
    return "every tool's is off"


def _params(root: Path) -> str:
    values = params.load(root)
    plugins.load("problems", values.problem)
    for family in values.families:
        plugins.load("families", family)
    source = plugins.load("sources", values.source["kind"])
    parse(source.Settings, values.source, where="source")
    return f"{values.problem}, families {', '.join(values.families)}, source {values.source['kind']}"


def _contract(root: Path) -> str:
    found = contract.load(root)
    return f"{len(found.columns)} columns, {len(found.row_rules)} rules on rows, {len(found.table_rules)} on the table"


def _graph(root: Path) -> str:
    return f"{len(graph.load(root))} stages"


def _source(root: Path) -> str:
    from lockstep.steps import lock

    lock.check(root, params.load(root))
    return "is the locked one"


def _stores(root: Path) -> str:
    state = project.state(root)
    for name, folder in (("BENTOML_HOME", state / "bento"), ("PREFECT_HOME", state / "prefect")):
        if os.environ.get(name) != str(folder):
            return f"{name} is {os.environ.get(name)!r}, not the project's; plain tools use that one"
    state.mkdir(parents=True, exist_ok=True)
    if not os.access(state, os.W_OK):
        raise ProjectError(f"{state} must be writable; it is not. Mend its owner or mode.")
    return f"below {state}"


def _live(root: Path) -> str:
    pointed = release.live(root)
    if pointed is None:
        return "nothing is live yet"
    release.live_folder(root)
    return f"{pointed['bento']}, every byte verified"


def _ports(root: Path) -> str:
    if up := running.read(root):
        return f"`lockstep up` runs as process {up.owner.pid}: {up}"
    taken = [
        f"{port} ({servers.TITLES[name]}) by {ports.holder(port)}"
        for name, port in servers.PORTS.items()
        if not ports.is_free(port)
    ]
    if taken:
        return f"taken: {'; '.join(taken)}. `lockstep up --free-ports` takes others"
    return f"{', '.join(map(str, servers.PORTS.values()))} are free"


def _disk(root: Path) -> str:
    free = shutil.disk_usage(root).free
    if free < MIN_FREE_BYTES:
        raise ProjectError(f"the disk should have 2 GB free; {free / 1e9:.1f} GB are. `dvc gc -w` drops old outs.")
    return f"{free / 1e9:.0f} GB free"

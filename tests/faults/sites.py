"""A project to disturb, and the criteria that what is left of it must meet after every fault.

1. Inputs are byte-identical: all that git tracks, the source's lock, parameters, contract.
2. What had finished is not run again.
3. The ``dvc.lock`` of the run after it is that of an undisturbed run, byte for byte.
4. No process, lock that blocks, or temporary file is left; no run is shown as running that has no process.
5. Every failure is one line with stage and cause; no traceback.

``site.completes(...)`` checks 1 to 4, ``ended.said(...)`` checks 5.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import termios
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import Any

import prefect_server
import project
import psutil
import yaml
from faults import FLOW, Ended, Fault, Placed, Started, until

from lockstep import graph

SETTINGS = {
    **project.SMALL,
    "source": {"rows": 300},
    "evaluate": {"gates": {"better_than_trivial": False, "linear_margin": None}, "resamples": 50},
    "flow": {"retries": 3, "retry_delay_s": 0},
}
"""300 rows, 2 trials; no gate, as a model of so few rows need not be better than guessing."""
OTHER = {"evaluate": {"resamples": 60}}
"""Other parameters, of which evaluate makes other files."""
STAGES = [
    *("ingest", "validate", "split", "featurize"),
    *("tune@linear", "tune@hist_gradient", "tune@xgboost"),
    *("fit", "evaluate", "package"),
]
INJECT = Path(__file__).parent / "inject"
MARK = "LOCKSTEP_TEST_MARK"
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
TEMPORARY = (".*.new", "writing-*", ".writing-*", "staging-*")
"""Names of what only a running process may have, in the project and its state."""


class Site:
    """A project to disturb, and all that is started for it."""

    def __init__(self, root: Path, folder: Path, server: prefect_server.Server) -> None:
        self.root, self.server = root, server
        self.undisturbed = (root / "dvc.lock").read_bytes()
        self.outs = {stage.name: stage.outs for stage in graph.load(root)}
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True)
        self._folder, self._mark = folder, uuid.uuid4().hex
        self._inputs = inputs(root)
        self._known = {run["id"] for run in server.runs()}

    # What is done to it.

    def start(self, command: tuple[str, ...], *faults: Fault, **more: str) -> Started:
        """Start a command as a new shell in a terminal would, with the server, the mark and the faults in it.

        ``more`` variables win; one without a value is not there.
        """
        placed = [Placed(fault, self._new("faults", folder=True), self.outs[fault.stage]) for fault in faults]
        log = self._new("logs")
        terminal, its_side = os.openpty()
        environment = project.environment(
            PREFECT_API_URL=self.server.environment["PREFECT_API_URL"],
            TMPDIR=str(self.temporary),
            PYTHONPATH=str(INJECT),
            PYTHONUNBUFFERED="1",
            SHELL="/bin/bash",  # DVC starts commands by it
            LOCKSTEP_FAULTS=json.dumps([one.as_json() for one in placed]),
            **{MARK: self._mark},
        )
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self.root,
                env={name: value for name, value in {**environment, **more}.items() if value},
                stdin=its_side,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            )
        os.close(its_side)
        return Started(process, log, placed, terminal)

    def run(self, command: tuple[str, ...], *faults: Fault, **more: str) -> Ended:
        """Start a command, and wait until it is over."""
        return self.start(command, *faults, **more).ends()

    def forget(self, *stages: str) -> None:
        """Make stages run again: their outs are gone, their entries no longer hold, no cache of runs knows them."""
        forget(self.root, stages or STAGES)

    def change(self, settings: dict[str, Any], undisturbed: bytes | None = None) -> None:
        """Change parameters on purpose; where stages read them, with the lock of an undisturbed run."""
        project.change_params(self.root, settings)
        self._inputs = inputs(self.root)
        self.undisturbed = undisturbed or self.undisturbed

    def kill_all(self) -> None:
        """Kill everything that was started for this site at once, as when a host loses its power."""
        until(lambda: not self._kill())

    def _kill(self) -> list[psutil.Process]:
        left = self.alive()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
        return left

    # What is left of it.

    def alive(self) -> list[psutil.Process]:
        """Return all processes that were started for this site, however far down, and have not ended."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def is_empty(self) -> None:
        """Criterion 4, processes: all end by themselves."""
        until(lambda: not self.alive(), lambda: f"left: {[process.cmdline() for process in self.alive()]}")

    def runs(self) -> list[str]:
        """Return the state of each of the site's runs that the server knows, oldest first."""
        found = [run for run in self.server.runs() if run["id"] not in self._known]
        return [run["state"]["type"] for run in sorted(found, key=lambda run: str(run["created"]))]

    def tasks(self) -> list[str]:
        """Return the states of the tasks of all these runs, once their last events have arrived."""
        found = [run["id"] for run in self.server.runs() if run["id"] not in self._known]
        return [(task["state"] or {}).get("type", "") for run in found for task in self.server.tasks(run)]

    def tracked(self) -> set[str]:
        """Return the states of the runs that MLflow's database holds."""
        path = self.root / ".lockstep" / "mlflow.db"
        if not path.exists():
            return set()
        with contextlib.closing(sqlite3.connect(path)) as database:
            return {state for (state,) in database.execute("SELECT DISTINCT status FROM runs")}

    def leftovers(self) -> list[str]:
        """Return temporary files in the project, its state, and the folder for such files."""
        state = self.root / ".lockstep"
        found = [path for name in TEMPORARY for path in self.root.rglob(name) if ".git" not in path.parts]
        return sorted(map(str, [*found, *(state / "tmp").glob("*"), *self.temporary.iterdir()]))

    def is_as_undisturbed(self) -> None:
        """Criteria 1, 3 and 4."""
        assert changed(self._inputs, inputs(self.root)) == [], "inputs were changed"
        assert (self.root / "dvc.lock").read_bytes() == self.undisturbed, "dvc.lock differs from an undisturbed run's"
        assert [stage.stage for stage in graph.stale(self.root) if stage.reasons] == []
        self.is_empty()
        assert self.leftovers() == [], "temporary files are left"
        assert held_locks(self.root) == [], "locks are left"
        assert set(self.runs()) <= FINAL, "Prefect shows a run as running that has no process"
        assert self.tracked() <= {"FINISHED", "FAILED", "KILLED"}, "MLflow shows a run as running that has no process"

    def completes(
        self,
        command: tuple[str, ...] = FLOW,
        *,
        made: Collection[str] | None = None,
        not_again: Collection[str] = (),
        **more: str,
    ) -> Ended:
        """Run the line to its end and hold it to criteria 1 to 4.

        ``made`` are the stages that it must run, all others having finished before; ``not_again`` those that had.
        """
        self.is_empty()
        ended = self.run(command, **more)
        assert ended.status == 0, ended.text
        assert "Traceback" not in ended.text, ended.text
        assert made is None or sorted(ended.made) == sorted(made), "what had finished, and no more, is not run again"
        assert not set(ended.made) & set(not_again), "what had finished is not run again"
        self.is_as_undisturbed()
        return ended

    def _new(self, kind: str, *, folder: bool = False) -> Path:
        """Return a new path beside the project."""
        (self._folder / kind).mkdir(exist_ok=True)
        path = self._folder / kind / str(len(list((self._folder / kind).iterdir())))
        path.mkdir() if folder else path.touch()
        return path


def inputs(root: Path) -> dict[str, str]:
    """Return the digest of each file that git tracks, but for what the stages make and record."""
    made = {path for stage in graph.load(root) for path in stage.outs} | {"dvc.lock"}
    tracked = [name for name in project.git(root, "ls-files", "-z").split("\0") if name]
    return {
        name: graph.md5(root / name)
        for name in tracked
        if not any(name == out or name.startswith(f"{out}/") for out in made)
    }


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def held_locks(root: Path) -> list[Any]:
    """Return what DVC's file of path locks holds in the name of a process that lives; of a dead one nothing blocks."""
    path = root / ".dvc" / "tmp" / "rwlock"
    held = json.loads(path.read_text()) if path.exists() else {}
    infos = [*held.get("write", {}).values(), *(info for infos in held.get("read", {}).values() for info in infos)]
    return [info for info in infos if psutil.pid_exists(info["pid"])]


def forget(root: Path, stages: Collection[str]) -> None:
    """Make stages of a project run again."""
    lock = root / "dvc.lock"
    entries = yaml.safe_load(lock.read_text())
    known = {stage.name: stage for stage in graph.load(root)}
    commands = {known[name].command for name in stages}
    for path in (root / ".dvc" / "cache" / "runs").glob("*/*/*"):
        if yaml.safe_load(path.read_text())["cmd"] in commands:
            shutil.rmtree(path.parent)
    for name in stages:
        entries["stages"][name]["deps"][0]["md5"] = "0" * 32  # the entry keeps its place in the file
        for place in (root / out for out in known[name].outs):
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    if set(stages) == set(known):
        lock.unlink()
    else:
        lock.write_text(yaml.safe_dump(entries, sort_keys=False))

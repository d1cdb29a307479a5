"""Run the stages of the graph, several at a time, so that files and ``dvc.lock`` end as ``dvc repro`` would leave them.

Whoever calls decides when and again: this module knows no scheduler. A stage that finished is kept in DVC's cache at
once, whatever happens to the others; entries are written to ``dvc.lock`` in the order of ``dvc repro``.
"""

import os
import threading
from enum import StrEnum
from pathlib import Path

from lockstep import graph, params, plugins, project
from lockstep.errors import LockstepError, ProjectError, StageFailed, explain, may_pass
from lockstep.graph import Stage
from lockstep.processes import Limits, Watch, run
from lockstep.recorder import Recorder

LOGS = "logs"
TURN_S = 1.0


class Result(StrEnum):
    """How a stage came to its outs."""

    UNCHANGED = "unchanged"
    RESTORED = "restored"
    MADE = "made"


class Line:
    """One run of the whole graph. Stages may be run from several threads, each once its producers are over."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.params = params.load(root)
        plugins.check(self.params)
        self.stages = {stage.name: stage for stage in graph.load(root)}
        self.producers = graph.producers(list(self.stages.values()))
        self._stop = threading.Event()
        self._recorder = Recorder(root, self._stop.is_set)
        self._recorder.mend_lock()
        self._slots = threading.Semaphore(n_at_once())
        self._turn = threading.Condition()
        self._busy = self._running = 0
        self._over: dict[str, Result] = {}
        self._recorded: set[str] = set()
        self._failed: set[str] = set()
        self._order: list[str] = []

    def run(self, name: str, watch: Watch) -> Result:
        """Bring a stage's outs up to date.

        Raises
        ------
        StageFailed
            In the stage's own last words. What it would have made is not there; the stages after it cannot run.
        """
        with self._turn:
            if self._stop.is_set():
                raise StageFailed("was stopped before it began")
            self._busy += 1
            self._failed.discard(name)
        try:
            self._await_producers(name)
            stage = self.stages[name]
            result = Result.UNCHANGED if not graph.reasons(self.root, stage) else self._make(stage, watch)
            self._settle(name, result)
        except OSError as error:
            if not explain(error):
                raise
            raise StageFailed(explain(error), passing=may_pass(error)) from error
        finally:
            with self._turn:
                self._busy -= 1
                if name not in self._over:
                    self._failed.add(name)
                self._turn.notify_all()
        return result

    def stop(self) -> None:
        """End every stage that runs; they fail as stopped."""
        self._stop.set()

    def __enter__(self) -> "Line":
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End what still runs, and let go of DVC."""
        self.stop()
        with self._turn:
            self._turn.wait_for(lambda: not self._busy)
        self._recorder.close()

    def _make(self, stage: Stage, watch: Watch) -> Result:
        with self._slots, self._recorder.claim(stage, watch.line):
            if not graph.reasons(self.root, stage):  # another run made it while this one waited
                return Result.UNCHANGED
            if self._recorder.restore(stage, watch.line):
                return Result.RESTORED
            read = graph.inputs(self.root, stage)
            self._execute(stage, watch)
            absent = [path for path in stage.outs if not (self.root / path).exists()]
            if absent:
                raise StageFailed(f"ended well, but {absent[0]} is missing; dvc.yaml says that it makes it")
            self._recorder.keep(stage, read)
            return Result.MADE

    def _execute(self, stage: Stage, watch: Watch) -> None:
        limits = Limits(self.params.flow.timeout_s, self.params.flow.memory_mb)
        log = project.state(self.root) / LOGS / f"{stage.name}.log"
        watch = Watch(watch.line, watch.tick, self._stop.is_set)
        with self._turn:
            self._running += 1
            threads = max(1, n_threads() // self._running)
        try:
            run(stage.command, self.root, log, limits, watch, DVC_STAGE=stage.name, LOCKSTEP_THREADS=str(threads))
        finally:
            with self._turn:
                self._running -= 1

    def _await_producers(self, name: str) -> None:
        """Wait until what a stage reads stands in ``dvc.lock``, by which it is checked."""
        with self._turn:
            while missing := [one for one in self.producers[name] if one not in self._recorded]:
                if self._stop.is_set():
                    raise StageFailed(f"was stopped while it waited for {missing[0]}")
                if failed := next((one for one in self._before(missing[0]) if one in self._failed), None):
                    said = f"waits for {missing[0]}, which dvc.lock can hold only after {failed}; that failed"
                    raise StageFailed(said, passing=True)
                self._turn.wait(TURN_S)

    def _before(self, name: str) -> list[str]:
        """Return what ``dvc repro`` runs before a stage, known once one stage waits to be recorded."""
        return self._order[: self._order.index(name)] if name in self._order else []

    def _settle(self, name: str, result: Result) -> None:
        """Write the entries whose turn it is: of each stage before which, in the order of dvc repro, all are over."""
        with self._turn:
            self._over[name] = result
            if result is Result.UNCHANGED:
                self._recorded.add(name)
            if len(self._recorded) < len(self._over):
                self._order = self._order or self._recorder.order()
                for one in self._order:
                    if one not in self._over:
                        break
                    if one not in self._recorded:
                        self._recorder.record(one)
                        self._recorded.add(one)
            self._turn.notify_all()


def n_at_once() -> int:
    """Return how many stages may run at once: ``LOCKSTEP_STAGES``, else the processors allowed."""
    return _whole("LOCKSTEP_STAGES")


def n_threads() -> int:
    """Return how many threads all stages have together: ``LOCKSTEP_THREADS``, else the processors allowed."""
    return _whole("LOCKSTEP_THREADS")


def _whole(variable: str) -> int:
    stated = os.environ.get(variable, "")
    if not stated:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not stated.isdigit() or int(stated) < 1:
        raise ProjectError(f"{variable} must be a whole number of at least 1; got {stated!r}.")
    return int(stated)


def say(name: str, error: LockstepError) -> str:
    """Return the one line that tells of a failed stage, its name first."""
    line = str(error)
    return line if line.startswith(f"lockstep {name.partition('@')[0]}: ") else f"lockstep {name}: {line}"

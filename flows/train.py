"""Run the graph of ``dvc.yaml`` as a Prefect flow: ``python flows/train.py``, or the deployment of `lockstep up`.

It restates nothing: which stages there are, what they read and how they are run stands in ``dvc.yaml``. This file says
when each is run, when again, and what the Prefect UI shows of it.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect import State, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows import stale
from lockstep.errors import LockstepError
from lockstep.line import Line, Result, say
from lockstep.processes import Watch
from lockstep.report import cards

ROOT = Path(__file__).resolve().parents[1]
REFRESH_S = 10
NAMES = {Result.UNCHANGED: "Cached", Result.RESTORED: "Cached", Result.MADE: "Completed"}
MESSAGES = {
    Result.UNCHANGED: "nothing that it reads has changed",
    Result.RESTORED: "was run on the same before; taken from DVC's cache",
    Result.MADE: "run",
}


@task(cache_policy=NO_CACHE, persist_result=False)
def run_stage(line: Line, name: str) -> State[Any]:
    """Bring one stage up to date; its log is the task's, its last line the task's error."""
    log = get_run_logger()
    try:
        result = line.run(name, Watch(log.info, _show_progress(line.root, name)))
    except LockstepError as error:
        return Failed(message=say(name, error), data=getattr(error, "passing", False))
    _show(cards.of(line.root, line.stages[name].outs))
    return Completed(name=NAMES[result], message=MESSAGES[result])


def _may_pass(_task: Any, _run: Any, state: State[Any]) -> bool:
    return state.data is True


@flow(name="train", task_runner=cast(Any, ThreadPoolTaskRunner(max_workers=64)), persist_result=False)
def train() -> State[Any]:
    """Bring every stage up to date, independent ones at the same time."""
    for name in stale.close(ROOT):
        get_run_logger().warning("run %s was left behind by a process that was killed; it is closed", name)
    asked: dict[str, Any] = {}
    with stale.noted(ROOT, UUID(flow_run.get_id())), Line(ROOT) as line:
        again = line.params.flow
        for name in line.stages:
            stage = run_stage.with_options(
                name=name,
                task_run_name=name,
                retries=again.retries,
                retry_delay_seconds=again.retry_delay_s,
                retry_condition_fn=_may_pass,
            )
            before = [asked[one] for one in line.producers[name]]
            asked[name] = stage.submit(line, name, return_state=False, wait_for=before)
        wait(list(asked.values()))
    failed = [future.state for future in asked.values() if future.state.is_failed()]
    if failed:
        return Failed(message="; ".join(str(state.message) for state in failed))
    return Completed(message=f"{len(asked)} stages are up to date")


def _show(shown: dict[str, str]) -> None:
    for key, text in shown.items():
        create_markdown_artifact(text, key=key)


def _show_progress(root: Path, name: str) -> Callable[[], None]:
    """Return what shows, now and then, how far the searches are."""
    shown = [time.monotonic()]

    def show() -> None:
        if time.monotonic() - shown[0] > REFRESH_S:
            shown[0] = time.monotonic()
            _show(cards.progress(root, name))

    return show


if __name__ == "__main__":
    state = train(return_state=True)
    print(state.message, file=sys.stderr if state.is_failed() else sys.stdout)
    sys.exit(1 if state.is_failed() else 0)

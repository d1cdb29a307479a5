"""Run the graph of ``dvc.yaml`` as a Prefect flow: ``python flows/train.py``, or the deployment of `lockstep up`.

It restates nothing: which stages there are, what they read and how they are run stands in ``dvc.yaml``. This file says
when each is run, when again, and what the Prefect UI shows of it.
"""

import sys
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import State, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import PrefectException
from prefect.futures import wait
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows import shown, stale, temporary
from lockstep.errors import LockstepError, explain
from lockstep.line import Line, Result, say
from lockstep.processes import Watch

ROOT = Path(__file__).resolve().parents[1]
STATES = {
    Result.UNCHANGED: ("Cached", "nothing that it reads has changed"),
    Result.RESTORED: ("Cached", "was run on the same before; taken from DVC's cache"),
    Result.MADE: ("Completed", "run"),
}


@task(cache_policy=NO_CACHE, persist_result=False)
def run_stage(line: Line, name: str) -> State[Any]:
    """Bring one stage up to date; what it prints is the task's log, its last line the task's error."""
    try:
        result = line.run(name, Watch(get_run_logger().info, shown.progress(line.root)))
    except LockstepError as error:
        return Failed(message=say(name, error), data=getattr(error, "passing", False))
    shown.reports(line.root, line.stages[name].outs)
    state, message = STATES[result]
    return Completed(name=state, message=message)


@flow(name="train", task_runner=cast(Any, ThreadPoolTaskRunner(max_workers=64)), persist_result=False)
def train() -> State[Any]:
    """Bring every stage up to date, independent ones at the same time."""
    for name in stale.close(ROOT):
        get_run_logger().warning("run %s was left behind by a process that was killed; it is closed", name)
    try:
        stale.note_run(ROOT, UUID(flow_run.get_id()))
        line = Line(ROOT)
    except LockstepError as error:
        return Failed(message=str(error))
    except OSError as error:
        return Failed(message=f"lockstep flow: {explain(error)}")
    asked: dict[str, Any] = {}
    with line:
        for name in line.stages:
            before = [asked[one] for one in line.producers[name]]
            asked[name] = _as_task(line, name).submit(line, name, return_state=False, wait_for=before)
        wait(list(asked.values()))
    failed = [future.state for future in asked.values() if future.state.is_failed()]
    if failed:
        return Failed(message="; ".join(str(state.message) for state in failed))
    return Completed(message=f"{len(asked)} stages are up to date")


def _as_task(line: Line, name: str) -> Any:
    return run_stage.with_options(
        name=name,
        task_run_name=name,
        retries=line.params.flow.retries,
        retry_delay_seconds=line.params.flow.retry_delay_s,
        retry_condition_fn=lambda _task, _run, state: state.data is True,
    )


def main() -> int:
    """Run the flow once; what came of it is the last line, and the exit status."""
    shown.briefly()
    try:
        temporary.start_server()
        state = train(return_state=True)
    except (httpx.HTTPError, PrefectException, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not isinstance(error.__cause__, httpx.HTTPError):
            raise
        shown.leave_without_server(error)
    except KeyboardInterrupt:
        print("lockstep flow: interrupted; what finished is kept, and the next run goes on from there", file=sys.stderr)
        return 130
    print(state.message, file=sys.stdout if state.is_completed() else sys.stderr)
    return 0 if state.is_completed() else 1


if __name__ == "__main__":
    sys.exit(main())

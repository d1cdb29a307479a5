"""Serve the flows: each a deployment that the Prefect UI can start, with its schedule of params.yaml.

`lockstep up` runs ``python -m flows.deploy``; with ``--check`` it only looks at the schedules.
"""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.runner import Runner
from prefect.states import Crashed
from pydantic import ValidationError

from flows import stale
from flows.train import train
from lockstep import params, project, servers
from lockstep.errors import LockstepError, ParamsError, Unavailable, expected_one_of
from lockstep.params import Schedule

ROOT = Path(__file__).resolve().parents[1]
DEPLOYMENTS: Mapping[str, Flow[..., Any]] = {"train": train}
ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
"""What comes due while one runs is cancelled, so that slots missed while nothing ran do not pile up."""
SLUG = "params-yaml"
"""Marks the schedule that is params.yaml's; those made in the UI are left alone."""
POLL_S = 2.0
SERVER_WITHIN_S = 120.0
ASK_EVERY_S = 0.2
KINDS = {"cron": "a line of cron that Prefect takes", "timezone": "the name of a time zone, such as Europe/Berlin"}
BEGUN = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


def check(schedules: Mapping[str, Schedule]) -> dict[str, CronSchedule]:
    """Return the schedules as Prefect takes them, by deployment.

    Raises
    ------
    ParamsError
        One names no deployment, or Prefect does not take its cron or its time zone.
    """
    return {name: _schedule(name, schedule) for name, schedule in schedules.items()}


def _schedule(name: str, schedule: Schedule) -> CronSchedule:
    if name not in DEPLOYMENTS:
        raise ParamsError(f"params.yaml: no deployment {name!r} for schedules; {expected_one_of(name, DEPLOYMENTS)}")
    try:
        return CronSchedule(cron=schedule.cron, timezone=schedule.timezone)
    except ValidationError as error:
        fault = error.errors()[0]
        key = fault["loc"][0]
        raise ParamsError(
            f"params.yaml: schedules.{name}.{key} must be {KINDS[str(key)]}; got {getattr(schedule, str(key))!r}."
        ) from None


class _Runner(Runner):
    """Prefect's, but that it stops in order: 3.8.8 never awaits its own stop, and leaves runs as running."""

    def handle_sigterm(self, *_args: Any, **_more: Any) -> None:
        """End the runs, have the server know it, then leave :meth:`start`."""
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(lambda: setattr(self, "stopped", loop.create_task(self.astop())))


async def serve(root: Path) -> None:
    """Serve every deployment, once the server answers and no run of a dead process is left; ends when asked to."""
    schedules = check(params.load(root).schedules)
    await _wait_for_server()
    for name in await asyncio.to_thread(stale.close, root):
        print(f"run {name} was left behind by a process that was killed; it is closed")
    runner = _Runner(name="lockstep", query_seconds=POLL_S, pause_on_shutdown=False)
    for name, flow in DEPLOYMENTS.items():
        made = await flow.ato_deployment(name, concurrency_limit=ONE_AT_A_TIME, description=flow.description)
        made.model_fields_set.discard("schedules")  # sent, an empty list would remove those made in the UI
        deployment = await runner.aadd_deployment(made)
        async with get_client() as client:
            await _close_begun(client, deployment)
            await _set_schedule(client, deployment, schedules.get(name))
    (project.state(root) / servers.SERVED).touch()
    await runner.start()


async def _wait_for_server() -> None:
    async with get_client() as client:
        for _ in range(round(SERVER_WITHIN_S / ASK_EVERY_S)):
            if await client.api_healthcheck() is None:
                return
            await asyncio.sleep(ASK_EVERY_S)
    raise Unavailable(f"the Prefect server must answer within {SERVER_WITHIN_S:g} s; it did not. See its log.")


async def _close_begun(client: PrefectClient, deployment: UUID) -> None:
    """Set runs that had begun to Crashed: whoever carried them out is dead, for nobody else serves this deployment."""
    begun = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=BEGUN)))
    of_it = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    for run in await client.read_flow_runs(flow_run_filter=begun, deployment_filter=of_it):
        await client.set_flow_run_state(run.id, Crashed(message=stale.MESSAGE), force=True)


async def _set_schedule(client: PrefectClient, deployment: UUID, schedule: CronSchedule | None) -> None:
    """Make the schedule of params.yaml the deployment's; those made in the UI stay.

    One that is the same already stays too: with it Prefect would remove the slots that were missed.
    """
    ours = [one for one in await client.read_deployment_schedules(deployment) if one.slug == SLUG]
    if [one.schedule for one in ours if one.active] == [schedule]:
        return
    for one in ours:
        await client.delete_deployment_schedule(deployment, one.id)
    if schedule is not None:
        create = DeploymentScheduleCreate(schedule=schedule, active=True, slug=SLUG)
        await client.create_deployment_schedules(deployment, [create])


def main(*words: str) -> int:
    """Serve, or check; an error of ours is one line."""
    try:
        if words == ("--check",):
            check(params.load(ROOT).schedules)
        else:
            asyncio.run(serve(ROOT))
    except LockstepError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

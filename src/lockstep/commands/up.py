"""Run the Prefect server, the MLflow server, the service and the flows together, until asked to stop."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from lockstep import marked, params, ports, project, running, serve, servers, signals, supervised
from lockstep.errors import ParamsError, Unavailable
from lockstep.params import Schedule
from lockstep.service import released
from lockstep.supervised import Supervisor
from lockstep.tracking import glance, store
from lockstep.tracking.waiting import Clock

Say = Callable[[str], None]

HEALTHY_WITHIN_S = 180.0
CHECK_WITHIN_S = 60.0
LOOK_EVERY_S = 1.0
REACH_S = 3.0
NEEDED = "prefect"
"""The server without which the others have no use."""


def up(root: Path, wanted: Mapping[str, int], say: Say, *, free_ports: bool = False) -> None:
    """Start everything, say where it is, and keep it running until Ctrl-C, SIGTERM, or the end of the parent.

    Raises
    ------
    ProjectError
        This is not the project's environment.
    ParamsError
        A schedule of params.yaml is none.
    Unavailable
        Another one runs already, a port is taken, or a server died or was never healthy. Nothing is left running.
    """
    began, parent = time.monotonic(), os.getppid()
    project.check_environment(root)
    marked.end_with_parent(parent)
    with running.claim(root), signals.interrupt():
        _end_what_was_left(root, say)
        chosen = choose_ports(root, wanted, free=free_ports)
        schedules = check_schedules(root)
        addresses = {"mlflow": str(store.find(root)), **{name: servers.address(chosen[name]) for name in chosen}}
        mark, state = secrets.token_hex(8), project.state(root)
        running.write(root, mark, addresses, ready=False)
        (state / servers.SERVED).unlink(missing_ok=True)  # a killed one's
        supervisor = Supervisor(root, servers.listed(root, chosen), mark)
        live = serve.tag(state)
        say("starting; Ctrl-C stops everything")
        supervisor.start(servers.environment(root, chosen))
        try:
            supervisor.wait(HEALTHY_WITHIN_S)
            running.write(root, mark, addresses, ready=True)
            say(_describe(root, addresses, schedules))
            say(f"all healthy after {time.monotonic() - began:.1f} s; logs in {supervisor.logs}; Ctrl-C stops all")
            _follow(state, live, parent, supervisor, say)
        except KeyboardInterrupt:
            with suppress(OSError):  # the terminal may be gone
                say("stopping" if os.getppid() == parent else "stopping, for the process that started it has ended")
        finally:
            supervisor.stop()
            (state / servers.SERVED).unlink(missing_ok=True)


def check_schedules(root: Path) -> dict[str, Schedule]:
    """Return the schedules of params.yaml, if Prefect takes each and there is such a deployment.

    Raises
    ------
    ParamsError
        In one line.
    Unavailable
        It took too long to ask.
    """
    schedules = params.load(root).schedules
    if schedules:
        command = [sys.executable, "-m", "flows.deploy", "--check"]
        try:
            asked = subprocess.run(
                command, cwd=root, capture_output=True, text=True, check=False, timeout=CHECK_WITHIN_S
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(
                f"flows/deploy.py must have looked at the schedules within {CHECK_WITHIN_S:g} s; it had not. "
                "See what keeps this machine busy, and start again."
            ) from None
        if asked.returncode:
            raise ParamsError((asked.stderr.strip() or "flows/deploy.py ended").splitlines()[-1])
    return schedules


def choose_ports(root: Path, wanted: Mapping[str, int], *, free: bool) -> dict[str, int]:
    """Return the port of each server that is started: the wanted one or, where taken and if ``free``, a free one.

    Raises
    ------
    Unavailable
        One is taken; says by whom, and the command that takes free ones.
    """
    wanted = {name: port for name, port in wanted.items() if name != "mlflow" or store.find(root).server is None}
    chosen = ports.choose(wanted)
    if free or chosen == wanted:
        return chosen
    taken = [
        f"port {port} of {servers.TITLES[name]} is taken by {ports.holder(port)}"
        if not ports.is_free(port)
        else f"port {port} is given to two servers"
        for name, port in wanted.items()
        if chosen[name] != port
    ]
    words = [f"--{name}-port {port}" for name, port in chosen.items() if port != servers.PORTS[name]]
    raise Unavailable(f"{'; '.join(taken)}. Free ones: `lockstep up {' '.join(words)}`.")


def _end_what_was_left(root: Path, say: Say) -> None:
    """End what a `lockstep up` left whose machine or whose kernel did not do so; it is dead, for its lock is ours."""
    record = running.last(root)
    if record and (left := marked.living(record.mark)):
        say(f"ending {len(left)} processes that a killed `lockstep up` left behind")
        marked.sweep(record.mark)


def _describe(root: Path, addresses: Mapping[str, str], schedules: Mapping[str, Schedule]) -> str:
    when = [f"{name} at {schedule.cron} ({schedule.timezone})" for name, schedule in schedules.items()]
    live = released.read_pointer(project.state(root) / released.LIVE)
    trials = glance.page(store.find(root))
    tracking = f"trials: {addresses['mlflow']}{trials}" if trials else _who_answers(store.find(root))
    said = {
        "prefect": f"scheduled: {', '.join(when)}" if when else "deployment train/train; no schedule",
        "mlflow": tracking,
        "service": live.bento if live else "nothing is live yet; it starts when something is",
    }
    return "\n".join(f"{name:8}  {addresses[name]}  {more}".rstrip() for name, more in said.items())


def _who_answers(named: store.Store) -> str:
    """Say so where the tracking server that is named elsewhere does not answer."""
    try:
        store.reach(named, Clock(REACH_S))
    except Unavailable:
        return "does not answer; until it does, runs are not published"
    return ""


def _follow(state: Path, live: str, parent: int, supervisor: Supervisor, say: Say) -> None:
    """Say what happens to the servers and that something else goes live; end as by Ctrl-C once the parent is gone."""
    while os.getppid() == parent:
        for event in supervisor.events(LOOK_EVERY_S):
            title = supervisor.servers[event.name].title
            if event.kind == "exited":
                supervisor.end_orphans()
                say(f"{title} ended ({event.how}) and is started again; its log: {supervisor.log(event.name)}")
            if event.kind == "gave up":
                last = supervisor.last_words(event.name)
                say(f"{title} is given up: it ended {supervised.RETRIES + 1} times right after its start: {last}")
                if event.name == NEEDED:
                    raise Unavailable(f"without {title} nothing else has a use; mend what it said and start again.")
        before, live = live, serve.tag(state) or live
        if live != before:
            say(f"{live} is live; the service answers by it in a moment")
    raise KeyboardInterrupt

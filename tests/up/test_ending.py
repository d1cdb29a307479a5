"""However `lockstep up` ends, nothing of it is left, and no run stands as running."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import project
import psutil
from started import Up, state_of

from lockstep import alive, marked, running

ELSEWHERE = "http://127.0.0.1:9"


def test_killed_itself_its_supervisor_stops_everything_in_order(root: Path) -> None:
    up = Up(root)
    run, below = at_work(up)
    assert len(below) >= 10, "supervisor, four programs, two workers, a run and its stage"

    up.end(signal.SIGKILL)

    assert [one for one in below if lives(one)] == []
    assert state_of(root, run) == "CANCELLED"


def test_when_its_parent_is_killed_it_stops_everything_in_order(root: Path) -> None:
    up = Up(root, shell=True, MLFLOW_TRACKING_URI=ELSEWHERE)
    run, below = at_work(up)
    assert up.has_said(f"mlflow    {ELSEWHERE}  does not answer; until it does, runs are not published\n")
    assert up.processes("mlflow") == [], "a server elsewhere is used, and none started"

    up.end(signal.SIGKILL)

    assert [one for one in below if lives(one)] == []
    assert state_of(root, run) == "CANCELLED"
    assert running.last(root) is None


def test_when_the_supervisor_is_killed_all_is_killed_and_the_next_start_closes_the_run(root: Path) -> None:
    up = Up(root, MLFLOW_TRACKING_URI=ELSEWHERE)
    run, below = at_work(up)
    (supervisor,) = up.supervisors()

    up.end(signal.SIGKILL, supervisor)

    assert up.process.returncode == 1
    assert up.said[-1].startswith("lockstep: supervisord ended, and all that it ran with it")
    assert [one for one in below if lives(one)] == []
    assert state_of(root, run) == "RUNNING", "nobody could tell the server"
    goes_on(Up(root, MLFLOW_TRACKING_URI=ELSEWHERE), run)


def at_work(up: Up) -> tuple[str, list[psutil.Process]]:
    """Start a run that does not end; return it, and all processes then."""
    (up.root / "hold").touch()
    run = up.start_run()
    up.until(lambda: up.processes("sleep", "600"))
    return run, psutil.Process(up.process.pid).children(recursive=True)


def lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def goes_on(up: Up, run: str) -> None:
    """See that the next start closes the run that a killed one left, and that another can be made."""
    assert up.state_of(run) == "CRASHED"
    (up.root / "hold").unlink()
    another = up.start_run()
    up.until(lambda: up.state_of(another) == "COMPLETED")
    up.end()


def test_what_a_killed_one_could_not_end_is_ended_by_the_next(root: Path) -> None:
    left = subprocess.Popen(["sleep", "600"], env={**os.environ, marked.NAME: "killed"})
    dead = {**alive.me().as_json(), "started": "1"}
    record = {"owner": dead, "mark": "killed", "addresses": {}, "ready": True}
    (root / ".lockstep" / "up.json").write_text(json.dumps(record))

    with socket.socket() as taken:  # so that it goes no further
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        asked = project.lockstep(root, "up", f"--service-port={taken.getsockname()[1]}")

    project.refused(asked, "is taken by process")
    assert asked.stdout == "ending 1 processes that a killed `lockstep up` left behind\n"
    assert left.wait(10) == -signal.SIGKILL


def test_a_server_that_cannot_start_is_named_and_the_others_are_stopped(root: Path) -> None:
    (root / ".lockstep" / "mlflow.db").write_bytes(b"no database" * 1000)

    asked = project.lockstep(root, "up", "--free-ports")

    project.refused(asked, "the MLflow server ended while it started (exit status 1): ", "must be MLflow's database")
    assert running.last(root) is None
    assert [one.cmdline() for one in psutil.process_iter() if str(root) in " ".join(environment(one))] == []


def test_a_release_that_cannot_be_served_stops_the_start_at_once(root: Path) -> None:
    engine = next((root / ".lockstep" / "releases").rglob("*.ubj"))
    engine.chmod(0o644)
    engine.write_bytes(b"other")

    asked = project.lockstep(root, "up", "--free-ports")

    project.refused(asked, "the service ", "xgboost.ubj was changed")


def environment(process: psutil.Process) -> list[str]:
    try:
        return list(process.environ().values())
    except psutil.Error:
        return []

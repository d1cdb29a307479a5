"""`lockstep up` with its real servers, which all of these tests share, as a start costs seconds; the last ends it."""

import json
import signal
from pathlib import Path

import project
import psutil
import pytest
from started import Up, state_of

from lockstep import marked, running

FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def test_every_server_answers_where_it_was_said(up: Up) -> None:
    assert up.ask("prefect", "GET", "/api/health")[:2] == (200, b"true")
    assert up.ask("mlflow", "GET", "/health")[:2] == (200, b"OK")
    assert up.ask("service", "GET", "/readyz")[0] == 200
    for name, address in up.record.addresses.items():
        assert up.has_said(f"{name:8}  {address}")
    assert project.lockstep(up.root, "doctor").stdout.count(f"`lockstep up` runs as process {up.process.pid}") == 1


def test_no_server_listens_beyond_the_loopback(up: Up) -> None:
    ours = {process.pid for process in marked.living(up.record.mark)}
    listening = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN and one.pid in ours]

    assert {one.laddr.port for one in listening} >= set(up.ports.values())
    assert {one.laddr.ip for one in listening} == {"127.0.0.1"}


def test_a_foreign_page_can_do_nothing_to_prefect(up: Up) -> None:
    refused = up.ask("prefect", "POST", "/api/flow_runs/filter", {})
    foreign = up.ask("prefect", "GET", "/api/health", Origin="http://elsewhere.example")
    own = up.ask("prefect", "GET", "/api/health", Origin=up.record.addresses["prefect"])

    assert refused[0] == 403
    assert b"CSRF" in refused[1]
    assert "access-control-allow-origin" not in foreign[2]
    assert own[2]["access-control-allow-origin"] == up.record.addresses["prefect"]


def test_the_ui_asks_the_port_that_was_given(up: Up) -> None:
    settings = up.ask("prefect", "GET", "/ui-settings")[1]

    assert settings["api_url"] == f"{up.record.addresses['prefect']}/api"
    assert settings["csrf_enabled"] is True
    assert b"<html" in up.ask("prefect", "GET", "/deployments", Accept="text/html")[1]


def test_mlflow_refuses_a_foreign_host_and_a_foreign_origin(up: Up) -> None:
    path = "/api/2.0/mlflow/experiments/search?max_results=5"
    experiment = {"name": "foreign"}

    assert up.ask("mlflow", "GET", path, Host="elsewhere.example")[0] == 403
    create = up.ask(
        "mlflow", "POST", "/api/2.0/mlflow/experiments/create", experiment, Origin="http://elsewhere.example"
    )
    assert create[0] == 403
    found = up.ask("mlflow", "GET", path)[1]["experiments"]
    assert [one["artifact_location"] for one in found] == [(up.root / ".lockstep" / "mlartifacts" / "0").as_uri()]


def test_the_models_card_leads_to_its_run_on_mlflows_pages(up: Up) -> None:
    card = up.ask("service", "GET", "/card")[1]
    assert card["run"] is None
    tags = [{"key": "lockstep.predictor", "value": card["digests"]["predictor"]}]
    wanted = {"experiment_id": "0", "run_name": "winner xgboost", "tags": tags}
    status, answer, _ = up.ask("mlflow", "POST", "/api/2.0/mlflow/runs/create", wanted)
    assert status == 200
    run = answer["run"]["info"]["run_id"]
    assert up.ask("service", "GET", "/card")[1]["run"] == {
        "name": "winner xgboost",
        "url": f"{up.record.addresses['mlflow']}/#/experiments/0/runs/{run}",
    }


def test_the_deployment_has_its_schedule_and_one_run_at_a_time(up: Up) -> None:
    found = up.deployment()

    assert [one["schedule"] for one in found["schedules"]] == [
        {"cron": "0 3 * * 1", "timezone": "Europe/Berlin", "day_or": True}
    ]
    assert found["schedules"][0]["active"] is True
    assert found["global_concurrency_limit"]["limit"] == 1
    assert up.has_said("scheduled: train at 0 3 * * 1 (Europe/Berlin)")


def test_a_run_that_the_ui_asks_for_brings_the_files(up: Up) -> None:
    run = up.start_run()

    up.until(lambda: up.state_of(run) in FINAL)

    assert up.prefect("GET", f"/flow_runs/{run}")["state"]["message"] == "1 stages are up to date"
    assert (up.root / "copy.yaml").read_bytes() == (up.root / "params.yaml").read_bytes()


def test_slots_that_come_due_while_one_runs_do_not_pile_up(up: Up) -> None:
    (up.root / "hold").touch()
    project.append(up.root / "params.yaml", "seed: 8\n")
    first = up.start_run()
    up.until(lambda: up.processes("sleep", "600"))

    others = [up.start_run() for _ in range(3)]

    up.until(lambda: [up.state_of(run) for run in others] == ["CANCELLED"] * 3)
    assert up.state_of(first) == "RUNNING"
    (up.root / "hold").unlink()
    for process in up.processes("sleep", "600"):
        process.kill()
    up.until(lambda: up.state_of(first) == "COMPLETED")


def test_plain_tools_and_flows_find_the_server(up: Up) -> None:
    listed = project.said(project.run(up.root, "prefect", "deployment", "ls"))
    ran = project.said(project.run(up.root, "python", "flows/train.py"))

    assert "train/train" in listed
    assert "1 stages are up to date" in ran
    assert len(up.prefect("POST", "/flow_runs/filter", {"flow_runs": {"deployment_id": {"is_null_": True}}})) == 1


def test_a_second_one_is_refused_with_the_first_ones_addresses(up: Up) -> None:
    said = project.refused(project.lockstep(up.root, "up"), f"process {up.process.pid} runs it")

    assert up.record.addresses["prefect"] in said
    assert up.process.poll() is None


def test_another_project_is_told_who_has_the_port(up: Up, root: Path) -> None:
    asked = project.lockstep(root, "up", *(f"--{name}-port={port}" for name, port in up.ports.items()))

    said = project.refused(asked, f"port {up.ports['prefect']} of the Prefect server is taken by process ")
    assert "python -m prefect; port " in said
    assert f"Free ones: `lockstep up --prefect-port {up.ports['prefect'] + 1} --mlflow-port " in said
    assert not (root / ".lockstep" / "up.json").exists()


@pytest.mark.parametrize(("name", "word"), [("mlflow", "mlflow"), ("service", "live"), ("service", "bentoml")])
def test_a_server_that_is_killed_is_started_again_and_it_is_said(name: str, word: str, up: Up) -> None:
    (before,) = up.processes(word)
    below = before.children(recursive=True)
    assert below, "workers, which must not hold the port"

    before.kill()

    title = {"mlflow": "the MLflow server", "service": "the service"}[name]
    up.until(lambda: up.has_said(f"{title} ended (terminated by SIGKILL) and is started again"))
    up.until(lambda: up.processes(word) and up.processes(word)[0] != before)
    up.until(lambda: answers(up, name))
    assert not set(below) & set(marked.living(up.record.mark))


def answers(up: Up, name: str) -> bool:
    try:
        return up.ask(name, "GET", {"mlflow": "/health", "service": "/readyz"}[name])[0] == 200
    except OSError:
        return False


def serves(up: Up, model: str) -> bool:
    try:
        status, _, headers = up.ask("service", "GET", "/readyz")
    except OSError:  # one service has ended, the next is not there yet
        return False
    return status == 200 and headers["x-model"] == model


def test_a_run_that_a_killed_starter_left_is_closed_by_the_next(up: Up) -> None:
    run = up.start_run("PENDING")  # taken, and never begun
    (before,) = up.processes("flows.deploy")

    before.kill()

    up.until(lambda: up.state_of(run) == "CRASHED")
    up.until(lambda: up.state_of(up.start_run()) != "CANCELLED")


def test_of_the_slots_that_were_missed_one_is_made_up_for(up: Up) -> None:
    slots = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}, "sort": "NEXT_SCHEDULED_START_TIME_ASC"}
    missed = [run["id"] for run in up.until(lambda: up.prefect("POST", "/flow_runs/filter", slots))[:3]]
    schedule = up.deployment()["schedules"][0]["id"]
    (before,) = up.processes("flows.deploy")
    before.suspend()
    for hour, run in enumerate(missed):
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": f"2026-01-02T0{hour}:00:00Z"}}
        up.prefect("POST", f"/flow_runs/{run}/set_state", {"state": state, "force": True})

    before.kill()

    up.until(lambda: sorted(up.state_of(run) for run in missed) == ["CANCELLED", "CANCELLED", "COMPLETED"])
    assert [one["id"] for one in up.deployment()["schedules"]] == [schedule]


def test_of_promotions_in_a_row_the_last_is_served_and_none_counts_as_a_failed_start(up: Up) -> None:
    pointer = up.root / ".lockstep" / "live.json"
    releases = sorted(path.name for path in (up.root / ".lockstep" / "releases").iterdir())
    (keeper,) = up.processes("lockstep.serve", "live")

    for _ in range(5):
        before = json.loads(pointer.read_text())
        (other,) = set(releases) - {before["release"]}
        project.said(project.lockstep(up.root, "release", "promote", other))
        live = json.loads(pointer.read_text())
        up.until(lambda live=live: serves(up, live["model"]))
        up.until(lambda live=live: up.has_said(f"{live['bento']} is live"))

    assert up.processes("lockstep.serve", "live") == [keeper]


def test_what_goes_live_while_the_service_starts_is_served(up: Up) -> None:
    pointer = up.root / ".lockstep" / "live.json"
    before = json.loads(pointer.read_text())
    (other,) = {path.name for path in (up.root / ".lockstep" / "releases").iterdir()} - {before["release"]}
    (keeper,) = up.processes("lockstep.serve", "live")
    keeper.kill()
    (started,) = up.until(lambda: [one for one in up.processes("lockstep.serve", "live") if one != keeper])
    up.until(lambda: started.children())

    project.said(project.lockstep(up.root, "release", "promote", other))

    live = json.loads(pointer.read_text())
    up.until(lambda: serves(up, live["model"]))


def test_ctrl_c_stops_everything_in_order(up: Up) -> None:
    (up.root / "hold").touch()
    project.append(up.root / "params.yaml", "# another\n")
    run = up.start_run()
    up.until(lambda: up.processes("sleep", "600"))

    up.end(signal.SIGINT)

    assert up.process.returncode == 0
    assert up.said[-1] == "stopping\n"
    assert running.last(up.root) is None
    assert state_of(up.root, run) == "CANCELLED"

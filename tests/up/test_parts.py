"""The parts of `lockstep up` without its servers; test_up.py runs them."""

import configparser
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lockstep import activate, alive, running, servers, supervised
from lockstep.commands import up
from lockstep.errors import ParamsError, ProjectError, Unavailable
from lockstep.supervised import Event

PORTS = {"prefect": 14200, "mlflow": 15000, "service": 13000}
PARAMS = "problem: binary\nsource: {kind: simulate}\nfamilies: [linear]\n"
WITHIN_S = 20.0


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project's folder, with a blank, a quote and a percent sign in its path."""
    root = tmp_path / "it's 100 % mine"
    (root / ".lockstep").mkdir(parents=True)
    (root / "params.yaml").write_text(PARAMS)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return root


# The record.


def test_a_second_one_is_told_who_runs_and_where(root: Path) -> None:
    with running.claim(root):
        running.write(root, "mark", {"prefect": "http://127.0.0.1:4200"}, ready=True)

        said = f"process {os.getpid()} runs it: prefect http://127.0.0.1:4200. Use that one, or end it with `kill "
        with pytest.raises(Unavailable, match=said), running.claim(root):
            pass
        assert running.read(root)

    assert running.read(root) is None
    with running.claim(root):
        pass


def test_one_that_was_killed_is_not_taken_for_alive_and_its_mark_is_known(root: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = alive.of(child.pid).as_json()
    values = {"owner": owner, "mark": "abc", "addresses": {"prefect": "http://127.0.0.1:4200"}, "ready": True}
    (root / ".lockstep" / "up.json").write_text(json.dumps(values, indent=2))

    living = running.read(root), activate.prefect_server(str(root / ".lockstep"))
    child.communicate(timeout=WITHIN_S)

    assert living[0] is not None
    assert living[1] == {"PREFECT_API_URL": "http://127.0.0.1:4200/api"}
    assert running.read(root) is None
    assert running.last(root) == living[0]
    assert activate.prefect_server(str(root / ".lockstep")) == {}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"owner": 1}', '{"owner": {"pid": 1}, "ready": true}'])
def test_a_damaged_record_is_none(text: str, root: Path) -> None:
    (root / ".lockstep" / "up.json").write_text(text)

    assert running.last(root) is None
    assert activate.prefect_server(str(root / ".lockstep")) == {}


def test_a_server_is_used_once_everything_is_healthy(root: Path) -> None:
    running.write(root, "mark", {"prefect": "http://127.0.0.1:4200"}, ready=False)

    assert activate.prefect_server(str(root / ".lockstep")) == {}


# What is asked for.


def test_a_taken_port_is_told_with_its_holder_and_the_command_that_helps(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockstep.ports.is_free", lambda port: port != 4200)
    monkeypatch.setattr("lockstep.ports.holder", lambda _port: "process 7, python -m http.server")

    said = (
        r"port 4200 of the Prefect server is taken by process 7, python -m http.server\. "
        r"Free ones: `lockstep up --prefect-port 4201 --service-port 13000`\."
    )
    with pytest.raises(Unavailable, match=said):
        up.choose_ports(root, {**servers.PORTS, "service": 13000}, free=False)
    assert up.choose_ports(root, servers.PORTS, free=True) == {**servers.PORTS, "prefect": 4201}


def test_one_port_for_two_servers_is_refused(root: Path) -> None:
    with pytest.raises(Unavailable, match=r"port 14200 is given to two servers\. Free ones: `lockstep up --"):
        up.choose_ports(root, {**PORTS, "service": 14200}, free=False)


def test_with_a_tracking_server_elsewhere_none_is_started(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:secret@mlflow.example.org")

    chosen = up.choose_ports(root, PORTS, free=True)

    assert sorted(chosen) == ["prefect", "service"]
    assert [server.name for server in servers.listed(root, chosen)] == ["prefect", "service", "flows"]
    assert "MLFLOW_SERVER_ALLOWED_HOSTS" not in servers.environment(root, chosen)


@pytest.mark.parametrize(
    ("schedules", "said"),
    [
        ("{train: {cron: daily}}", "schedules.train.cron: must have five fields, minute to .*; got 'daily'"),
        ('{train: {cron: "0 3 * * 9"}}', "schedules.train.cron must be a line of cron that Prefect takes; got '0 3 "),
        ('{train: {cron: "0 3 * * 1", timezone: Mars}}', "schedules.train.timezone must be the name of a time zone"),
        ('{tarin: {cron: "0 3 * * 1"}}', "no deployment 'tarin' for schedules; expected one of .* mean 'train'?"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused(
    schedules: str, said: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import deploy

    (root / "params.yaml").write_text(f"{PARAMS}schedules: {schedules}\n")
    monkeypatch.setattr(deploy, "ROOT", root)
    problems: list[str] = []
    monkeypatch.setattr(deploy, "print", lambda line, file: problems.append(str(line)), raising=False)

    assert deploy.main("--check") == 1
    with pytest.raises(ParamsError, match=said):
        raise ParamsError(*problems)


def test_without_schedules_no_flow_is_loaded(root: Path) -> None:
    assert up.check_schedules(root) == {}, "there are none here that could be"


def test_schedules_that_take_too_long_to_check_are_told_in_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "params.yaml").write_text(PARAMS + 'schedules: {train: {cron: "0 3 * * 1"}}\n')
    monkeypatch.setattr(up, "CHECK_WITHIN_S", 0.001)

    with pytest.raises(Unavailable, match=r"must have looked at the schedules within 0\.001 s; it had not\. See "):
        up.check_schedules(root)


def test_another_environment_is_refused_before_anything_starts(root: Path) -> None:
    (root / "requirements.lock").write_text("supervisor==0.1\n")

    with pytest.raises(ProjectError, match=r"supervisor must be 0\.1"):
        up.up(root, PORTS, print)


# How servers are set up.


def test_every_server_is_kept_closed(root: Path) -> None:
    found = servers.environment(root, PORTS)

    assert found["PREFECT_SERVER_CSRF_PROTECTION_ENABLED"] == "true"
    assert found["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:14200,http://localhost:14200"
    assert found["PREFECT_SERVER_UI_API_URL"] == found["PREFECT_API_URL"] == "http://127.0.0.1:14200/api"
    assert found["PREFECT_RESULTS_DEFAULT_SERIALIZER"] == "json"
    assert found["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert found["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "False"
    assert found["MLFLOW_SERVER_ALLOWED_HOSTS"] == "127.0.0.1:15000,localhost:15000"
    assert found["no_proxy"].endswith("127.0.0.1,localhost")
    for server in servers.listed(root, PORTS):
        assert "0.0.0.0" not in server.command


def test_the_supervisors_file_holds_no_secret_and_no_control_socket(root: Path) -> None:
    text = supervised.config(root, servers.listed(root, PORTS), "abc")
    parser = configparser.RawConfigParser()
    parser.read_string(text)

    assert parser.sections() == ["supervisord", *(f"program:{n}" for n in ("prefect", "mlflow", "service", "flows"))]
    assert "sqlite" not in text
    assert shlex.split(parser["program:prefect"]["command"])[1:4] == ["-m", "prefect", "server"]
    assert parser["program:flows"]["stopasgroup"] == "false"


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ("2026 INFO spawned: 'flows' with pid 12", None),
        (
            "2026 WARN exited: flows (terminated by SIGKILL; not expected)",
            Event("exited", "flows", "terminated by SIGKILL"),
        ),
        ("2026 INFO gave up: flows entered FATAL state, too many start retries too quickly", Event("gave up", "flows")),
        ("2026 INFO success: flows entered RUNNING state", None),
        ("2026 INFO waiting for flows to die", None),
    ],
)
def test_the_supervisors_lines_are_understood(line: str, event: Event | None) -> None:
    assert supervised.parse(line) == event

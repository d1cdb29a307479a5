import os
import socket
from pathlib import Path

import pytest

from lockstep import running, servers
from lockstep.activate import TELEMETRY_OFF
from lockstep.commands import doctor
from lockstep.commands.doctor import Check, examine
from lockstep.steps import lock


@pytest.fixture
def healthy(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project in its own environment."""
    from lockstep import params

    for name, value in TELEMETRY_OFF.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BENTOML_HOME", str(root / ".lockstep" / "bento"))
    monkeypatch.setenv("PREFECT_HOME", str(root / ".lockstep" / "prefect"))
    lock.write(root, params.load(root))
    return root


def found(root: Path, name: str) -> Check:
    return next(check for check in examine(root) if check.name == name)


def test_a_healthy_project_passes_every_check(healthy: Path) -> None:
    checks = examine(healthy)

    assert [check.name for check in checks if not check.passed] == []
    assert len(checks) == 11
    assert str(checks[0]).startswith("ok    python       3.")


def test_packages_that_are_not_the_locked_ones_are_named_with_the_cure(healthy: Path) -> None:
    path = healthy / "requirements.lock"
    path.write_text(path.read_text().replace("optuna==", "optuna==1."))

    check = found(healthy, "packages")

    assert not check.passed
    assert "optuna must be 1." in check.said
    assert "`make env`" in check.said
    assert str(check).startswith("FAIL  packages")


def test_telemetry_that_is_on_is_named(healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_NO_ANALYTICS")
    monkeypatch.setenv("DO_NOT_TRACK", "0")

    check = found(healthy, "telemetry")

    assert not check.passed
    assert "['DO_NOT_TRACK', 'DVC_NO_ANALYTICS']" in check.said


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("binary", "binray", "no problem named 'binray'"),
        ("xgboost", "xgbost", "no family named 'xgbost'"),
        ("kind: file", "kind: fil", "no source named 'fil'"),
        ("path:", "pth:", "unknown key 'source.pth'"),
        ("seed", "sede", "unknown key 'sede'"),
    ],
)
def test_params_are_checked_down_to_the_source(before: str, after: str, said: str, healthy: Path) -> None:
    path = healthy / "params.yaml"
    path.write_text(path.read_text().replace(before, after))

    check = found(healthy, "params")

    assert not check.passed
    assert said in check.said


def test_a_broken_contract_and_a_broken_graph_are_found(healthy: Path) -> None:
    (healthy / "expectations" / "rows.json").write_text("[]")
    (healthy / "dvc.yaml").write_text("stages: {a: {cmd: x, deps: [o], outs: [p]}, b: {cmd: x, deps: [p], outs: [o]}}")

    checks = {check.name: check for check in examine(healthy)}

    assert "must hold a suite" in checks["contract"].said
    assert "cycle" in checks["graph"].said
    assert not checks["contract"].passed
    assert not checks["graph"].passed


def test_a_source_that_changed_is_found(healthy: Path) -> None:
    (healthy / "table.csv").write_text("a,b\n1,2\n")

    check = found(healthy, "source")

    assert not check.passed
    assert "`lockstep refresh`" in check.said


def test_stores_of_somebody_else_are_said_but_allowed(healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENTOML_HOME", "/elsewhere")

    check = found(healthy, "stores")

    assert check.passed
    assert "BENTOML_HOME is '/elsewhere', not the project's" in check.said


@pytest.mark.skipif(os.geteuid() == 0, reason="whoever is root may write anywhere")
def test_a_state_folder_that_cannot_be_written_is_found(healthy: Path) -> None:
    (healthy / ".lockstep").chmod(0o500)

    check = found(healthy, "stores")
    (healthy / ".lockstep").chmod(0o700)

    assert not check.passed
    assert "must be writable" in check.said


def test_a_damaged_live_release_is_found_and_nothing_live_is_no_fault(healthy: Path) -> None:
    engine = next((healthy / ".lockstep" / "releases").rglob("*.ubj"))
    engine.chmod(0o644)
    engine.write_bytes(b"other")

    damaged = found(healthy, "live")
    (healthy / ".lockstep" / "live.json").unlink()
    nothing = found(healthy, "live")

    assert not damaged.passed
    assert "xgboost.ubj was changed" in damaged.said
    assert nothing.passed
    assert nothing.said == "nothing is live yet"


def test_a_port_that_is_taken_is_said_with_its_holder(healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        monkeypatch.setattr(servers, "PORTS", {"prefect": port})

        check = found(healthy, "ports")

    assert check.passed
    assert check.said.startswith(f"taken: {port} (the Prefect server) by process {os.getpid()}, ")
    assert check.said.endswith("`lockstep up --free-ports` takes others")


def test_the_servers_that_run_are_said_in_place_of_ports(healthy: Path) -> None:
    running.write(healthy, "mark", {"prefect": "http://127.0.0.1:4201"}, ready=True)

    check = found(healthy, "ports")

    assert check.said == f"`lockstep up` runs as process {os.getpid()}: prefect http://127.0.0.1:4201"


def test_a_disk_that_is_nearly_full_is_found(healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", 1 << 60)

    check = found(healthy, "disk")

    assert not check.passed
    assert "`dvc gc -w`" in check.said

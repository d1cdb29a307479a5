"""A server that is down, slow, broken or dying costs a line and some seconds; what is missing is caught up on."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import finished
import pytest
import servers
from mlflow import MlflowClient
from servers import Server, answering, response

from lockstep import publishing, tracking
from lockstep.errors import Unavailable
from lockstep.tracking import reconcile
from lockstep.tracking.runs import Runs

BUDGET_S = 5.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("server"))
    try:
        found.start()
        yield found
    finally:
        found.kill()


def test_a_server_holds_what_a_file_does_and_a_death_midway_costs_nothing(
    server: Server, root: Path, shown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    put_trials, died = Runs.put_trials, []

    def die(self: Runs, *words: Any, **named: Any) -> None:
        if not died:
            died.append(server.kill())
        put_trials(self, *words, **named)

    monkeypatch.setattr(Runs, "put_trials", die)

    with pytest.raises(Unavailable, match=rf"^MLflow at {server.uri} failed: .*refused.*; `lockstep publish` goes on"):
        tracking.publish(root, 20)
    with pytest.raises(Unavailable, match=rf"^no server answers at {server.uri}: Connection refused;"):
        tracking.publish(root, 20)
    server.start()
    said = str(tracking.publish(root, 60))
    again = tracking.publish(root, 60)

    assert died
    assert "winner linear (version 1, the challenger)" in said
    assert again.done == ()
    found = finished.everything(MlflowClient(server.uri, server.uri))
    assert found == finished.everything(finished.client(shown))
    assert (server.folder / "artifacts").is_dir()
    assert not (root / ".lockstep/mlartifacts").exists()


HTML = response("200 OK", b"<html>Welcome to the hotel's network</html>", "text/html")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "failed"),
        (response("500 Internal Server Error", b"{}"), "500"),
        (response("503 Service Unavailable", b"later"), "503"),
        (response("401 Unauthorized", b"who are you"), "401"),
        (HTML, "failed"),
        (response("200 OK", b"[1, 2"), "failed"),
        (response("200 OK", b'{"experiment": 3}'), "failed"),
        (response("200 OK", b"{}"), "must answer as an MLflow server does"),
        (b"\x00\xff" * 100, "failed"),
    ],
    ids=["hangs", "500", "503", "401", "a page", "torn json", "other json", "nothing", "garbage"],
)
def test_what_is_no_server_of_mlflows_is_one_line_within_the_budget(
    answer: bytes | None, said: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    with answering(answer) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)

        outcome = publishing.best_effort(root, BUDGET_S)

    assert time.monotonic() - began < BUDGET_S + 3
    assert not outcome.went_well
    line = str(outcome)
    assert re.fullmatch(r"not published: .*`lockstep publish` goes on from there\.", line)
    assert said in line or "took longer than" in line
    assert "Traceback" not in line


def test_a_port_on_which_nobody_listens_is_told_at_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:pw@127.0.0.1:{servers.free_port()}")
    began = time.monotonic()

    outcome = publishing.best_effort(root)

    assert "no server answers at http://127.0.0.1" in str(outcome)
    assert "pw" not in str(outcome)
    assert time.monotonic() - began < 5


def test_the_settings_of_the_process_are_put_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    before = dict(reconcile.os.environ)

    tracking.publish(root)

    assert dict(reconcile.os.environ) == before

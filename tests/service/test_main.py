"""The service as BentoML runs it; one server serves most of the tests here."""

import http.client
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lockstep import release, replay
from lockstep.release import Release
from lockstep.service import page, released


@pytest.fixture(scope="module")
def built(root: Path) -> Release:
    return release.build(root)


@pytest.fixture(scope="module")
def port(built: Release) -> Iterator[int]:
    with replay.serving(built.tag) as port:
        yield port


def ask(port: int, method: str, path: str, content: bytes | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, content, {"Content-Type": "application/json"} if content else {})
    response = connection.getresponse()
    found = response.read()
    connection.close()
    return response.status, json.loads(found) if response.getheader("content-type") == "application/json" else found


def serve(root: Path, target: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run ``bentoml serve`` where it must refuse to start."""
    return subprocess.run(
        [sys.executable, "-m", "bentoml", "serve", target, "--port", "1"],
        cwd=folder,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
    )


def complaint(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    return " ".join(ended.stderr.split())


def test_a_bento_answers_from_an_empty_folder_without_the_project_on_its_path(
    port: int, sample: replay.Sample, built: Release
) -> None:
    replay.compare(port, sample, built.predictor)
    status, answer = ask(port, "POST", "/predict", json.dumps({"rows": sample.rows[:1]}).encode())
    assert (status, answer["model"]) == (200, built.predictor)


def test_the_routes_are_ours(port: int, openapi: dict[str, Any]) -> None:
    assert ask(port, "GET", "/openapi.json") == (200, openapi)
    assert [ask(port, "GET", path)[0] for path in ("/", "/healthz", "/readyz", "/livez", "/metrics")] == [200] * 5
    assert ask(port, "GET", "/nothing")[0] == 404
    assert ask(port, "PUT", "/predict", b"{}")[0] == 405
    assert ask(port, "POST", "/predict", b"{")[0] == 400
    status, answer = ask(port, "POST", "/predict", b'{"rows": [{}]}')
    assert (status, answer["errors"]) == (422, [{"row": 0, "field": "low", "rule": "not_be_null()", "found": "null"}])


def test_the_page_and_the_card_travel_with_the_bento(port: int, built: Release) -> None:
    assert {name: ask(port, "GET", name) for name in page.FILES} == {
        name: (200, content) for name, content in page.FILES.items()
    }
    status, card = ask(port, "GET", "/card")
    assert (status, card["bento"], card["run"]) == (200, built.tag, None)
    assert card["digests"]["predictor"] == built.predictor


def test_a_body_too_long_is_refused_and_the_service_lives_on(port: int, sample: replay.Sample, built: Release) -> None:
    status, answer = ask(port, "POST", "/predict", b" " * (8 * 1024**2 + 1))
    assert (status, answer["error"]) == (413, "the body must be at most 8,388,608 bytes; send the rows in parts.")
    replay.compare(port, sample, built.predictor)


def test_only_the_loopback_listens(port: int) -> None:
    listening = {
        item.laddr.ip
        for process in psutil.Process().children(recursive=True)
        for item in process.net_connections(kind="inet")
        if item.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_where_nothing_is_live_the_service_says_so_in_one_line(root: Path, built: Release, tmp_path: Path) -> None:
    assert release.live(root) is None
    said = complaint(serve(root, "lockstep.service.main:Service", tmp_path))
    assert f"nothing is live: there is no {root}/.lockstep/live.json; run `make run` first." in said


def test_from_the_projects_source_what_is_live_is_served_and_recorded(
    root: Path, built: Release, sample: replay.Sample, tmp_path: Path
) -> None:
    script = """
import asyncio, json, sys
from lockstep.service import main
async def answer():
    main.Service.inner()
    return await main.app._answerer.predict(json.dumps({"rows": json.load(sys.stdin)}).encode(), "0193" + "0" * 24)
print(asyncio.run(answer()).decode())
"""
    release.promote(root, built)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", script],
            input=json.dumps(sample.rows),
            capture_output=True,
            text=True,
            check=True,
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root / "src"), "LOCKSTEP_PREDICTIONS": str(tmp_path / "predictions")},
        )
    finally:
        (root / ".lockstep" / released.LIVE).unlink()
    answers = json.loads(ended.stdout)
    assert (answers["model"], answers["bento"]) == (built.predictor, built.tag)
    (recorded,) = (tmp_path / "predictions").glob("*.jsonl")
    lines = [json.loads(line) for line in recorded.read_text().splitlines()]
    assert [(line["id"], line["prediction"], line["model"]) for line in lines] == [
        (answer["prediction_id"], answer["prediction"], built.predictor) for answer in answers["predictions"]
    ]
    assert [answer["prediction"] for answer in answers["predictions"]] == [
        expected["prediction"] for expected in sample.expected
    ]


def test_a_bento_whose_code_was_changed_is_not_served(built: Release, tmp_path: Path) -> None:
    name, version = built.tag.split(":")
    file = Path(os.environ["BENTOML_HOME"]) / "bentos" / name / version / "src" / "lockstep" / "metrics.py"
    content = file.read_bytes()
    file.write_bytes(content + b"# changed\n")
    try:
        said = complaint(serve(tmp_path, built.tag, tmp_path))
    finally:
        file.write_bytes(content)
    assert f"code of bento {built.tag} was changed" in said


def test_a_bento_whose_release_was_changed_is_not_served(built: Release, tmp_path: Path) -> None:
    name, version = built.tag.split(":")
    file = Path(os.environ["BENTOML_HOME"]) / "models" / name / version / "release" / "predictor" / "xgboost.ubj"
    content = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        said = complaint(serve(tmp_path, built.tag, tmp_path))
    finally:
        file.write_bytes(content)
    assert f"release {built.digest[:16]} is damaged: release/predictor/xgboost.ubj was changed" in said


def test_a_bento_never_runs_code_that_is_not_its_own(root: Path, built: Release, tmp_path: Path) -> None:
    script = f"""
import lockstep.service.main as main, bentoml
from lockstep.errors import ReleaseError
bentoml.load({built.tag!r})
try:
    main.find()
except ReleaseError as error:
    print(error)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
    )
    assert f"must run its own code; lockstep was imported from {root}/src" in ended.stdout


def test_what_a_bento_carries_is_all_that_it_imports(root: Path, tmp_path: Path) -> None:
    for name in released.shipped(root / "src" / "lockstep"):
        (tmp_path / "lockstep" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "src" / "lockstep" / name, tmp_path / "lockstep" / name)
    script = """
import importlib
from lockstep import plugins
from lockstep.service import main
for axis in ("families", "problems"):
    for name in plugins.names(axis):
        plugins.load(axis, name)
print(main.__file__)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert ended.stdout.strip() == str(tmp_path / "lockstep" / "service" / "main.py")

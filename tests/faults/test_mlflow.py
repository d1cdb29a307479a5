"""MLflow is down, dies, hangs, is locked or damaged: the line ends as ever, and `lockstep publish` catches up."""

import contextlib
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import project
import psutil
import pytest
from faults import FLOW, Started, until
from sites import Site

sys.path.insert(0, str(Path(__file__).parents[1] / "tracking"))

import servers

AT_MOST_S = 15.0
"""What MLflow may cost the line in all."""
MAKE_STORE = (
    "python",
    "-c",
    "import sys; sys.path.insert(0, 'src'); from pathlib import Path; from lockstep.tracking import store; "
    "store.ready(Path('.').resolve())",
)
HELD = """
SELECT tags.value, runs.name, metrics.key, metrics.value, metrics.step, count(*)
FROM runs JOIN metrics USING (run_uuid) JOIN tags USING (run_uuid)
WHERE tags.key = 'lockstep.kind' GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""


@pytest.fixture
def mlflow(tmp_path: Path) -> Iterator[servers.Server]:
    """Give a server that does not run yet."""
    folder = tmp_path / "mlflow"
    folder.mkdir()
    server = servers.Server(folder)
    yield server
    server.kill()


def held_by(database: Path) -> list[Any]:
    """Return every metric of every run, and how often it is there."""
    with contextlib.closing(sqlite3.connect(database)) as opened:
        return opened.execute(HELD).fetchall()


def store_of(site: Site) -> Path:
    return site.root / ".lockstep" / "mlflow.db"


def runs_in(database: Path) -> int:
    """Return how many runs a server has begun; none while it makes its database."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
        return int(opened.execute("SELECT count(*) FROM runs").fetchone()[0])


def is_complete(database: Path, site: Site) -> None:
    """No metric is lost or doubled: they are those of the undisturbed run, each once."""
    found = held_by(database)
    assert found == held_by(site.root.parent / "undisturbed.db")
    assert {row[-1] for row in found} == {1}
    assert {row[0] for row in found} == {"winner", "search", "trial"}


@pytest.fixture
def packaging(site: Site, tmp_path: Path) -> Site:
    """Give the site whose package is to be made again; what MLflow held of the undisturbed run is kept beside."""
    (tmp_path / "undisturbed.db").write_bytes(store_of(site).read_bytes())
    site.forget("package")
    return site


@pytest.fixture
def emptied(packaging: Site) -> Site:
    """Give the same with an empty store, so that there is all to publish."""
    store_of(packaging).unlink()
    project.said(project.run(packaging.root, *MAKE_STORE))
    assert held_by(store_of(packaging)) == []
    return packaging


def publish(site: Site, **more: str) -> str:
    return project.said(project.run(site.root, "lockstep", "publish", **more))


def test_down_at_the_start_then_up(packaging: Site, mlflow: servers.Server) -> None:
    ended = packaging.completes(made=["package"], MLFLOW_TRACKING_URI=mlflow.uri)

    assert "not published: no server answers at" in ended.text
    mlflow.start()
    publish(packaging, MLFLOW_TRACKING_URI=mlflow.uri)
    is_complete(mlflow.folder / "server.db", packaging)


def test_dying_midway_and_back(packaging: Site, mlflow: servers.Server) -> None:
    """It is killed when the first of ten runs stands in its database."""
    mlflow.start()
    run = packaging.start(FLOW, MLFLOW_TRACKING_URI=mlflow.uri)
    until(lambda: runs_in(mlflow.folder / "server.db") or run.is_over(), lambda: run.text)
    mlflow.kill()
    ended = run.ends()

    assert ended.status == 0, ended.text
    assert "not published: " in ended.text
    packaging.is_as_undisturbed()
    mlflow.start()
    publish(packaging, MLFLOW_TRACKING_URI=mlflow.uri)
    is_complete(mlflow.folder / "server.db", packaging)


def test_a_server_that_never_answers_costs_no_more_than_is_allowed(packaging: Site) -> None:
    """Beside it in the same test: what packaging takes where nobody listens, which is told at once."""
    began = time.monotonic()
    packaging.run(FLOW, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{servers.free_port()}")
    alone = time.monotonic() - began
    packaging.forget("package")

    began = time.monotonic()
    with servers.answering(None) as address:
        ended = packaging.completes(made=["package"], MLFLOW_TRACKING_URI=address)

    assert "not published: " in ended.text
    assert time.monotonic() - began < alone + AT_MOST_S
    publish(packaging)
    is_complete(store_of(packaging), packaging)


@pytest.mark.parametrize("answer", [b"\x00\xff" * 100, servers.response("500 Internal Server Error", b"{}")])
def test_garbage_and_errors_are_one_line(answer: bytes, packaging: Site) -> None:
    with servers.answering(answer) as address:
        ended = packaging.completes(made=["package"], MLFLOW_TRACKING_URI=address)

    assert ended.text.count("not published: ") == 1
    publish(packaging)
    is_complete(store_of(packaging), packaging)


def is_publishing(site: Site) -> bool:
    """Whether the line has come to its publisher."""
    for process in site.alive():
        with contextlib.suppress(psutil.Error):
            if any("lockstep.tracking.worker" in word for word in process.cmdline()):
                return True
    return False


def released_after(database: sqlite3.Connection, run: Started, site: Site, seconds: float) -> None:
    """Let go of the lock so long after publishing has begun, or when the line is over."""
    until(lambda: is_publishing(site) or run.is_over(), lambda: run.text)
    over = threading.Event()
    end = time.monotonic() + seconds
    while time.monotonic() < end and not run.is_over():
        over.wait(0.05)
    database.rollback()


@pytest.mark.parametrize("seconds", [8.0, 120.0])
def test_a_database_that_another_process_locks(seconds: float, emptied: Site) -> None:
    """After 8 s the line may still publish, and says whether it did; for 120 s it does not wait."""
    with contextlib.closing(sqlite3.connect(store_of(emptied), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        run = emptied.start(FLOW)
        began = time.monotonic()
        released_after(other, run, emptied, seconds)
        if seconds > AT_MOST_S:
            assert run.is_over(), "the line waited for the lock"
            assert time.monotonic() - began < seconds
        ended = run.ends()

    assert ended.status == 0, ended.text
    assert "Traceback" not in ended.text
    if "not published: " not in ended.text:
        assert seconds < AT_MOST_S
        is_complete(store_of(emptied), emptied)
    emptied.is_as_undisturbed()
    publish(emptied)
    is_complete(store_of(emptied), emptied)


def test_a_truncated_database_is_told_and_left_as_it_is(packaging: Site) -> None:
    store = store_of(packaging)
    damaged = store.read_bytes()[: store.stat().st_size // 2]
    store.write_bytes(damaged)

    ended = packaging.run(FLOW)

    assert ended.status == 0, ended.text
    assert ended.text.count("not published: ") == 1
    assert "must be MLflow's database" in ended.text
    assert "Traceback" not in ended.text
    assert store.read_bytes() == damaged
    store.rename(store.with_suffix(".damaged"))
    publish(packaging)
    packaging.completes(made=[])
    is_complete(store, packaging)

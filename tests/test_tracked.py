import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from lockstep import project, running, tracked
from lockstep.tracking import store

RUNS = [("r1", "winner linear", 7, "active", 10), ("r2", "winner linear again", 7, "active", 20)]
GONE = ("r3", "winner deleted", 7, "deleted", 30)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose store holds runs of the predictor ``abc``; the tables have the columns of MLflow's that count."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project.state(tmp_path).mkdir(parents=True)
    place = store.find(tmp_path).path
    assert place is not None
    with closing(sqlite3.connect(place)) as database:
        database.execute("CREATE TABLE runs (run_uuid, name, experiment_id, lifecycle_stage, start_time)")
        database.execute("CREATE TABLE tags (run_uuid, key, value)")
        database.executemany("INSERT INTO runs VALUES (?, ?, ?, ?, ?)", [*RUNS, GONE])
        tags = [(run[0], "lockstep.predictor", "abc") for run in [*RUNS, GONE]]
        database.executemany("INSERT INTO tags VALUES (?, ?, ?)", tags)
        database.commit()
    return tmp_path


def test_the_last_run_that_was_not_deleted_is_found_and_has_no_page_while_no_server_runs(root: Path) -> None:
    assert tracked.run(root, "abc") == {"run": "r2", "name": "winner linear again", "url": None}


def test_while_lockstep_up_runs_the_run_has_a_page(root: Path) -> None:
    running.write(root, "mark", {"mlflow": "http://127.0.0.1:5001"}, ready=True)
    found = tracked.run(root, "abc")
    assert found is not None
    assert found["url"] == "http://127.0.0.1:5001/#/experiments/7/runs/r2"


def test_what_is_no_address_becomes_no_link(root: Path) -> None:
    running.write(root, "mark", {"mlflow": "sqlite:///elsewhere.db"}, ready=True)
    found = tracked.run(root, "abc")
    assert found is not None
    assert found["url"] is None


def test_a_predictor_that_was_never_published_has_no_run(root: Path) -> None:
    assert tracked.run(root, "other") is None


def test_without_a_store_or_with_a_damaged_one_or_a_server_elsewhere_nothing_is_known(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = store.find(root).path
    assert place is not None
    place.write_bytes(b"not a database")
    assert tracked.run(root, "abc") is None
    place.unlink()
    assert tracked.run(root, "abc") is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert tracked.run(root, "abc") is None


def test_mlflow_is_not_imported_to_find_a_run(root: Path) -> None:
    script = """
import sys
from pathlib import Path
from lockstep import tracked
found = tracked.run(Path(sys.argv[1]), "abc")
print(found["run"], "mlflow" in sys.modules)
"""
    uri = store.find(root).uri  # the working directory is a project too, whose store would be named else
    said = subprocess.run(
        [sys.executable, "-c", script, str(root)],
        env={**os.environ, "MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(Path(tracked.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["r2", "False"]

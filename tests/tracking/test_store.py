"""The store is made once, whole, and never overwritten; whoever holds it is waited for, as long as there is time."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import finished
import pytest

from lockstep import tracking
from lockstep.errors import IntegrityError, ProjectError, Unavailable
from lockstep.tracking import database, glance, store
from lockstep.tracking.store import Store
from lockstep.tracking.waiting import Clock, hold

READY = """
import sys
from pathlib import Path
from lockstep.tracking import store
sys.stdin.readline()
print(store.ready(Path(sys.argv[1]), 120))
"""
SOURCE = Path(store.__file__).parents[2]


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """Return a project without any state."""
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def start(root: Path, program: str = READY) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, str(root)],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "MLFLOW_TRACKING_URI": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def held(root: Path, seconds: float) -> Iterator[None]:
    """Hold the sqlite file against everybody for a while."""
    with contextlib.closing(
        sqlite3.connect(root / ".lockstep/mlflow.db", isolation_level=None, check_same_thread=False)
    ) as database:
        database.execute("BEGIN EXCLUSIVE")
        timer = threading.Timer(seconds, database.rollback)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def names(root: Path) -> list[str]:
    return sorted(path.name for path in (root / ".lockstep").iterdir())


def test_eight_processes_make_one_store(empty: Path) -> None:
    processes = [start(empty) for _ in range(8)]
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()

    said = [process.communicate(timeout=240) for process in processes]

    assert [process.returncode for process in processes] == [0] * 8, said
    assert {out.strip() for out, _ in said} == {finished.uri(empty)}
    assert names(empty) == ["mlflow.db", "mlflow.db.lock"]
    assert finished.client(empty).get_experiment("0").artifact_location == (
        f"{(empty / '.lockstep/mlartifacts').as_uri()}/0"
    )


def test_a_process_killed_while_it_makes_the_store_leaves_none(empty: Path) -> None:
    process = start(empty)
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()
    half = empty / ".lockstep/.mlflow.db.new"
    end = time.monotonic() + 60
    while not (half.exists() and half.stat().st_size):
        assert process.poll() is None
        assert time.monotonic() < end

    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    left = names(empty)
    found = store.ready(empty)

    assert "mlflow.db" not in left
    assert found.path
    assert names(empty) == ["mlflow.db", "mlflow.db.lock"]
    assert finished.client(empty).search_experiments()


def test_a_full_disk_leaves_no_store_and_one_line(empty: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
import mlflow.store.tracking.sqlalchemy_store
from lockstep.tracking import store
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    store.ready(Path(sys.argv[1]))
except store.LockstepError as error:
    print(error)
"""
    out, err = start(empty, program).communicate(timeout=120)

    assert err == ""
    assert out.startswith(f"MLflow at {finished.uri(empty)} failed: ")
    assert out.count("\n") == 1
    assert not (empty / ".lockstep/mlflow.db").exists()
    assert store.ready(empty).path


def test_a_store_that_another_program_made_meanwhile_stays(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = empty / ".lockstep/mlflow.db"
    store.ready(empty)
    theirs = place.read_bytes()
    place.unlink()
    made = database._hasten

    def and_another(*words: object) -> None:
        place.write_bytes(theirs)
        made(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(database, "_hasten", and_another)

    store.ready(empty)

    assert place.read_bytes() == theirs
    assert names(empty) == ["mlflow.db", "mlflow.db.lock"]


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def overwritten(content: bytes) -> bytes:
    return b"no database at all" + content[18:]


def nothing(_: bytes) -> bytes:
    return b""


def headless(content: bytes) -> bytes:
    return content[:100] + bytes(4000) + content[4100:]


@pytest.mark.parametrize("damage", [truncated, overwritten, nothing, headless])
def test_a_damaged_store_is_told_with_its_cure_and_stays_as_it_is(damage, published: Path) -> None:
    place = published / ".lockstep/mlflow.db"
    place.write_bytes(damage(place.read_bytes()))
    before = place.read_bytes()

    with pytest.raises(
        IntegrityError,
        match=rf"^{place} must be MLflow's database; .*\. Move it away, or put a backup in its place, and run `lock",
    ):
        tracking.publish(published)
    assert place.read_bytes() == before

    place.rename(place.with_suffix(".damaged"))
    assert "3 trials" in str(tracking.publish(published))


def test_a_store_damaged_deep_within_is_told_too(root: Path) -> None:
    place = root / ".lockstep/mlflow.db"
    content = bytearray(place.read_bytes())
    with contextlib.closing(sqlite3.connect(place)) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'metrics'").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    content[(page - 1) * size : page * size] = bytes(size)
    place.write_bytes(content)

    with pytest.raises(IntegrityError, match="must be MLflow's database; it is malformed"):
        tracking.publish(root)


def test_a_database_of_another_program_is_refused(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = empty / "other.db"
    with contextlib.closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE mine (a)")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other}")

    with pytest.raises(IntegrityError, match=r"other\.db must be MLflow's database; it lacks MLflow's tables"):
        store.ready(empty)


def test_a_store_of_another_version_names_the_command_that_upgrades_it(published: Path) -> None:
    with contextlib.closing(sqlite3.connect(published / ".lockstep/mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '1bd49d398cd23'")
        database.execute("DELETE FROM tags")
        database.commit()

    with pytest.raises(ProjectError, match="was made by another MLflow; back it up and run `mlflow db upgrade sqlite:"):
        tracking.publish(published)


def test_a_file_that_may_not_be_written_is_told_by_its_name(published: Path) -> None:
    place = published / ".lockstep/mlflow.db"
    place.unlink()
    place.mkdir()

    with pytest.raises(ProjectError, match=r"mlflow\.db must be a file that can be written; unable to open database"):
        tracking.publish(published)


def test_a_lock_that_is_let_go_of_in_time_is_waited_for(root: Path) -> None:
    with held(root, 2.0):
        report = tracking.publish(root, 60)

    assert len(report.done) == 3


def test_a_lock_that_comes_while_it_publishes_is_waited_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As another program may take it between two steps; it is held for longer than sqlite itself waits."""
    monkeypatch.setattr(glance, "nothing_to_do", lambda *_: take())
    taken = contextlib.ExitStack()

    def take() -> bool:
        taken.enter_context(held(root, 3.0))
        return False

    with taken:
        report = tracking.publish(root, 60)

    assert len(report.done) == 3


def test_a_lock_that_is_not_let_go_of_is_given_up_on_with_one_line(root: Path) -> None:
    began = time.monotonic()

    with held(root, 60.0), pytest.raises(Unavailable, match="is locked by another process, for longer than"):
        tracking.publish(root, 1.5)

    assert time.monotonic() - began < 8
    assert len(tracking.publish(root).done) == 3


def test_another_publisher_is_waited_for_and_then_given_up_on(root: Path) -> None:
    with (
        hold(root / ".lockstep/publish.lock", Clock(1), ""),
        pytest.raises(Unavailable, match=r"^another publisher is at work, for longer than 0\.3 s; `lockstep pub"),
    ):
        tracking.publish(root, 0.3)


def test_the_store_is_the_projects_unless_another_is_named(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.find(empty).path == empty / ".lockstep/mlflow.db"

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{empty / 'mine.db'}?timeout=3")

    assert store.find(empty).path == empty / "mine.db"


@pytest.mark.parametrize(
    ("uri", "server"),
    [
        ("http://127.0.0.1:5000", ("127.0.0.1", 5000)),
        ("https://ann:pw@example.org/mlflow", ("example.org", 443)),
        ("sqlite:////a/b.db", None),
        ("postgresql://host/db", None),
    ],
)
def test_a_server_is_known_by_its_address(uri: str, server: tuple[str, int] | None) -> None:
    assert Store(uri, Path("/a")).server == server


def test_where_it_published_to_is_said_without_secrets() -> None:
    assert str(Store("https://ann:pw@example.org:80/a?token=x", Path("/a"))) == "https://example.org:80/a"
    told = store.explain(
        ValueError("no answer from https://ann:pw@example.org/x?token=y"), Store("https://h", Path("/a"))
    )
    assert "pw" not in str(told)
    assert "token" not in str(told)

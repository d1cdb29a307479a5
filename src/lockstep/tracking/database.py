"""Make MLflow's sqlite file, and look whether it is one, and free.

MLflow's own way of making it dies where several processes do it at once, and leaves half of it where it is killed. Here
it is made under a lock, beside its place, and put there whole.
"""

import contextlib
import logging
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from lockstep.errors import IntegrityError, ProjectError, Unavailable
from lockstep.tracking.waiting import AGAIN, Clock, hold

MUST_HAVE = {"alembic_version", "experiments", "runs"}
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
"""Where MLflow keeps the whole paths of artifacts."""


def ready(path: Path, artifacts: Path, clock: Clock) -> None:
    """Make the file if there is none, and wait until nobody holds it; errors as in :func:`check`."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with hold(path.with_name(f"{path.name}.lock"), clock, f"another process makes {path}"):
            if not path.exists():
                _make(path, artifacts)
    check(path, artifacts, clock)


def check(path: Path, artifacts: Path, clock: Clock) -> None:
    """Wait until the file can be written, and look whether it is a store of MLflow's.

    Raises
    ------
    Unavailable
        Another process held it for as long as the clock allows.
    IntegrityError
        It is damaged, or another program's.
    """
    if not path.stat().st_size:
        raise damaged(path, "it is empty")
    try:
        with contextlib.closing(_connect(path, clock.left)) as database:
            database.execute("BEGIN IMMEDIATE")
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if names >= MUST_HAVE:
                _follow(database, path, artifacts)
            database.commit()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise Unavailable(
                f"{path} is locked by another process, for longer than {clock.seconds:g} s; when that is done, {AGAIN}."
            ) from None
        raise ProjectError(f"{path} must be a file that can be written; {error}. Mend its owner or its mode.") from None
    except sqlite3.DatabaseError as error:
        raise damaged(path, str(error)) from None
    if not names >= MUST_HAVE:
        raise damaged(path, "it lacks MLflow's tables")


def damaged(path: Path, found: str) -> IntegrityError:
    """Return the error that says what is wrong with the file, and the cure."""
    return IntegrityError(
        f"{path} must be MLflow's database; {found}. Move it away, or put a backup in its place, and run "
        "`lockstep publish`: what lies in models/ and reports/ is published again."
    )


def _make(path: Path, artifacts: Path) -> None:
    """Write a new store beside ``path`` and put it there whole; what another program put there meanwhile stays."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import Engine, event

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    new = path.with_name(f".{path.name}.new")
    for left in path.parent.glob(f"{new.name}*"):  # by a process that was killed
        left.unlink()
    event.listen(Engine, "connect", _hasten)
    try:
        SqlAlchemyStore(f"sqlite:///{new}", artifacts.as_uri())._dispose_engine()
    finally:
        event.remove(Engine, "connect", _hasten)
    with new.open("rb") as file:
        os.fsync(file.fileno())
    _put(new, path)


def _put(new: Path, path: Path) -> None:
    """Give a file its place, unless that is taken."""
    try:
        path.hardlink_to(new)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        new.replace(path)
        return
    new.unlink()


def _hasten(connection: sqlite3.Connection, _: object) -> None:
    """Let the disk be, for a file that counts only when it is whole."""
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = MEMORY")


def _follow(database: sqlite3.Connection, path: Path, artifacts: Path) -> None:
    """Name the artifacts where they lie, if the project was moved or copied; MLflow keeps whole paths."""
    found = database.execute("SELECT artifact_location FROM experiments WHERE experiment_id = 0").fetchone()
    before, now = (found[0] or "").removesuffix("/0") if found else "", artifacts.as_uri()
    if before == now or not before.endswith(f"/.lockstep/{artifacts.name}") or path.parent != artifacts.parent:
        return
    for table, column in PLACES:
        database.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} LIKE ? ESCAPE '!'",
            (now, len(before) + 1, before.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "/%"),
        )


def _connect(path: Path, timeout: float) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=rw", uri=True, timeout=timeout)

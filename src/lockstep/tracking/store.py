"""Find the tracking store, make it once, and wait for it: a sqlite file of the project's, or any server.

MLflow's own way of making a sqlite store dies where several processes do it at once, and leaves half a store where it
is killed. Here it is made under a lock, beside its place, and put there whole.
"""

import contextlib
import fcntl
import logging
import os
import re
import socket
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from lockstep import project
from lockstep.errors import IntegrityError, LockstepError, ProjectError, Unavailable

DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
STATE = ".lockstep"
MUST_HAVE = {"alembic_version", "experiments", "runs"}
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
"""Where MLflow keeps the whole paths of artifacts."""
TURN_S, REACH_S = 0.05, 3.0
AGAIN = "`lockstep publish` goes on from there"


@dataclass(frozen=True)
class Clock:
    """Knows how many seconds are left."""

    seconds: float
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds until the end; never negative."""
        return max(0.0, self.began + self.seconds - time.monotonic())

    def check(self) -> None:
        """Stop when no time is left.

        Raises
        ------
        Unavailable
            None is.
        """
        if not self.left:
            raise Unavailable(f"publishing took longer than {self.seconds:g} s; {AGAIN}.")


@dataclass(frozen=True)
class Store:
    """Where runs are tracked."""

    uri: str
    artifacts: Path
    """Where artifacts of a store without a server lie."""

    @property
    def path(self) -> Path | None:
        """The file of a sqlite store, or None."""
        found = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+)(?:\?.*)?", self.uri)
        return None if found is None or found[1] == ":memory:" else Path(found[1])

    @property
    def server(self) -> tuple[str, int] | None:
        """Host and port of a server, or None."""
        parts = urlsplit(self.uri)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return None
        return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)

    def folder(self, experiment: str) -> str:
        """Return where artifacts of an experiment lie."""
        return (self.artifacts / experiment).as_uri()

    def __str__(self) -> str:
        return without_secrets(self.uri)


def find(root: Path) -> Store:
    """Return the store that ``MLFLOW_TRACKING_URI`` names, else the project's own."""
    state = project.state(root)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{state / DATABASE}"
    return Store(uri, state / ARTIFACTS)


def without_secrets(text: str) -> str:
    """Return ``text`` without the user, the password and the query of its URLs.

    >>> without_secrets("no answer from https://ann:secret@host:5000/a?token=x")
    'no answer from https://host:5000/a'
    """
    return re.sub(r"(\w+://)(?:[^/\s@]*@)?([^\s?'\")]*)(?:\?[^\s'\")]*)?", r"\1\2", text)


def ready(root: Path, seconds: float = 60.0) -> Store:
    """Make the store if there is none, and wait until nobody holds it; of a server nothing is asked.

    Raises
    ------
    Unavailable
        Another process holds it for longer than ``seconds``.
    IntegrityError
        What lies there is no store.
    """
    store, clock = find(root), Clock(seconds)
    path = store.path
    if path is not None:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with hold(path.with_name(f"{path.name}.lock"), clock, f"another process makes {path}"):
                if not path.exists():
                    _make(path, store.artifacts)
        _check(store, path, clock)
    return store


def reach(store: Store, clock: Clock) -> None:
    """Stop at once where no server listens, before MLflow is imported to find that out.

    Raises
    ------
    Unavailable
        Nobody answers.
    """
    if store.server is not None:
        try:
            socket.create_connection(store.server, timeout=min(REACH_S, clock.left)).close()
        except OSError as error:
            raise Unavailable(f"no server answers at {store}: {error.strerror or error}; {AGAIN}.") from None


@contextlib.contextmanager
def hold(file: Path, clock: Clock, otherwise: str) -> Iterator[None]:
    """Hold a lock that ends with this process; wait for it as long as the clock allows.

    Raises
    ------
    Unavailable
        Saying ``otherwise``.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not clock.left:
                    raise Unavailable(f"{otherwise}, for longer than {clock.seconds:g} s; {AGAIN}.") from None
                time.sleep(TURN_S)
        yield


def is_busy(error: Exception) -> bool:
    """Say whether a sqlite store was locked by somebody else."""
    return "database is locked" in str(error)


def explain(error: Exception, store: Store) -> LockstepError:
    """Return what MLflow complained of as one line with a cure."""
    text = without_secrets(" ".join(str(error).split()))
    if is_busy(error):
        return Unavailable(f"{store} is locked by another process; when that is done, {AGAIN}.")
    if "malformed" in text or "not a database" in text:
        return _damaged(store.path or Path(str(store)), "it is malformed")
    if "out-of-date database schema" in text:
        return ProjectError(f"{store} was made by another MLflow; back it up and run `mlflow db upgrade {store}`.")
    cause = text.rpartition("(Caused by ")[2] or type(error).__name__
    return Unavailable(f"MLflow at {store} failed: {cause[:200]}; {AGAIN}.")


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
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(new)
    new.unlink()


def _hasten(connection: sqlite3.Connection, _: object) -> None:
    """Let the disk be, for a file that counts only when it is whole."""
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = MEMORY")


def _check(store: Store, path: Path, clock: Clock) -> None:
    """Wait until the file can be written, and look whether it is a store of MLflow's."""
    if not path.stat().st_size:
        raise _damaged(path, "it is empty")
    try:
        with contextlib.closing(_connect(path, clock.left)) as database:
            database.execute("BEGIN IMMEDIATE")
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if names >= MUST_HAVE:
                _follow(database, store)
            database.commit()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise Unavailable(
                f"{path} is locked by another process, for longer than {clock.seconds:g} s; when that is done, {AGAIN}."
            ) from None
        raise ProjectError(f"{path} must be a file that can be written; {error}. Mend its owner or its mode.") from None
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from None
    if not names >= MUST_HAVE:
        raise _damaged(path, "it lacks MLflow's tables")


def _follow(database: sqlite3.Connection, store: Store) -> None:
    """Name the artifacts where they lie, if the project was moved or copied; MLflow keeps whole paths."""
    found = database.execute("SELECT artifact_location FROM experiments WHERE experiment_id = 0").fetchone()
    before, now = (found[0] or "").removesuffix("/0") if found else "", store.artifacts.as_uri()
    if (
        before == now
        or not before.endswith(f"/{STATE}/{ARTIFACTS}")
        or store.path != store.artifacts.with_name(DATABASE)
    ):
        return
    for table, column in PLACES:
        database.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} LIKE ? ESCAPE '!'",
            (now, len(before) + 1, before.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "/%"),
        )


def _connect(path: Path, timeout: float) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=rw", uri=True, timeout=timeout)


def _damaged(path: Path, found: str) -> IntegrityError:
    return IntegrityError(
        f"{path} must be MLflow's database; {found}. Move it away, or put a backup in its place, and run "
        "`lockstep publish`: what lies in models/ and reports/ is published again."
    )

"""Find the tracking store: a sqlite file of the project's, or any server; and say in one line what is wrong with it."""

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lockstep import errors, project
from lockstep.errors import LockstepError, ProjectError, Unavailable
from lockstep.tracking import database
from lockstep.tracking.waiting import AGAIN, Clock

DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
REACH_S = 3.0


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
    store = find(root)
    if store.path is not None:
        try:
            database.ready(store.path, store.artifacts, Clock(seconds))
        except LockstepError:
            raise
        except Exception as error:  # MLflow and the database may raise anything, as on a full disk
            raise explain(error, store) from error
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


def is_busy(error: Exception) -> bool:
    """Say whether a sqlite store was locked by somebody else."""
    return "database is locked" in str(error)


def explain(error: Exception, store: Store) -> LockstepError:
    """Return what MLflow complained of as one line with a cure."""
    text = without_secrets(" ".join(str(error).split()))
    if is_busy(error):
        return Unavailable(f"{store} is locked by another process; when that is done, {AGAIN}.")
    if "malformed" in text or "not a database" in text:
        return database.damaged(store.path or Path(str(store)), "it is malformed")
    if "disk is full" in text:
        return Unavailable(f"there is no room for {store}; make some (`dvc gc -w` drops old outs), {AGAIN}.")
    if isinstance(error, OSError) and errors.explain(error):
        return Unavailable(errors.explain(error))
    if "out-of-date database schema" in text:
        return ProjectError(f"{store} was made by another MLflow; back it up and run `mlflow db upgrade {store}`.")
    _, known, cause = text.rpartition("(Caused by ")
    said = cause if known else f"{type(error).__name__}: {text}"
    return Unavailable(f"MLflow at {store} failed: {said[:200]}; {AGAIN}.")

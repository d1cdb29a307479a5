"""Hold what should be in MLflow: plain values, read from the files that the stages wrote, each named by its digest."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lockstep import digest
from lockstep.alive import Owner

KEY, CONTENT, KIND, OWNER = "lockstep.key", "lockstep.content", "lockstep.kind", "lockstep.owner"
"""Tags: what a run projects, which outcome of it, what sort of run it is, and the process that is at work on it."""
ALIAS = "challenger"


@dataclass(frozen=True)
class Point:
    """One value of a metric."""

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class Table:
    """A data set, by the digest of its bytes; ``path`` is relative to the project."""

    name: str
    digest: str
    path: str
    context: str
    columns: tuple[tuple[str, str], ...] = ()
    """Names and MLflow's types."""
    n_rows: int | None = None


@dataclass(frozen=True)
class Run:
    """What one run of MLflow should hold."""

    key: str
    """Digest of what it is about; a run of that key is this run."""
    content: str
    """Digest of how it came out; empty while it is under way."""
    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    began: int | None = None
    """Milliseconds since 1970, where the ledger knows; likewise ``ended``."""
    ended: int | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Artifacts, by their path."""
    tables: tuple[Table, ...] = ()
    trials: tuple["Run", ...] = ()
    owner: Owner | None = None
    """The process that is at work on it, where it is under way."""


@dataclass(frozen=True)
class Model:
    """A predictor for the registry."""

    key: str
    name: str
    """Of the registered model, which is the project's."""
    predictor: Mapping[str, bytes]
    """The files of its folder."""
    predictions: bytes
    """What it answered to the test rows, as Parquet; the model must answer the same."""
    digest: str
    accepted: bool
    params: Mapping[str, str]
    points: tuple[Point, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Wanted:
    """All of it."""

    project: str
    searches: tuple[Run, ...]
    winner: Run | None
    model: Model | None
    scores: tuple[str, ...]
    """Names of the scores that winners are compared by."""

    @property
    def runs(self) -> tuple[Run, ...]:
        """Runs that have no parent."""
        return (*self.searches, *((self.winner,) if self.winner else ()))


def key_of(kind: str, **parts: Any) -> str:
    """Return the digest that names what a run is about."""
    return digest.of_bytes(json.dumps({"kind": kind, **parts}, sort_keys=True).encode())


def as_text(value: Any) -> str:
    """Return a setting as MLflow keeps it.

    >>> as_text(0.1), as_text("l2"), as_text(True), as_text([1, 2])
    ('0.1', 'l2', 'true', '[1, 2]')
    """
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)

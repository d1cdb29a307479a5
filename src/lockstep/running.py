"""Keep on record which `lockstep up` runs, and where its servers are; one that was killed is never taken for alive."""

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lockstep import alive, digest, project
from lockstep.alive import Owner
from lockstep.errors import Unavailable

LOCK = "up.lock"
FILE = "up.json"
"""Read by activate.py too, at each start of Python, so that Prefect's client finds the server."""


@dataclass(frozen=True)
class Record:
    """What a `lockstep up` says of itself."""

    owner: Owner
    mark: str
    """What all of its processes carry."""
    addresses: Mapping[str, str]
    ready: bool
    """Whether everything was found healthy."""

    def __str__(self) -> str:
        return ", ".join(f"{name} {address}" for name, address in self.addresses.items())


@contextlib.contextmanager
def claim(root: Path) -> Iterator[None]:
    """Be the only `lockstep up` of this state; what it put on record is removed at the end.

    Raises
    ------
    Unavailable
        Another one runs; with its process and addresses.
    """
    state = project.state(root)
    state.mkdir(parents=True, exist_ok=True)
    with (state / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(_runs_already(read(root))) from None
        try:
            yield
        finally:
            (state / FILE).unlink(missing_ok=True)


def write(root: Path, mark: str, addresses: Mapping[str, str], *, ready: bool) -> None:
    """Put this process on record."""
    values = {"owner": alive.me().as_json(), "mark": mark, "addresses": dict(addresses), "ready": ready}
    digest.write_atomic(project.state(root) / FILE, digest.dump_json(values))


def read(root: Path) -> Record | None:
    """Return the `lockstep up` that runs, or None."""
    found = last(root)
    return None if found is None or alive.is_dead(found.owner) else found


def last(root: Path) -> Record | None:
    """Return what is on record, whether it lives or was killed; None where there is nothing, or nothing that is one."""
    try:
        values = json.loads((project.state(root) / FILE).read_text("utf-8"))
        owner = alive.read(values["owner"])
        return Record(owner, str(values["mark"]), dict(values["addresses"]), bool(values["ready"]))
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return None


def _runs_already(record: Record | None) -> str:
    if record is None:
        return "another `lockstep up` of this project is about to start or to end; try again in a moment."
    return (
        f"`lockstep up` of this project must run once; process {record.owner.pid} runs it: {record}. "
        f"Use that one, or end it with `kill {record.owner.pid}`."
    )

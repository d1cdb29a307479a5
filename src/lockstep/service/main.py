"""What BentoML serves: ``bentoml serve NAME:VERSION`` for a bento, or this module for what is live in the project.

A bento carries a pointer, ``release.json``, beside its package and answers by that release, whatever is live. From a
project's source the service follows ``.lockstep/live.json``, read once, when a worker starts.
"""

import asyncio
import atexit
import ctypes
import gc
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import bentoml
import click
import uvicorn.config
from bentoml._internal.container import BentoMLContainer
from bentoml.exceptions import BentoMLException

from lockstep.errors import IntegrityError, LockstepError, ReleaseError
from lockstep.predictor import Predictor
from lockstep.service import access, rehearsal, released, wire
from lockstep.service.app import App, Served
from lockstep.service.card import Run
from lockstep.service.record import Recorder
from lockstep.service.released import Found

PACKAGE = Path(__file__).resolve().parents[1]
CODE_DIFFERS = "the code in %s is not that of release %s; it may answer otherwise. Serve its bento: `bentoml serve %s`."
PREDICTIONS, DRAIN, PARENT = "LOCKSTEP_PREDICTIONS", "LOCKSTEP_DRAIN_S", "LOCKSTEP_PARENT"
DRAIN_S = 1.0
"""From the signal to end, when readiness turns off, until no connection is taken any more."""
SWITCH_EVERY_S = 0.0005
"""How long an answer may wait for the thread that records; Python's own 5 ms are ten answers."""
SAME_S = 0.5
"""Signals nearer than this are one, sent twice: by a service manager and by circus, or as a parent's threads die."""
PR_SET_PDEATHSIG, M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = 1, -1, -3
MAPPED_BYTES = 256 * 1024
"""Larger pieces of memory are the system's again as soon as they are free; else glibc raises that to 32 MiB."""

log = logging.getLogger("lockstep.service")
app = App()


class Protocol(wire.Protocol):
    """A connection of the service."""

    answer = app


# uvicorn speaks what stands here under the names that BentoML's worker asks for.
uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:Protocol"
uvicorn.Server = wire.Server  # type: ignore[misc]


def stop_early() -> None:
    """Stop ``bentoml serve`` before it starts a worker, with one line, if there is nothing right to serve."""
    try:
        access.check_host(host(), access.token())
        rehearsal.rehearse(find(), PACKAGE.parent)
    except LockstepError as error:
        raise BentoMLException(str(error)) from None
    from lockstep.service import keeper  # a worker needs none of it

    keeper.mind()
    os.environ[PARENT] = str(os.getpid())


def host() -> str:
    """Return the address that ``bentoml serve`` was asked to listen on, else the one of BentoML's configuration."""
    asked = click.get_current_context(silent=True)
    return str((asked and asked.params.get("host")) or BentoMLContainer.http.host.get())


def close_records(service: "Service") -> None:
    """Record what was answered last; the signal that ends a worker leaves no time for it after this."""
    if service.recorder:
        service.recorder.close()


@bentoml.service(
    name="lockstep",
    workers=1,
    http={"host": access.LOOPBACK, "port": 3000},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(app, path="/")
class Service:
    """Answer rows by the one predictor that was evaluated."""

    check = bentoml.on_deployment(stop_early)
    close = bentoml.on_shutdown(close_records)

    def __init__(self) -> None:
        end_with_parent()
        give_memory_back()
        sys.setswitchinterval(SWITCH_EVERY_S)
        try:
            served = load()
            app.serve(served, access.token())
        except (LockstepError, BentoMLException) as error:
            give_up(error)
        self.recorder = served.recorder
        drain_first()
        gc.collect()
        gc.freeze()  # what is loaded now stays; looking through it took 0.1 s, again and again
        log.info("release %s is served", served.bento)


def load() -> Served:
    """Return the release to serve, verified and loaded; errors as in :func:`find` and :func:`released.load`."""
    found = find()
    predictor = released.load(found)
    made_at = (found.folder / released.IDENTITY).stat().st_mtime
    schema, card = (found.folder / released.SCHEMA).read_bytes(), card_of(found)
    return Served(predictor, found.identity.tag, schema, card, record_of(predictor, found), made_at, run_of)


def give_up(error: Exception) -> NoReturn:
    """End a worker that has nothing right to serve any more, with one line; BentoML would print the stack thrice."""
    log.error("Application startup failed: %s", error)
    logging.shutdown()
    os._exit(1)


def end_with_parent() -> None:
    """Have the kernel end this worker when ``bentoml serve`` is killed, so that nobody answers unwatched (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.environ.get(PARENT, str(os.getppid())) != str(os.getppid()):  # it was killed before that
            os.kill(os.getpid(), signal.SIGKILL)


def give_memory_back() -> None:
    """Have what large requests took return to the system, not stay with the allocator for the next ones (glibc)."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)
        libc.mallopt(M_TRIM_THRESHOLD, 4 * MAPPED_BYTES)


def drain_first() -> None:
    """Have SIGTERM turn readiness off a while before uvicorn ends, so that nobody sends what nobody will take."""
    loop, ends = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
    wait_s = float(os.environ.get(DRAIN, DRAIN_S))
    asked_at: list[float] = []

    def end() -> None:
        signal.signal(signal.SIGTERM, ends)
        os.kill(os.getpid(), signal.SIGTERM)

    def drain(_: int, __: FrameType | None) -> None:
        asked_at.append(time.monotonic())
        if len(asked_at) == 1:
            app.drain()
            loop.call_soon_threadsafe(loop.call_later, wait_s, end)
        elif asked_at[-1] - asked_at[0] > SAME_S:
            end()  # a second one ends at once

    signal.signal(signal.SIGTERM, drain)


def record_of(predictor: Predictor, found: Found) -> Recorder | None:
    """Return what records predictions in the folder that ``LOCKSTEP_PREDICTIONS`` names; none where it is empty."""
    home = os.environ.get("BENTOML_HOME", str(Path.home() / "bentoml"))
    folder = os.environ.get(PREDICTIONS, f"{home}/predictions")
    if not folder:
        return None
    recorder = Recorder(Path(folder), predictor.contract, found.identity.tag, predictor.digest)
    atexit.register(recorder.close)
    return recorder


def card_of(found: Found) -> dict[str, Any]:
    """Return the card of a release."""
    return dict(json.loads((found.folder / released.CARD).read_bytes()))


def run_of(predictor: str) -> Run | None:
    """Return the run that fitted what is served, where a project is; a bento knows of none."""
    if (PACKAGE.parent / released.PINNED).exists():
        return None
    from lockstep import tracked  # a project's alone; a bento does not carry it

    return tracked.run(PACKAGE.parents[1], predictor)


def find() -> Found:
    """Return the release to serve, verified: the bento's own, else the one that is live in the project.

    Raises
    ------
    ReleaseError
        Nothing is live, or the code that runs is not the bento's.
    IntegrityError
        Bytes of the release, or of the bento's code, are not those that were packaged.
    """
    source = PACKAGE.parent
    bento = getattr(Service, "bento", None)  # BentoML sets it where a bento is served
    if bento is not None and Path(bento.path_of("src")).resolve() != source:
        raise ReleaseError(
            f"bento {bento.tag} must run its own code; lockstep was imported from {source}. Start it "
            "elsewhere, and without PYTHONPATH."
        )
    pinned = released.read_pointer(source / released.PINNED)
    if pinned is None:
        return _live(source.parent)
    found = released.verify(Path(bentoml.models.get(pinned.bento).path) / released.MODEL_FOLDER, pinned)
    if released.code_digest(PACKAGE) != found.identity.code:
        raise IntegrityError(
            f"code of bento {pinned.bento} was changed in {source}; delete the bento with `bentoml "
            "delete`, and run `make run`, which builds it again."
        )
    return found


def _live(root: Path) -> Found:
    from lockstep import project  # a project's alone; a bento does not carry it

    found = released.live(project.state(root))
    if released.code_digest(PACKAGE) != found.identity.code:
        log.warning(CODE_DIFFERS, PACKAGE, found.identity.tag, found.identity.tag)
    return found

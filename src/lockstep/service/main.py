"""What BentoML serves: ``bentoml serve NAME:VERSION`` for a bento, or this module for what is live in the project.

A bento carries a pointer, ``release.json``, beside its package and answers by that release, whatever is live. From a
project's source the service follows ``.lockstep/live.json``, read once, when a worker starts.
"""

import atexit
import logging
import os
from pathlib import Path

import bentoml
from bentoml.exceptions import BentoMLException

from lockstep.errors import IntegrityError, LockstepError, ReleaseError
from lockstep.predictor import Predictor
from lockstep.service import released
from lockstep.service.app import App
from lockstep.service.record import Recorder
from lockstep.service.released import Found

PACKAGE = Path(__file__).resolve().parents[1]
CODE_DIFFERS = "the code in %s is not that of release %s; it may answer otherwise. Serve its bento: `bentoml serve %s`."
REQUEST_TIMEOUT_S = 5
"""BentoML holds 5 KB for each request this long, whatever it took."""
MAX_CONCURRENCY = 256
"""Requests beyond it are answered 429 at once."""
UNTRACED = ["/predict"]
"""A span costs 250 us, as much as a prediction, and no exporter is set; remove it to trace requests."""

PREDICTIONS = "LOCKSTEP_PREDICTIONS"

log = logging.getLogger("lockstep.service")
app = App()


def stop_early() -> None:
    """Stop ``bentoml serve`` before it starts a worker, with one line, if there is nothing right to serve."""
    try:
        find()
    except LockstepError as error:
        raise BentoMLException(str(error)) from None


@bentoml.service(
    name="lockstep",
    workers=1,
    http={"host": "127.0.0.1", "port": 3000},
    traffic={"timeout": REQUEST_TIMEOUT_S, "max_concurrency": MAX_CONCURRENCY},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": UNTRACED},
)
@bentoml.asgi_app(app, path="/")
class Service:
    """Answer rows by the one predictor that was evaluated."""

    check = bentoml.on_deployment(stop_early)

    def __init__(self) -> None:
        found = find()
        predictor, schema = released.load(found), (found.folder / released.SCHEMA).read_bytes()
        app.serve(predictor, schema, found.identity.tag, record_of(predictor, found))
        log.info("release %s is served", found.identity.tag)


def record_of(predictor: Predictor, found: Found) -> Recorder | None:
    """Return what records predictions in the folder that ``LOCKSTEP_PREDICTIONS`` names; none where it is empty."""
    home = os.environ.get("BENTOML_HOME", str(Path.home() / "bentoml"))
    folder = os.environ.get(PREDICTIONS, f"{home}/predictions")
    if not folder:
        return None
    recorder = Recorder(Path(folder), predictor.contract, found.identity.tag, predictor.digest)
    atexit.register(recorder.close)
    return recorder


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

"""Answer requests: a bare ASGI application, so that nothing stands between the bytes and the predictor.

``POST /predict`` takes ``{"rows": [{...}, ...]}`` and gives ``{"predictions": [...], ...}``; every bad row is named at
once with 422. ``POST /explain`` takes the same and says what each input added. Numbers are written so that they read
back to the same bits. Every answer names its request, the model's digest and the bento's tag, in headers too; every
prediction has an id of its own, by which it is recorded.
"""

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from lockstep.contract.request import clean
from lockstep.errors import LockstepError
from lockstep.predictor import Predictor
from lockstep.service import access, body, page
from lockstep.service import card as cards
from lockstep.service.answers import Answerer
from lockstep.service.body import GoneError, Message, Receive, RefusedError
from lockstep.service.metrics import CONTENT_TYPE, UNKNOWN, Metrics
from lockstep.service.record import Recorder, request_id
from lockstep.service.room import Room

JSON = b"application/json"
POSTED = ("POST",)
READ = ("GET", "HEAD")
METHODS = {
    "/predict": POSTED,
    "/explain": POSTED,
    "/openapi.json": READ,
    "/card": READ,
    "/metrics": READ,
    "/healthz": READ,
    "/livez": READ,
    "/readyz": READ,
    **dict.fromkeys(page.FILES, READ),
}

Header = tuple[bytes, bytes]
NONE: tuple[Header, ...] = ()
Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger("lockstep.service")


@dataclass(frozen=True)
class Served:
    """A release in service."""

    predictor: Predictor
    bento: str
    schema: bytes
    """The OpenAPI document."""
    card: Mapping[str, Any]
    recorder: Recorder | None = None
    made_at: float = 0.0
    """When the release was written, in seconds since 1970."""
    run: Callable[[str], cards.Run | None] = lambda _: None
    """Finds the run that fitted a predictor, by its digest."""


class App:
    """The application; it answers 503 until a release is given to it."""

    def __init__(self) -> None:
        self._served: Served | None = None
        self._token: bytes | None = None
        self._named = self._ending = NONE
        self._ready = False
        self._room = Room()

    def serve(self, served: Served, token: bytes | None = None) -> None:
        """Answer by a release from now on; with a token, those alone who bring it."""
        predictor = served.predictor
        deciles = served.card.get("deciles") or ()
        self._metrics = Metrics(predictor.digest, served.bento, served.made_at, deciles)
        self._answerer = Answerer(predictor, served.bento, self._metrics, served.recorder)
        self._named = ((b"x-model", predictor.digest.encode()), (b"x-bento", served.bento.encode()))
        self._token, self._served, self._ready = token, served, True

    def drain(self) -> None:
        """Be ready no more, answer what comes all the same, and ask every client to close its connection."""
        self._ready, self._ending = False, ((b"connection", b"close"),)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what goes wrong inside is answered with 500, and told in one line of the log."""
        if scope["type"] != "http":
            raise LookupError(f"no {scope['type']} here")
        began, request, path = time.perf_counter(), request_id(), scope["path"]
        status, kind, headers = HTTPStatus.OK, JSON, NONE
        try:
            content, kind, headers = await self._respond(scope, receive, request)
        except RefusedError as refusal:
            status, headers = HTTPStatus(refusal.status), refusal.headers
            content = orjson.dumps({**refusal.answer, "request_id": request})
        except GoneError:
            return
        except Exception as error:  # whatever it is, the next request must be answered
            status, content = HTTPStatus.INTERNAL_SERVER_ERROR, _failed(error, request)
        named = NONE if status == HTTPStatus.UNAUTHORIZED else self._named
        own = ((b"content-type", kind), (b"x-request-id", request.encode()))
        await _send(send, status, content, (*own, *named, *self._ending, *headers))
        if self._served:
            self._metrics.answered(path if path in METHODS else UNKNOWN, status, time.perf_counter() - began)

    async def _respond(self, scope: Scope, receive: Receive, request: str) -> tuple[bytes, bytes, tuple[Header, ...]]:
        path, served = scope["path"], self._served
        if path not in access.OPEN:
            access.check(scope, self._token)
        if scope["method"] not in METHODS.get(path, ()):
            raise _misdirected(path)
        if path in page.FILES:
            return page.FILES[path], page.KINDS[path], page.HEADERS
        if path in ("/healthz", "/livez"):
            return b'{"alive":true}', JSON, NONE
        if served is None or (path == "/readyz" and not self._ready):
            raise RefusedError(503, {"error": "the service is not ready."})
        if path == "/predict" or path == "/explain":
            return await self._answer(scope, receive, request), JSON, NONE
        if path == "/metrics":
            return self._metrics.text(served.recorder.n_unwritten if served.recorder else 0), CONTENT_TYPE, NONE
        if path == "/card":
            run = await asyncio.to_thread(served.run, served.predictor.digest)
            return cards.answer(served.card, served.bento, run), JSON, NONE
        return served.schema if path == "/openapi.json" else b'{"ready":true}', JSON, NONE

    async def _answer(self, scope: Scope, receive: Receive, request: str) -> bytes:
        with self._room.place() as place:
            content = await body.read(scope["headers"], receive, place.hold)
            answer = self._answerer.explain if scope["path"] == "/explain" else self._answerer.predict
            return await answer(content, request)


def _misdirected(path: str) -> RefusedError:
    if path not in METHODS:
        return RefusedError(404, {"error": f"nothing is at {clean(path[:64])}; expected one of {sorted(METHODS)}."})
    allowed = ", ".join(METHODS[path])
    return RefusedError(405, {"error": f"{path} takes {allowed}."}, ((b"allow", allowed.encode()),))


def _failed(error: Exception, request: str) -> bytes:
    """Tell the log in one line, without the values that a cause's text may hold; return what the client is told."""
    text = str(error) if isinstance(error, LockstepError) else ""
    text = clean(text.replace(str(error.__cause__), "...") if error.__cause__ else text)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    log.error("request %s failed: %s %s (%s:%s)", request, type(error).__name__, text, frame.name, frame.lineno)
    return orjson.dumps({"error": "the service failed; its log says why.", "request_id": request})


async def _send(send: Send, status: int, content: bytes, headers: tuple[Header, ...]) -> None:
    length = str(len(content)).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", length), (b"x-content-type-options", b"nosniff")],
        }
    )
    await send({"type": "http.response.body", "body": content})

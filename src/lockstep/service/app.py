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
from dataclasses import asdict, dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

import numpy as np
import orjson

from lockstep.contract.request import Checked, Door, Fault, clean
from lockstep.errors import LockstepError
from lockstep.predictor import Predictor
from lockstep.service import access, body, page
from lockstep.service.body import GoneError, Message, Receive, RefusedError, Row
from lockstep.service.metrics import CONTENT_TYPE, UNKNOWN, Metrics
from lockstep.service.record import Asked, Recorder, prediction_id, request_id
from lockstep.service.room import Room

ROWS_AT_ONCE = 100
"""Rows computed before other requests have their turn."""
LARGE_BYTES = 256 * 1024
"""Bodies that are parsed in a thread, one at a time."""
MAX_EXPLAINED = 100
FAULTS_SHOWN = 50
"""Faults named of one row; a row may hold any number of fields that do not exist."""
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


class App:
    """The application; it answers 503 until a release is given to it."""

    def __init__(self) -> None:
        self._served: Served | None = None
        self._token: bytes | None = None
        self._named: tuple[Header, ...] = ()
        self._ready = False
        self._room = Room()
        self._turn = asyncio.Semaphore(1)

    def serve(self, served: Served, token: bytes | None = None) -> None:
        """Answer by a release from now on; with a token, those alone who bring it."""
        predictor = served.predictor
        self._door, self._metrics = Door(predictor.contract), Metrics(predictor.digest, served.bento, served.made_at)
        self._named = ((b"x-model", predictor.digest.encode()), (b"x-bento", served.bento.encode()))
        self._n_fields = len(predictor.contract.columns)
        self._deciles = served.card.get("deciles") or ()
        self._card = orjson.dumps({**served.card, "bento": served.bento})
        self._token, self._served, self._ready = token, served, True

    def drain(self) -> None:
        """Be ready no more, answer what comes all the same, and ask every client to close its connection."""
        self._ready = False
        self._named = (*self._named, (b"connection", b"close"))

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
        await _send(
            send,
            status,
            content,
            ((b"content-type", kind), (b"x-request-id", request.encode()), *self._named, *headers),
        )
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
            return await self._answer(served, scope, receive, request), JSON, NONE
        if path == "/metrics":
            return self._metrics.text(served.recorder.n_unwritten if served.recorder else 0), CONTENT_TYPE, NONE
        return {"/openapi.json": served.schema, "/card": self._card}.get(path, b'{"ready":true}'), JSON, NONE

    async def _answer(self, served: Served, scope: Scope, receive: Receive, request: str) -> bytes:
        with self._room.place() as place:
            rows = await self._rows(await body.read(scope["headers"], receive, place.hold))
            if scope["path"] == "/explain":
                return await self._explain(served, rows, request)
            return await self._predict(served, rows, request)

    async def _rows(self, content: bytes) -> list[Row]:
        if len(content) < LARGE_BYTES:
            return body.parse(content, self._n_fields)
        async with self._turn:
            return await asyncio.to_thread(body.parse, content, self._n_fields)

    async def _predict(self, served: Served, rows: list[Row], request: str) -> bytes:
        began, clock = time.time(), time.perf_counter()
        checked = await self._checked(rows)
        answers = await self._in_turns(partial(self._answers, served.predictor), checked, ROWS_AT_ONCE)
        for number, one in enumerate(answers):
            one["prediction_id"] = prediction_id(request, number)
        if served.recorder:
            served.recorder.add(Asked(request, began, time.perf_counter() - clock, rows, answers))
        return self._signed(served, {"predictions": answers}, request)

    async def _explain(self, served: Served, rows: list[Row], request: str) -> bytes:
        from lockstep.service.explain import explain  # with the first explanation

        if len(rows) > MAX_EXPLAINED:
            raise RefusedError(
                413, {"error": f"at most {MAX_EXPLAINED} rows are explained at once; got {len(rows):,}."}
            )
        typed = [row.values for row in await self._checked(rows)]
        found = await self._in_turns(partial(explain, served.predictor), typed, 1)
        return self._signed(served, {"explanations": found}, request)

    async def _checked(self, rows: list[Row]) -> list[Checked]:
        check = self._door.check
        checked = await self._in_turns(lambda part: [check(row) for row in part], rows, ROWS_AT_ONCE)
        if any(row.faults for row in checked):
            shown = [(i, fault) for i, row in enumerate(checked) for fault in row.faults[:FAULTS_SHOWN]]
            self._metrics.refused(self._named_by_contract(fault) for _, fault in shown)
            raise RefusedError(422, {"errors": [{"row": i, **asdict(fault)} for i, fault in shown]})
        return checked

    def _answers(self, predictor: Predictor, checked: list[Checked]) -> list[dict[str, Any]]:
        predictions = predictor.predict_rows([row.values for row in checked])
        if not np.isfinite(predictions.output).all():
            raise LockstepError(f"predictor {predictor.digest[:16]} gave a number that is not finite; not answered.")
        answers = _told(predictions.values, predictions.output.tolist(), predictor.card.classes)
        self._metrics.predicted(predictions.values, self._deciles)
        for answer, row in zip(answers, checked, strict=True):
            if row.warnings:
                answer["warnings"] = [asdict(fault) for fault in row.warnings]
                self._metrics.warned((fault.field, fault.rule) for fault in row.warnings)
        return answers

    async def _in_turns(self, compute: Callable[[list[Any]], list[Any]], rows: list[Any], n_at_once: int) -> list[Any]:
        """Compute a few rows at a time; of requests with more, one at a time, so that small ones need not wait."""
        if len(rows) <= n_at_once:
            return compute(rows)
        found: list[Any] = []
        async with self._turn:
            for start in range(0, len(rows), n_at_once):
                found += compute(rows[start : start + n_at_once])
                await asyncio.sleep(0)
        return found

    def _named_by_contract(self, fault: Fault) -> tuple[str, str]:
        return (fault.field if fault.field in self._door.columns else UNKNOWN), fault.rule

    def _signed(self, served: Served, answer: dict[str, Any], request: str) -> bytes:
        return orjson.dumps({**answer, "request_id": request, "model": served.predictor.digest, "bento": served.bento})


def _told(values: Any, output: list[Any], classes: tuple[str, ...]) -> list[dict[str, Any]]:
    if not classes:
        return [{"prediction": value} for value in values]
    return [
        {"prediction": value, "probabilities": dict(zip(classes, chances, strict=True))}
        for value, chances in zip(values, output, strict=True)
    ]


def _misdirected(path: str) -> RefusedError:
    if path not in METHODS:
        return RefusedError(404, {"error": f"nothing is at {clean(path[:64])}; expected one of {sorted(METHODS)}."})
    allowed = ", ".join(METHODS[path])
    return RefusedError(405, {"error": f"{path} takes {allowed}."}, ((b"allow", allowed.encode()),))


def _failed(error: Exception, request: str) -> bytes:
    """Tell the log in one line, without the values that a cause's text may hold; return what the client is told."""
    text = clean(str(error).replace(str(error.__cause__), "...")) if isinstance(error, LockstepError) else ""
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

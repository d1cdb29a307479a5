"""Answer requests: a bare ASGI application, so that nothing stands between the bytes and the predictor.

``POST /predict`` takes ``{"rows": [{...}, ...]}`` and gives ``{"predictions": [...], ...}``; every bad row is named at
once with 422. ``GET /openapi.json`` describes it; ``GET /`` says where things are. Numbers are written so that they
read back to the same bits. Every answer names its request, the model's digest and the bento's tag, in headers too;
every prediction has an id of its own, by which it is recorded.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import asdict
from typing import Any

import numpy as np
import orjson

from lockstep.contract.request import Checked, Door, Fault
from lockstep.errors import LockstepError
from lockstep.predictor import Predictor
from lockstep.service import body
from lockstep.service.body import GoneError, Message, Receive, RefusedError
from lockstep.service.record import Asked, Recorder, prediction_id, request_id

ROWS_INLINE = 100
"""Larger requests are computed in a thread, so that small ones need not wait for them."""
FAULTS_SHOWN = 50
"""Faults named of one row; a row may hold any number of fields that do not exist."""

Header = tuple[bytes, bytes]
Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger("lockstep.service")


class App:
    """The application; it answers 503 until a predictor is given to it."""

    def __init__(self) -> None:
        self._predictor: Predictor | None = None
        self._recorder: Recorder | None = None
        self._headers: tuple[Header, ...] = ()
        self._methods = {"/predict": ("POST",), "/openapi.json": ("GET", "HEAD"), "/": ("GET", "HEAD")}

    def serve(self, predictor: Predictor, schema: bytes, bento: str, recorder: Recorder | None = None) -> None:
        """Answer with ``predictor`` from now on; ``schema`` is the OpenAPI document, ``bento`` the release's tag."""
        self._door, self._bento, self._recorder = Door(predictor.contract), bento, recorder
        self._headers = ((b"x-model", predictor.digest.encode()), (b"x-bento", bento.encode()))
        self._schema = schema
        self._index = orjson.dumps(
            {
                "predict": "POST /predict",
                "schema": "GET /openapi.json",
                "alive": "GET /healthz",
                "ready": "GET /readyz",
                "metrics": "GET /metrics",
                "model": predictor.digest,
                "bento": bento,
            }
        )
        self._predictor = predictor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what goes wrong inside is answered with 500, then raised for the log."""
        if scope["type"] != "http":
            raise LookupError(f"no {scope['type']} here")
        request = request_id()
        named = ((b"x-request-id", request.encode()), *self._headers)
        try:
            answer = await self._respond(scope, receive, request)
        except RefusedError as refusal:
            told = orjson.dumps({**refusal.answer, "request_id": request})
            await _send(send, refusal.status, told, (*named, *refusal.headers))
        except GoneError:
            return
        except LockstepError as error:
            log.error("request %s: %s", request, error)
            await _send(send, 500, orjson.dumps({"error": str(error), "request_id": request}), named)
        except Exception:
            told = orjson.dumps({"error": "the service failed; its log says why.", "request_id": request})
            await _send(send, 500, told, named)
            raise
        else:
            await _send(send, 200, answer, named)

    async def _respond(self, scope: Scope, receive: Receive, request: str) -> bytes:
        path, predictor = scope["path"], self._predictor
        if scope["method"] not in self._methods.get(path, ()):
            raise self._misdirected(path)
        if predictor is None:
            raise RefusedError(503, {"error": "no release is loaded yet."})
        if path != "/predict":
            return self._schema if path == "/openapi.json" else self._index
        rows = body.parse(await body.read(scope["headers"], receive))
        if len(rows) <= ROWS_INLINE:
            return self._predict(predictor, rows, request)
        return await asyncio.to_thread(self._predict, predictor, rows, request)

    def _predict(self, predictor: Predictor, rows: list[dict[str, Any]], request: str) -> bytes:
        began, clock = time.time(), time.perf_counter()
        check = self._door.check
        checked = [check(row) for row in rows]
        if any(row.faults for row in checked):
            raise RefusedError(
                422,
                {
                    "errors": [
                        {"row": i, **asdict(fault)}
                        for i, row in enumerate(checked)
                        for fault in row.faults[:FAULTS_SHOWN]
                    ]
                },
            )
        predictions = predictor.predict_rows([row.values for row in checked])
        if not np.isfinite(predictions.output).all():
            raise LockstepError(f"predictor {predictor.digest[:16]} gave a number that is not finite; not answered.")
        answers = _answers(predictions.values, predictions.output.tolist(), predictor.card.classes)
        _add_warnings(answers, checked)
        for number, one in enumerate(answers):
            one["prediction_id"] = prediction_id(request, number)
        if self._recorder:
            self._recorder.add(Asked(request, began, time.perf_counter() - clock, rows, answers))
        return orjson.dumps(
            {"predictions": answers, "request_id": request, "model": predictor.digest, "bento": self._bento}
        )

    def _misdirected(self, path: str) -> RefusedError:
        if path not in self._methods:
            return RefusedError(404, {"error": f"nothing is at {path[:64]}; expected one of {sorted(self._methods)}."})
        allowed = ", ".join(self._methods[path])
        return RefusedError(405, {"error": f"{path} takes {allowed}."}, ((b"allow", allowed.encode()),))


def _answers(values: Any, output: list[Any], classes: tuple[str, ...]) -> list[dict[str, Any]]:
    if not classes:
        return [{"prediction": value} for value in values]
    return [
        {"prediction": value, "probabilities": dict(zip(classes, chances, strict=True))}
        for value, chances in zip(values, output, strict=True)
    ]


def _add_warnings(answers: list[dict[str, Any]], checked: list[Checked]) -> None:
    for answer, row in zip(answers, checked, strict=True):
        if row.warnings:
            answer["warnings"] = [_shown(fault) for fault in row.warnings]


def _shown(fault: Fault) -> Mapping[str, str]:
    return {"field": fault.field, "rule": fault.rule, "found": fault.found}


async def _send(send: Send, status: int, content: bytes, headers: tuple[Header, ...] = ()) -> None:
    length = str(len(content)).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"application/json"), (b"content-length", length), *headers],
        }
    )
    await send({"type": "http.response.body", "body": content})

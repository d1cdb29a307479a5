"""Turn the rows of a request into answers: checked by the contract, a few at a time, counted, recorded."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import numpy as np
import orjson

from lockstep.contract.request import Checked, Door, Fault
from lockstep.errors import LockstepError, UnknownName
from lockstep.predictor import Predictor
from lockstep.service import body
from lockstep.service.body import MAX_EXPLAINED, RefusedError, Row
from lockstep.service.metrics import UNKNOWN, Metrics
from lockstep.service.record import Asked, Recorder, prediction_id
from lockstep.service.room import busy

ROWS_AT_ONCE = 100
"""Rows computed before other requests have their turn."""
CHECKED_AT_ONCE = 25
"""The same for rows that are only checked, since each may have many faults."""
SMALL_BYTES = 8 * 1024
"""Bodies that are parsed and answered at once, unless many rows stand in them; all others, one after another."""
LARGE_BYTES = 64 * 1024
"""Bodies that are parsed in a thread."""
MAX_WAITING = 32
"""Requests that may wait for their turn; more are answered 429."""
FAULTS_OF_A_ROW = 50
MAX_FAULTS = 10_000
"""Faults named in one answer; of every bad row at least one."""


class Answerer:
    """Answers requests by one predictor."""

    def __init__(self, predictor: Predictor, bento: str, metrics: Metrics, recorder: Recorder | None) -> None:
        self._predictor, self._bento, self._metrics, self._recorder = predictor, bento, metrics, recorder
        self._door, self._n_fields = Door(predictor.contract), len(predictor.contract.columns)
        self._turn, self._n_waiting = asyncio.Lock(), 0

    async def predict(self, content: bytes, request: str) -> bytes:
        """Return an answer for each row of a body, and have it recorded.

        Raises
        ------
        RefusedError
            400 or 413 for what is no list of rows; 422, naming every row that breaks the contract; 429 where many wait.
        LockstepError
            The predictor gave what is no number.
        """
        if len(content) < SMALL_BYTES:
            rows = body.parse(content, self._n_fields)
            if len(rows) <= ROWS_AT_ONCE:
                return await self._predict(rows, request, len(content))
            async with self._in_turn():
                return await self._predict(rows, request, len(content))
        async with self._in_turn():
            return await self._predict(await self._parse(content), request, len(content))

    async def explain(self, content: bytes, request: str) -> bytes:
        """Return what each input added to each row's raw score; errors as in :meth:`predict`, also 404."""
        from lockstep.service.explain import explain  # with the first explanation

        async with self._in_turn():
            rows = await self._parse(content)
            if len(rows) > MAX_EXPLAINED:
                reason = f"at most {MAX_EXPLAINED} rows are explained at once; got {len(rows):,}."
                raise RefusedError(413, {"error": reason})
            checked = await self._check(rows)
            try:
                found = [(await asyncio.to_thread(explain, self._predictor, [row.values]))[0] for row in checked]
            except UnknownName as error:  # a family of the project's own, which predicts alone
                raise RefusedError(404, {"error": str(error)}) from None
        told = [{"raw": one["raw"], **self._warnings(row)} for one, row in zip(found, checked, strict=True)]
        return self._signed({"explanations": told}, request)

    @contextlib.asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        """Wait until no other large request is at work; what one makes of its body is there once at a time."""
        if self._n_waiting >= MAX_WAITING:
            raise busy()
        self._n_waiting += 1
        try:
            async with self._turn:
                yield
        finally:
            self._n_waiting -= 1

    async def _parse(self, content: bytes) -> list[Row]:
        if len(content) < LARGE_BYTES:
            return body.parse(content, self._n_fields)
        return await asyncio.to_thread(body.parse, content, self._n_fields)

    async def _predict(self, rows: list[Row], request: str, n_bytes: int) -> bytes:
        began, clock = time.time(), time.perf_counter()
        checked = await self._check(rows)
        answers = await _by_parts(self._answers, checked, ROWS_AT_ONCE)
        for number, one in enumerate(answers):
            one["prediction_id"] = prediction_id(request, number)
        content = self._signed({"predictions": answers}, request)
        if self._recorder:
            self._recorder.add(Asked(request, began, time.perf_counter() - clock, n_bytes, rows, answers))
        return content

    async def _check(self, rows: list[Row]) -> list[Checked]:
        check = self._door.check
        checked = await _by_parts(lambda part: [check(row) for row in part], rows, CHECKED_AT_ONCE)
        bad = [(i, row.faults) for i, row in enumerate(checked) if row.faults]
        if bad:
            most = max(1, min(FAULTS_OF_A_ROW, MAX_FAULTS // len(bad)))
            raise RefusedError(422, {"errors": await _by_parts(partial(self._refuse, most), bad, CHECKED_AT_ONCE)})
        return checked

    def _refuse(self, most: int, bad: list[tuple[int, tuple[Fault, ...]]]) -> list[dict[str, Any]]:
        shown = [(i, fault) for i, faults in bad for fault in faults[:most]]
        self._metrics.refused(self._named_by_contract(fault) for _, fault in shown)
        return [{"row": i, **fault._asdict()} for i, fault in shown]

    def _answers(self, checked: list[Checked]) -> list[dict[str, Any]]:
        predictor = self._predictor
        predictions = predictor.predict_rows([row.values for row in checked])
        if not np.isfinite(predictions.output).all():
            raise LockstepError(f"predictor {predictor.digest[:16]} gave a number that is not finite; not answered.")
        self._metrics.predicted(predictions.values)
        told = predictions.told(predictor.card.classes)
        return [{**answer, **self._warnings(row)} for answer, row in zip(told, checked, strict=True)]

    def _warnings(self, row: Checked) -> dict[str, Any]:
        if not row.warnings:
            return {}
        self._metrics.warned((fault.field, fault.rule) for fault in row.warnings)
        return {"warnings": [fault._asdict() for fault in row.warnings]}

    def _named_by_contract(self, fault: Fault) -> tuple[str, str]:
        return (fault.field if fault.field in self._door.columns else UNKNOWN), fault.rule

    def _signed(self, answer: dict[str, Any], request: str) -> bytes:
        return orjson.dumps({**answer, "request_id": request, "model": self._predictor.digest, "bento": self._bento})


async def _by_parts(compute: Callable[[list[Any]], list[Any]], rows: list[Any], n_at_once: int) -> list[Any]:
    """Compute a few rows at a time, so that other requests have their turn between."""
    if len(rows) <= n_at_once:
        return compute(rows)
    found: list[Any] = []
    for start in range(0, len(rows), n_at_once):
        found += compute(rows[start : start + n_at_once])
        await asyncio.sleep(0)
    return found

"""Turn the rows of a request into answers: checked by the contract, a few at a time, counted, recorded."""

import asyncio
import time
from collections.abc import Callable
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

ROWS_AT_ONCE = 100
"""Rows computed before other requests have their turn."""
CHECKED_AT_ONCE = 25
"""The same for rows that are only checked, since each may have many faults."""
LARGE_BYTES = 64 * 1024
"""Bodies that are parsed in a thread, one at a time."""
FAULTS_OF_A_ROW = 50
MAX_FAULTS = 10_000
"""Faults named in one answer; of every bad row at least one."""


class Answerer:
    """Answers requests by one predictor."""

    def __init__(self, predictor: Predictor, bento: str, metrics: Metrics, recorder: Recorder | None) -> None:
        self._predictor, self._bento, self._metrics, self._recorder = predictor, bento, metrics, recorder
        self._door, self._n_fields = Door(predictor.contract), len(predictor.contract.columns)
        self._turn = asyncio.Semaphore(1)

    async def read(self, content: bytes) -> list[Row]:
        """Return the rows of a body; errors as in :func:`body.parse`."""
        if len(content) < LARGE_BYTES:
            return body.parse(content, self._n_fields)
        async with self._turn:
            return await asyncio.to_thread(body.parse, content, self._n_fields)

    async def predict(self, rows: list[Row], request: str) -> bytes:
        """Return an answer for each row, and have it recorded.

        Raises
        ------
        RefusedError
            422, naming every row that breaks the contract.
        LockstepError
            The predictor gave what is no number.
        """
        began, clock = time.time(), time.perf_counter()
        checked = await self._check(rows)
        answers = await self._in_turns(self._predict, checked, ROWS_AT_ONCE)
        for number, one in enumerate(answers):
            one["prediction_id"] = prediction_id(request, number)
        content = self._signed({"predictions": answers}, request)
        if self._recorder:
            self._recorder.add(Asked(request, began, time.perf_counter() - clock, rows, answers))
        return content

    async def explain(self, rows: list[Row], request: str) -> bytes:
        """Return what each input added to each row's raw score; errors as in :meth:`predict`, also 413 and 404."""
        from lockstep.service.explain import explain  # with the first explanation

        if len(rows) > MAX_EXPLAINED:
            reason = f"at most {MAX_EXPLAINED} rows are explained at once; got {len(rows):,}."
            raise RefusedError(413, {"error": reason})
        typed = [row.values for row in await self._check(rows)]
        try:
            found = await self._in_turns(lambda part: explain(self._predictor, part), typed, 1)
        except UnknownName as error:  # a family of the project's own, which predicts alone
            raise RefusedError(404, {"error": str(error)}) from None
        return self._signed({"explanations": found}, request)

    async def _check(self, rows: list[Row]) -> list[Checked]:
        check = self._door.check
        checked = await self._in_turns(lambda part: [check(row) for row in part], rows, CHECKED_AT_ONCE)
        bad = [(i, row.faults) for i, row in enumerate(checked) if row.faults]
        if bad:
            most = max(1, min(FAULTS_OF_A_ROW, MAX_FAULTS // len(bad)))
            raise RefusedError(422, {"errors": await self._in_turns(partial(self._refuse, most), bad, CHECKED_AT_ONCE)})
        return checked

    def _refuse(self, most: int, bad: list[tuple[int, tuple[Fault, ...]]]) -> list[dict[str, Any]]:
        shown = [(i, fault) for i, faults in bad for fault in faults[:most]]
        self._metrics.refused(self._named_by_contract(fault) for _, fault in shown)
        return [{"row": i, **fault._asdict()} for i, fault in shown]

    def _predict(self, checked: list[Checked]) -> list[dict[str, Any]]:
        predictor = self._predictor
        predictions = predictor.predict_rows([row.values for row in checked])
        if not np.isfinite(predictions.output).all():
            raise LockstepError(f"predictor {predictor.digest[:16]} gave a number that is not finite; not answered.")
        self._metrics.predicted(predictions.values)
        answers = predictions.told(predictor.card.classes)
        for answer, row in zip(answers, checked, strict=True):
            if row.warnings:
                answer["warnings"] = [fault._asdict() for fault in row.warnings]
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

    def _signed(self, answer: dict[str, Any], request: str) -> bytes:
        return orjson.dumps({**answer, "request_id": request, "model": self._predictor.digest, "bento": self._bento})

"""Count what the service does, for Prometheus: requests, latencies, refusals, warnings, predictions, the model.

Names of fields and rules come from the contract, never from a request, so the number of series is bounded.
"""

import time
from bisect import bisect_right
from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
UNKNOWN = "(unknown)"
"""Stands for a field that the contract does not know."""


class Metrics:
    """The figures of one worker, from its start."""

    def __init__(self, model: str, bento: str, made_at: float, deciles: Sequence[float] = ()) -> None:
        """``made_at``: when the release was written, in seconds since 1970; ``deciles``: of the test predictions."""
        self._deciles = deciles
        self._registry = CollectorRegistry()
        self._made_at = made_at
        self._requests = self._counter("requests", "Requests answered", "path", "status")
        self._seconds = Histogram(
            "lockstep_request_seconds", "Time to answer", ["path"], buckets=BUCKETS_S, registry=self._registry
        )
        self._rejections = self._counter("rejections", "Values refused with 422", "field", "rule")
        self._warnings = self._counter("warnings", "Unusual values answered", "field", "rule")
        self._predictions = self._counter("predictions", "Predictions, by class, or by decile of the test's", "value")
        self._unwritten = self._gauge("unwritten_predictions", "Predictions that could not be recorded")
        self._age = self._gauge("model_age_seconds", "Since the release was written here")
        self._gauge("model_info", "What answers", "model", "bento").labels(model, bento).set(1)
        self._children: dict[tuple[str, int], tuple[Any, Any]] = {}

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        key = (path, status)
        if key not in self._children:
            self._children[key] = self._requests.labels(path, str(status)), self._seconds.labels(path)
        count, histogram = self._children[key]
        count.inc()
        histogram.observe(seconds)

    def refused(self, faults: Iterable[tuple[str, str]]) -> None:
        """Count refusals, given as (field, rule)."""
        self._add(self._rejections, faults)

    def warned(self, faults: Iterable[tuple[str, str]]) -> None:
        """Count warnings, given as (field, rule)."""
        self._add(self._warnings, faults)

    def predicted(self, values: Sequence[Any]) -> None:
        """Count predictions by class, or by which tenth of the test predictions a number falls into."""
        names = [f"{bisect_right(self._deciles, value) + 1} of 10" for value in values] if self._deciles else values
        for name, n in Tally(names).items():
            self._predictions.labels(str(name)).inc(n)

    def text(self, n_unwritten: int) -> bytes:
        """Return all of it in Prometheus' text format."""
        self._unwritten.set(n_unwritten)
        self._age.set(max(0.0, time.time() - self._made_at))
        return generate_latest(self._registry)

    def _add(self, counter: Counter, faults: Iterable[tuple[str, str]]) -> None:
        for labels, n in Tally(faults).items():
            counter.labels(*labels).inc(n)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"lockstep_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"lockstep_{name}", text, labels, registry=self._registry)

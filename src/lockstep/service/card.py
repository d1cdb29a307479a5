"""Tell people what a model is: ``card.json`` of a release, compiled when it is packaged.

It holds what the line found out about the predictor, and no clock, path or name of a run: equal results give equal
bytes. Which bento answers, and where its run is to be seen, is known only where it is served; :func:`answer` adds it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any

import numpy as np
import orjson

from lockstep import plugins
from lockstep.contract import Contract
from lockstep.predictor import Card

Run = Mapping[str, str | None]
"""``name`` and ``url`` of the run that fitted a predictor; the latter null while nothing shows it."""
DECILES = tuple(n / 10 for n in range(1, 10))


@dataclass(frozen=True)
class Evidence:
    """What is known of a predictor beside itself."""

    metrics: Mapping[str, float]
    """``reports/metrics.json``: name, ``name_low``, ``name_high``, ``linear_name``, ``trivial_name``; ``n_rows``."""
    n_train: int
    period: tuple[datetime, datetime] | None
    """First and last moment of the training data; None without a time column."""
    answers: Sequence[float]
    """What it predicted for the test rows, in regression; else nothing."""


def card(model: Card, contract: Contract, predictor: str, evidence: Evidence) -> dict[str, Any]:
    """Return the card of a predictor.

    Parameters
    ----------
    predictor
        Its digest.
    """
    return {
        "title": f"Predict {contract.target}",
        "target": contract.target,
        "description": contract.columns[contract.target].description,
        "problem": model.problem,
        "family": model.family,
        "classes": list(model.classes),
        "decision": model.decision,
        "inputs": list(contract.inputs),
        "rows": {"train": evidence.n_train, "test": int(evidence.metrics["n_rows"])},
        "period": _period(contract, evidence.period),
        "scores": _scores(model.problem, evidence.metrics),
        "deciles": np.quantile(evidence.answers, DECILES).tolist() if evidence.answers else [],
        "digests": {"predictor": predictor, "contract": contract.digest},
    }


def answer(card: Mapping[str, Any], bento: str, run: Run | None) -> bytes:
    """Return what ``GET /card`` answers: the card, the bento's tag, and the run, if one is known here."""
    told = {"name": run["name"], "url": run["url"]} if run else None
    return orjson.dumps({**card, "bento": bento, "run": told})


def _period(contract: Contract, period: tuple[datetime, datetime] | None) -> dict[str, str] | None:
    if contract.time is None or period is None or contract.columns[contract.time].private:
        return None
    first, last = (_written(moment) for moment in period)
    return {"column": contract.time, "first": first, "last": last}


def _written(moment: datetime) -> str:
    return (moment if moment.time() != time.min else moment.date()).isoformat()


def _scores(problem: str, metrics: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return each metric that has a value, in the problem's order, with its interval and the baselines'."""
    directions: dict[str, bool] = plugins.load("problems", problem).METRICS
    return [
        {
            "metric": name,
            "greater_is_better": greater,
            "value": metrics[name],
            "low": metrics.get(f"{name}_low"),
            "high": metrics.get(f"{name}_high"),
            "linear": metrics.get(f"linear_{name}"),
            "trivial": metrics.get(f"trivial_{name}"),
        }
        for name, greater in directions.items()
        if name in metrics
    ]

"""Judge the winner on the test set, beside a trivial and a linear baseline, and pass or fail it at the gates."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep import metrics as weighted
from lockstep.errors import ParamsError, expected_one_of
from lockstep.families import Array
from lockstep.params import Gates

LEVEL = 0.95
"""Of every interval; the bounds are percentiles of the bootstrap [Efron and Tibshirani 1993, chapter 13]."""


@dataclass(frozen=True)
class Judged:
    """One model's output on the test set, and what it decided."""

    output: Array
    predicted: NDArray[Any]


@dataclass(frozen=True)
class Gate:
    """One condition and its figures."""

    gate: str
    passed: bool
    reason: str
    figures: dict[str, float]


@dataclass(frozen=True)
class Resamples:
    """Rows drawn for the bootstrap, the same for every model, which makes comparisons paired."""

    rows: NDArray[np.int64]
    weights: Array


def resample(n_rows: int, n_resamples: int, *, seed: int) -> Resamples:
    """Draw resamples of at most 20,000 rows."""
    rows = np.arange(n_rows)
    if n_rows > weighted.N_BOOTSTRAP_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(n_rows, weighted.N_BOOTSTRAP_ROWS, replace=False))
    return Resamples(rows, weighted.bootstrap_weights(len(rows), n_resamples, seed=seed))


def score(problem: ModuleType, y: NDArray[Any], models: Mapping[str, Judged], resamples: Resamples) -> dict[str, float]:
    """Return flat metrics, prefixed by each model's key (empty for the winner), each with its interval."""
    scores: dict[str, float] = {}
    for prefix, judged in models.items():
        once = problem.metrics(y, judged.output, judged.predicted, np.ones((1, len(y))))
        drawn = problem.metrics(
            y[resamples.rows], judged.output[resamples.rows], judged.predicted[resamples.rows], resamples.weights
        )
        for name, value in once.items():
            low, high = _interval(drawn[name])
            scores |= {f"{prefix}{name}": float(value[0]), f"{prefix}{name}_low": low, f"{prefix}{name}_high": high}
    return {name: value for name, value in scores.items() if np.isfinite(value)} | {"n_rows": len(y)}


def judge(
    problem: ModuleType,
    y: NDArray[Any],
    models: Mapping[str, Judged],
    scores: Mapping[str, float],
    resamples: Resamples,
    gates: Gates,
) -> list[Gate]:
    """Pass or fail every gate.

    Raises
    ------
    ParamsError
        A gate names a metric that the problem does not have.
    """
    losses = {name: problem.losses(y, judged.output)[resamples.rows] for name, judged in models.items()}
    found = []
    if gates.better_than_trivial:
        found.append(_better_than_trivial(losses, resamples))
    if gates.linear_margin is not None:
        found.append(_not_worse_than_linear(losses, resamples, gates.linear_margin))
    found += [_bounded(name, bound, scores, problem, least=True) for name, bound in gates.minimum.items()]
    found += [_bounded(name, bound, scores, problem, least=False) for name, bound in gates.maximum.items()]
    return found


def _better_than_trivial(losses: Mapping[str, Array], resamples: Resamples) -> Gate:
    gain = losses["trivial_"] - losses[""]
    low, high = _interval(weighted.mean(gain, resamples.weights))
    figures = {"gain": float(gain.mean()), "gain_low": low, "gain_high": high}
    return Gate(
        "better_than_trivial",
        low > 0,
        f"mean loss is lower than the trivial baseline's by {figures['gain']:.4g} "
        f"(95 % interval {low:.4g} to {high:.4g}); the interval must lie above 0.",
        figures,
    )


def _not_worse_than_linear(losses: Mapping[str, Array], resamples: Resamples, margin: float) -> Gate:
    excess, reference = losses[""] - losses["linear_"], float(losses["linear_"].mean())
    low, high = _interval(weighted.mean(excess, resamples.weights))
    figures = {"excess": float(excess.mean()), "excess_low": low, "excess_high": high, "margin": margin * reference}
    return Gate(
        "not_worse_than_linear",
        low <= figures["margin"],
        f"mean loss exceeds the linear baseline's by {figures['excess']:.4g} (95 % interval {low:.4g} to "
        f"{high:.4g}); the interval must reach below the margin of {figures['margin']:.4g}.",
        figures,
    )


def _bounded(name: str, bound: float, scores: Mapping[str, float], problem: ModuleType, *, least: bool) -> Gate:
    if name not in problem.METRICS:
        block = "minimum" if least else "maximum"
        raise ParamsError(
            f"params.yaml: no metric {name!r} in evaluate.gates.{block}; {expected_one_of(name, problem.METRICS)}"
        )
    value = scores.get(name, float("nan"))  # of test rows of one class some metrics have no value
    passed = value >= bound if least else value <= bound
    return Gate(
        f"{name}_{'minimum' if least else 'maximum'}",
        passed,
        f"{name} is {value:.4g}; it must be at {'least' if least else 'most'} {bound:g}.",
        {"value": value, "bound": bound},
    )


def _interval(values: Array) -> tuple[float, float]:
    if not np.isfinite(values).any():
        return float("nan"), float("nan")
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)

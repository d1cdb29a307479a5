"""Metrics under many weightings at once, which is what a bootstrap needs.

Every function takes ``weights`` of shape (n_resamples, n_rows), counts of how often a resample drew each row, and
returns an array of shape (n_resamples,). Weights of one give scikit-learn's figure, which tests hold. Means of single
rows' losses, accuracies and squares are linear in the weights, so one product serves all resamples.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
N_BOOTSTRAP_ROWS = 20_000


def bootstrap_weights(n_rows: int, n_resamples: int, *, seed: int) -> Array:
    """Draw resamples with replacement, as counts; shape (n_resamples, n_rows) [1]_.

    .. [1] Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 6.
    """
    rng = np.random.default_rng(seed)
    chances = np.full(n_rows, 1 / n_rows)
    return rng.multinomial(n_rows, chances, size=n_resamples).astype(np.float64)


def mean(values: Array, weights: Array) -> Array:
    """Return the weighted mean of ``values``, shape (n_rows,).

    Not by BLAS, whose last bits depend on the number of threads.
    """
    return np.asarray(np.einsum("ij,j->i", weights, values) / weights.sum(axis=1))


def roc_auc(positive: NDArray[np.bool_], score: Array, weights: Array) -> Array:
    """Return the area under the ROC curve, ties counted half (Mann-Whitney)."""
    positives, negatives = _by_score(positive, score, weights)
    below = np.cumsum(negatives, axis=1) - negatives
    won = (positives * (below + negatives / 2)).sum(axis=1)
    return _ratio(won, positives.sum(axis=1) * negatives.sum(axis=1))


def average_precision(positive: NDArray[np.bool_], score: Array, weights: Array) -> Array:
    """Return the sum of precisions at each threshold, weighted by the recall it adds."""
    positives, negatives = _by_score(positive, -score, weights)
    found = np.cumsum(positives, axis=1)
    precision = np.nan_to_num(_ratio(found, found + np.cumsum(negatives, axis=1)))  # before the first row drawn
    return _ratio((positives * precision).sum(axis=1), positives.sum(axis=1))


def f1(positive: NDArray[np.bool_], predicted: NDArray[np.bool_], weights: Array) -> Array:
    """Return the harmonic mean of precision and recall of the positive class; 0 where there is none."""
    hits = weights @ (positive & predicted).astype(np.float64)
    both = weights @ positive.astype(np.float64) + weights @ predicted.astype(np.float64)
    return np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)


def r2(y: Array, predicted: Array, weights: Array) -> Array:
    """Return the share of variance explained."""
    residual = mean((y - predicted) ** 2, weights)
    centred = y - y.mean()  # else the squares of large numbers cancel each other
    variance = mean(centred**2, weights) - mean(centred, weights) ** 2
    return 1 - _ratio(residual, variance)


def _by_score(positive: NDArray[np.bool_], score: Array, weights: Array) -> tuple[Array, Array]:
    """Return weights of positives and of negatives at each distinct score, ascending."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) != 0])
    ordered = weights[:, order]
    positives = np.add.reduceat(ordered * positive[order], starts, axis=1)
    return positives, np.add.reduceat(ordered, starts, axis=1) - positives


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)

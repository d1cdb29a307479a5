"""Logistic regression; ridge or elastic net for numbers. Served by numpy from one ``.npz``.

Numbers are standardised, missing ones take the median and a weight of their own; ``knots`` above zero bends each
number's line at that many quantiles. Categories have one weight each; one never seen adds nothing.
"""

import io
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep.errors import IntegrityError
from lockstep.families import Array, Contributions, Settings, Task, check_matrix, two_columns

SIMPLICITY = 0
TOLERANCE = 1e-9
EXPLAINED = 1e-9
NEWTON_MAX_WEIGHTS = 500
"""Up to here a Newton step by Cholesky pays; beyond, L-BFGS."""
FILE = "linear.npz"
CHUNK_ROWS = 10_000
LARGEST = 1e100
"""Numbers beyond it count as it: their squares, of which the deviation is made, and weighted sums stay finite."""


def defaults(n_classes: int) -> Settings:
    """Return what is tried first, and what the linear baseline is."""
    return {"strength": 1e-4, "knots": 0} | ({} if n_classes else {"l1_ratio": 0.0})


def space(n_classes: int) -> dict[str, Any]:
    """Return what the search draws from; ``l1_ratio`` above zero is the elastic net."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    drawn = {"strength": FloatDistribution(1e-6, 1e-1, log=True), "knots": CategoricalDistribution([0, 4, 8])}
    return drawn | ({} if n_classes else {"l1_ratio": CategoricalDistribution([0.0, 0.5])})


def fit(
    X: Array,
    y: NDArray[Any],
    task: Task,
    settings: Settings,
    *,
    seed: int,
    threads: int,
    valid: tuple[Array, NDArray[Any]] | None = None,
) -> "Linear":
    """Fit on ``X`` of shape (n_rows, n_parts); ``strength`` is the penalty per row."""
    from threadpoolctl import threadpool_limits

    basis = _learn_basis(X, task, settings["knots"])
    design = basis.design(X)
    with threadpool_limits(1):  # BLAS adds in another order with other threads
        weights, intercept = _solve(design, y, task, settings, seed)
    return Linear(basis, weights, intercept, np.asarray(design.mean(axis=0)).ravel())


def load(folder: Path, task: Task) -> "Linear":
    """Read the engine that :meth:`Linear.save` wrote; nothing in it can run."""
    with np.load(folder / FILE, allow_pickle=False) as arrays:
        basis = Basis(arrays["center"], arrays["scale"], arrays["fill"], arrays["knots"], task)
        means = arrays["means"] if "means" in arrays.files else None
        return Linear(basis, arrays["weights"], arrays["intercept"], means)


@dataclass(frozen=True)
class Basis:
    """How the matrix becomes terms: for each number its value, a missing mark and bends; for each category its code."""

    center: Array
    scale: Array
    fill: Array
    knots: Array
    """Standardised positions of the bends, shape (n_numbers, n_knots)."""
    task: Task

    @property
    def numbers(self) -> list[int]:
        """Columns that hold numbers."""
        return [j for j, categorical in enumerate(self.task.categorical) if not categorical]

    @property
    def categories(self) -> list[int]:
        """Columns that hold codes."""
        return [j for j, categorical in enumerate(self.task.categorical) if categorical]

    def terms(self, X: Array) -> Array:
        """Return the numbers' terms, shape (n_rows, n_numbers, 2 + n_knots)."""
        values = np.clip(X[:, self.numbers], -LARGEST, LARGEST)
        missing = np.isnan(values)
        z = (np.where(missing, self.fill, values) - self.center) / self.scale
        bends = np.maximum(z[:, :, None] - self.knots[None], 0)
        return np.concatenate([z[:, :, None], missing[:, :, None], bends], axis=2)

    def codes(self, X: Array) -> NDArray[np.int64]:
        """Return the position of each category's weight, shape (n_rows, n_categories); missing stands after "other"."""
        positions = np.empty((len(X), len(self.categories)), dtype=np.int64)
        for i, (j, start) in enumerate(zip(self.categories, self.starts, strict=True)):
            n_codes = self.task.parts[j].n_codes
            positions[:, i] = start + np.where(np.isnan(X[:, j]), n_codes + 1, np.minimum(X[:, j], n_codes))
        return positions

    @property
    def starts(self) -> list[int]:
        """Position of each category's first weight."""
        start, found = self.n_terms, []
        for j in self.categories:
            found.append(start)
            start += self.task.parts[j].n_codes + 2
        return found

    @property
    def n_terms(self) -> int:
        """Number of the numbers' terms."""
        return len(self.numbers) * (2 + int(self.knots.shape[1]))

    @property
    def n_weights(self) -> int:
        """Number of weights of one output."""
        return self.n_terms + sum(self.task.parts[j].n_codes + 2 for j in self.categories)

    def design(self, X: Array) -> Any:
        """Return the sparse design matrix for fitting, shape (n_rows, n_weights)."""
        from scipy import sparse

        blocks = []
        for start in range(0, len(X), CHUNK_ROWS):
            chunk = X[start : start + CHUNK_ROWS]
            numeric = sparse.csr_matrix(self.terms(chunk).reshape(len(chunk), -1))
            positions = self.codes(chunk) - numeric.shape[1]
            shape = (len(chunk), self.n_weights - numeric.shape[1])
            ends = np.arange(0, positions.size + 1, max(positions.shape[1], 1))[: len(chunk) + 1]
            ends = ends if positions.shape[1] else np.zeros(len(chunk) + 1, dtype=np.int64)
            one_hot = sparse.csr_matrix((np.ones(positions.size), positions.ravel(), ends), shape=shape)
            blocks.append(sparse.hstack([numeric, one_hot], format="csr"))
        return sparse.vstack(blocks, format="csr")


class Linear:
    """A fitted linear model, which is its own engine."""

    rounds = None

    def __init__(self, basis: Basis, weights: Array, intercept: Array, means: Array | None) -> None:
        task = basis.task
        self._basis, self._weights, self._intercept, self._means, self._task = basis, weights, intercept, means, task
        never = [
            start + task.parts[j].n_codes
            for j, start in zip(basis.categories, basis.starts, strict=True)
            if not task.parts[j].other_seen
        ]
        self._weights[:, never] = 0

    def predict(self, X: Array) -> Array:
        """Return values or probabilities; summed term by term, so a row's answer is its own."""
        scores = self._scores(check_matrix(X, self._task))
        if self._task.n_classes == 0:
            return scores[:, 0]
        if self._task.n_classes > 2:
            return _softmax(scores)
        with np.errstate(over="ignore"):  # far below zero: 1 / (1 + inf) is the 0 that is meant
            return two_columns(1 / (1 + np.exp(-scores[:, 0])))

    def contributions(self, X: Array) -> Contributions:
        """Return by how much each column's terms exceed their mean over training rows; the base is the mean score."""
        if self._means is None:
            raise IntegrityError(
                f"{FILE} holds no means, so it was fitted before it could be explained; run `make run`."
            )
        raw, basis = self._scores(check_matrix(X, self._task)), self._basis
        numbers, categories, shape = basis.numbers, basis.categories, (len(basis.numbers), 2 + basis.knots.shape[1])
        terms, codes = basis.terms(X), basis.codes(X)
        values, means = np.empty((*X.shape, len(self._weights))), np.empty((X.shape[1], len(self._weights)))
        for k, weights in enumerate(self._weights):
            values[:, numbers, k] = (terms * weights[: basis.n_terms].reshape(shape)).sum(axis=2)
            values[:, categories, k] = weights[codes]
            of_numbers, *of_categories = np.split(self._means * weights, [basis.n_terms, *basis.starts[1:]])
            means[numbers, k] = of_numbers.reshape(shape).sum(axis=1)
            means[categories, k] = [each.sum() for each in of_categories[: len(categories)]]
        return Contributions(values - means, self._intercept + means.sum(axis=0), raw)

    def _scores(self, X: Array) -> Array:
        return np.concatenate([self._score(X[i : i + CHUNK_ROWS]) for i in range(0, max(len(X), 1), CHUNK_ROWS)])

    def _score(self, X: Array) -> Array:
        split = self._basis.n_terms
        terms, codes = self._basis.terms(X).reshape(len(X), split), self._basis.codes(X)
        scores = np.empty((len(X), len(self._intercept)))
        for k, weights in enumerate(self._weights):
            parts = np.concatenate([terms * weights[:split], weights[codes]], axis=1)
            scores[:, k] = parts.sum(axis=1) + self._intercept[k]
        return scores

    def save(self, folder: Path) -> None:
        """Write one ``.npz`` whose bytes depend on the numbers alone."""
        basis = self._basis
        arrays = {
            "center": basis.center,
            "scale": basis.scale,
            "fill": basis.fill,
            "knots": basis.knots,
            "weights": self._weights,
            "intercept": self._intercept,
        } | ({} if self._means is None else {"means": self._means})
        with zipfile.ZipFile(folder / FILE, "w") as archive:
            for name, array in arrays.items():
                content = io.BytesIO()
                np.save(content, np.ascontiguousarray(array), allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), content.getvalue())


def _learn_basis(X: Array, task: Task, n_knots: int) -> Basis:
    numbers = X[:, [not categorical for categorical in task.categorical]]
    fill, center, scale = np.zeros(numbers.shape[1]), np.zeros(numbers.shape[1]), np.ones(numbers.shape[1])
    knots = np.zeros((numbers.shape[1], n_knots))
    for j in range(numbers.shape[1]):
        known = np.clip(numbers[~np.isnan(numbers[:, j]), j], -LARGEST, LARGEST)
        if not len(known):
            continue
        fill[j], center[j], scale[j] = np.median(known), known.mean(), known.std() or 1.0
        shares = np.linspace(0, 1, n_knots + 2)[1:-1]
        knots[j] = (np.quantile(known, shares) - center[j]) / scale[j]
    return Basis(center, scale, fill, knots, task)


def _solve(design: Any, y: NDArray[Any], task: Task, settings: Settings, seed: int) -> tuple[Array, Array]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge

    penalty, l1_ratio = settings["strength"] * len(y), settings.get("l1_ratio", 0.0)
    with warnings.catch_warnings():  # a fit cut short is judged on the folds like any other
        warnings.simplefilter("ignore", ConvergenceWarning)
        if task.n_classes:
            solver = "newton-cholesky" if design.shape[1] <= NEWTON_MAX_WEIGHTS else "lbfgs"
            model = LogisticRegression(C=1 / penalty, solver=solver, max_iter=300, tol=1e-5).fit(design, y)
            return np.array(model.coef_), np.array(model.intercept_)
        center, scale = y.mean(), y.std() or 1.0
        target = (y - center) / scale
        model = (
            ElasticNet(alpha=settings["strength"], l1_ratio=l1_ratio, max_iter=1_000, random_state=seed)
            if l1_ratio
            else Ridge(alpha=penalty, solver="sparse_cg", tol=1e-8, max_iter=5_000)
        )
        model.fit(design, target)
    return np.atleast_2d(model.coef_) * scale, np.atleast_1d(model.intercept_) * scale + center


def _softmax(scores: Array) -> Array:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))

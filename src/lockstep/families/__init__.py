"""What may be fitted: one module a family, found by its file name.

Each gives

``SIMPLICITY``
    Rank; of families that cannot be told apart the lowest wins.
``TOLERANCE``
    Largest accepted difference between the engine's output and the fitted estimator's.
``defaults(n_classes)``, ``space(n_classes)``
    The settings tried first, and the distributions that the search draws from; ``n_classes`` is 0 in regression.
``fit(X, y, task, settings, *, seed, threads, valid)``
    A fitted model with ``predict(X)``, ``rounds`` and ``save(folder)``.
``load(folder, task)``
    The engine that serves what ``save`` wrote: ``predict(X)``, row-independent, one thread. It may explain, too:
    ``contributions(X)`` says what each column of the matrix adds to the raw score, the score before the link that makes
    probabilities of it. What only that needs is made at the first call.
``EXPLAINED``
    Largest accepted difference between the raw score and the sum that explains it, as :attr:`Contributions.gap` has it.

Only fitting functions import scikit-learn, XGBoost's training side or Optuna.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lockstep.encoder import Part
from lockstep.errors import IntegrityError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """What a model is asked and what its matrix holds."""

    n_classes: int
    """0 in regression."""
    parts: tuple[Part, ...]

    @property
    def categorical(self) -> list[bool]:
        """For each column of the matrix, whether it holds codes."""
        return [part.kind == "category" for part in self.parts]

    @property
    def n_outputs(self) -> int:
        """Numbers that a model computes for a row: one, or one for each of more than two classes."""
        return self.n_classes if self.n_classes > 2 else 1

    @cached_property
    def codes(self) -> tuple[NDArray[np.intp], Array]:
        """Columns that hold codes, and the largest code of each."""
        columns = np.flatnonzero(self.categorical)
        return columns, np.array([self.parts[j].n_codes for j in columns], dtype=np.float64)


class Engine(Protocol):
    """Predicts from a matrix of shape (n_rows, n_parts); (n_rows,) or (n_rows, n_classes) comes out."""

    def predict(self, X: Array) -> Array:
        """Return values or probabilities; each row's answer depends on that row alone."""
        ...


@dataclass(frozen=True)
class Contributions:
    """What each column of the matrix adds to the raw score of each row; the base and all of them sum to it."""

    values: Array
    """Shape (n_rows, n_parts, n_outputs)."""
    base: Array
    """What the score would be if nothing were known of a row, shape (n_outputs,)."""
    raw: Array
    """The score itself, computed another way, shape (n_rows, n_outputs)."""

    @property
    def gap(self) -> float:
        """Largest difference between the raw score and the sum, relative to the sizes of what was added."""
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is NaN, and within no bound
            apart = np.abs(self.base + self.values.sum(axis=1) - self.raw)
            sizes = np.abs(self.base) + np.abs(self.values).sum(axis=1) + np.abs(self.raw)
            return float(np.max(apart / np.where(sizes == 0, 1, sizes), initial=0.0))


class Explaining(Engine, Protocol):
    """An engine that also says why."""

    def contributions(self, X: Array) -> Contributions:
        """Return what each column adds to the raw score; each row's values depend on that row alone."""
        ...


class Fitted(Engine, Protocol):
    """A model in training: also says how many rounds it took, and writes its engine."""

    rounds: int | None

    def save(self, folder: Path) -> None:
        """Write the engine's files, byte-stable."""
        ...


def without_unseen(X: Array, task: Task) -> Array:
    """Return ``X`` with codes that training never saw as missing, which is what trees understand."""
    columns = [j for j, part in enumerate(task.parts) if part.kind == "category" and not part.other_seen]
    if not columns:
        return X
    X = X.copy()
    for j in columns:
        X[X[:, j] >= task.parts[j].n_codes, j] = np.nan
    return X


def check_matrix(X: Array, task: Task) -> Array:
    """Refuse a matrix that an engine would answer wrongly instead of refusing.

    Raises
    ------
    IntegrityError
        The count of columns is off, or an infinity or a broken code stands in it.
    """
    if X.ndim != 2 or X.shape[1] != len(task.parts):
        raise IntegrityError(f"the matrix must have {len(task.parts)} columns; got shape {X.shape}.")
    if np.isinf(X).any():
        raise IntegrityError("the matrix must be finite or NaN; an infinity stands in it.")
    columns, largest = task.codes
    codes = X[:, columns]
    if not (np.isnan(codes) | ((codes >= 0) & (codes <= largest) & (codes == np.floor(codes)))).all():
        raise IntegrityError(
            "the codes of categories must be whole numbers of the vocabulary, or one past it; "
            "others stand in the matrix."
        )
    return X


def largest_difference(engine: Engine, fitted: Engine, X: Array) -> float:
    """Return the largest absolute difference of outputs between an engine and the estimator that it stands for."""
    return float(np.max(np.abs(engine.predict(X) - fitted.predict(X)), initial=0.0))


def two_columns(positive: Array) -> Array:
    """Return probabilities of both classes, shape (n_rows, 2), from those of the positive one."""
    return np.column_stack([1 - positive, positive])


Settings = dict[str, Any]

"""Gradient-boosted trees by scikit-learn's HistGradientBoosting. Served by treelite in float64."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep.errors import IntegrityError
from lockstep.families import Array, Contributions, Settings, Task, check_matrix, two_columns, without_unseen
from lockstep.families._tree_shap import Trees, TreeShap

SIMPLICITY = 1
TOLERANCE = 1e-6
"""Regression and binary agree to 1e-12; of several classes treelite's softmax is float32."""
EXPLAINED = 1e-9
FILE = "hist_gradient.tl"
ON_CODES = 2
"""Of treelite's kinds of nodes, a split on categories."""
MAX_ROUNDS = 1_000
PATIENCE = 30


def defaults(n_classes: int) -> Settings:
    """Return what is tried first."""
    return {
        "learning_rate": 0.08,
        "max_leaf_nodes": 31,
        "min_samples_leaf": 20,
        "l2_regularization": 1e-3,
        "max_features": 0.8,
    }


def space(n_classes: int) -> dict[str, Any]:
    """Return what the search draws from."""
    from optuna.distributions import FloatDistribution, IntDistribution

    return {
        "learning_rate": FloatDistribution(0.02, 0.3, log=True),
        "max_leaf_nodes": IntDistribution(4, 127, log=True),
        "min_samples_leaf": IntDistribution(5, 100, log=True),
        "l2_regularization": FloatDistribution(1e-4, 30.0, log=True),
        "max_features": FloatDistribution(0.4, 1.0),
    }


def fit(
    X: Array,
    y: NDArray[Any],
    task: Task,
    settings: Settings,
    *,
    seed: int,
    threads: int,
    valid: tuple[Array, NDArray[Any]] | None = None,
) -> "HistGradient":
    """Fit on ``X`` of shape (n_rows, n_parts); with ``valid`` stop early, else take ``settings["rounds"]``."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    kind = HistGradientBoostingClassifier if task.n_classes else HistGradientBoostingRegressor
    values = {key: value for key, value in settings.items() if key != "rounds"}
    estimator = kind(
        **values,
        categorical_features=task.categorical,
        random_state=seed,
        max_iter=settings.get("rounds", MAX_ROUNDS),
        early_stopping=valid is not None,
        n_iter_no_change=PATIENCE,
    )
    held_out = {} if valid is None else {"X_val": without_unseen(valid[0], task), "y_val": valid[1]}
    with threadpool_limits(threads, user_api="openmp"):
        estimator.fit(_without_empty(without_unseen(X, task)), y, **held_out)
    if valid is not None:  # scikit-learn keeps the rounds it waited in vain; the first score is that of none
        del estimator._predictors[max(int(np.argmax(estimator.validation_score_)), 1) :]
    return HistGradient(estimator, task)


def _without_empty(X: Array) -> Array:
    """Return ``X`` with zeros in columns that hold nothing, which scikit-learn cannot bin; no tree splits on them."""
    empty = np.isnan(X).all(axis=0)
    return np.where(empty, 0.0, X) if empty.any() else X


def load(folder: Path, task: Task) -> "Treelite":
    """Read the treelite model; the bytes must have been verified before."""
    import treelite

    return Treelite(treelite.Model.deserialize(folder / FILE), task)


class HistGradient:
    """A fitted estimator."""

    def __init__(self, estimator: Any, task: Task) -> None:
        self._estimator, self._task = estimator, task
        self.rounds: int | None = int(estimator.n_iter_)

    def predict(self, X: Array) -> Array:
        """Return values or probabilities by scikit-learn."""
        X = without_unseen(check_matrix(X, self._task), self._task)
        return np.asarray(self._estimator.predict_proba(X) if self._task.n_classes else self._estimator.predict(X))

    def save(self, folder: Path) -> None:
        """Write the trees in treelite's format."""
        import treelite

        with np.errstate(invalid="ignore"):  # NaN among the categories is cast to a code that no row has
            model = treelite.sklearn.import_model(self._estimator)
        (folder / FILE).write_bytes(model.serialize_bytes())  # a full disk is an OSError of Python's, not of C++


class Treelite:
    """The engine: the same trees in treelite."""

    def __init__(self, model: Any, task: Task) -> None:
        self._model, self._task = model, task

    def predict(self, X: Array) -> Array:
        """Return values or probabilities in float64, one thread."""
        import treelite

        X = without_unseen(check_matrix(X, self._task), self._task)
        output = np.asarray(treelite.gtil.predict(self._model, np.ascontiguousarray(X), nthread=1), dtype=np.float64)
        output = output.reshape(len(X), self._task.n_outputs)
        if self._task.n_classes == 0:
            return output[:, 0]
        return two_columns(output[:, 0]) if self._task.n_classes == 2 else output

    def contributions(self, X: Array) -> Contributions:
        """Return exact Shapley values of the trees; the base is the mean score of the training rows."""
        import treelite

        X = np.ascontiguousarray(without_unseen(check_matrix(X, self._task), self._task))
        raw = np.asarray(treelite.gtil.predict(self._model, X, nthread=1, pred_margin=True), dtype=np.float64)
        start = np.asarray(self._model.get_header_accessor().get_field("base_scores"), dtype=np.float64)
        shap = self._shap
        return Contributions(shap.values(X), start + shap.base, raw.reshape(len(X), self._task.n_outputs))

    @cached_property
    def _shap(self) -> TreeShap:
        return TreeShap(_trees(self._model, self._task), len(self._task.parts), self._task.n_outputs)


def _trees(model: Any, task: Task) -> Trees:
    """Read all nodes of a treelite model: numbers up to a threshold go left, and codes of a list."""
    fields = [model.get_tree_accessor(i).get_field for i in range(model.num_tree)]
    sizes = [int(field("num_nodes")[0]) for field in fields]
    outputs, above = model.get_header_accessor().get_field("class_id"), np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)

    def joined(name: str, kind: Any) -> NDArray[Any]:
        return np.concatenate([field(name) for field in fields]).astype(kind)

    left, right, on_codes = joined("cleft", np.intp), joined("cright", np.intp), joined("node_type", int) == ON_CODES
    if not joined("data_count_present", bool).sum() == len(left):
        raise IntegrityError(
            f"{FILE} must say how many rows reached each node, and does not; fit it again by `make run`."
        )
    return Trees(
        left=np.where(left < 0, -1, left + above),
        right=np.where(left < 0, -1, right + above),
        column=joined("split_index", np.intp),
        threshold=joined("threshold", np.float64),
        table=np.where(on_codes, np.cumsum(on_codes) - 1, -1),
        codes=_codes(fields, max((part.n_codes for part in task.parts), default=0) + 1),
        missing_left=joined("default_left", bool),
        cover=joined("data_count", np.float64),
        value=joined("leaf_value", np.float64),
        output=np.repeat(outputs, sizes),
    )


def _codes(fields: Sequence[Any], n_codes: int) -> NDArray[np.uint8]:
    """Return which codes go left, a row of bits for each split on codes."""
    rows = []
    for field in fields:
        listed, begin, end = (field(f"category_list{name}") for name in ("", "_begin", "_end"))
        to_right = field("category_list_right_child")
        for node in np.flatnonzero(field("node_type") == ON_CODES):
            left = np.full(n_codes, bool(to_right[node]))
            codes = listed[int(begin[node]) : int(end[node])]
            left[codes[codes < n_codes]] ^= True
            rows.append(np.packbits(left, bitorder="little"))
    return np.array(rows, dtype=np.uint8).reshape(len(rows), (n_codes + 7) // 8)

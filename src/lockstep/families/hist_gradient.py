"""Gradient-boosted trees by scikit-learn's HistGradientBoosting. Served by treelite in float64."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep.families import Array, Settings, Task, check_matrix, two_columns, without_unseen

SIMPLICITY = 1
TOLERANCE = 1e-6
"""Regression and binary agree to 1e-12; of several classes treelite's softmax is float32."""
FILE = "hist_gradient.tl"
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

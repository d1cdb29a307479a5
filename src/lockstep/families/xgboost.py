"""Gradient-boosted trees by XGBoost, with native categories. Served by XGBoost itself from a UBJ file."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep.families import Array, Contributions, Settings, Task, check_matrix, two_columns, without_unseen

SIMPLICITY = 2
TOLERANCE = 0.0
EXPLAINED = 1e-4
"""XGBoost adds up to 2,000 trees in float32; 5e-7 is usual, 8e-6 where a target spreads by a millionth of its mean."""
FILE = "xgboost.ubj"
MAX_ROUNDS = 2_000
PATIENCE = 40
LARGEST = 3e38
"""Numbers beyond it count as it; XGBoost computes in float32 and would take them for infinite."""


def defaults(n_classes: int) -> Settings:
    """Return what is tried first."""
    return {
        "learning_rate": 0.06,
        "max_depth": 6,
        "min_child_weight": 3.0,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "reg_lambda": 1.0,
        "reg_alpha": 1e-3,
    }


def space(n_classes: int) -> dict[str, Any]:
    """Return what the search draws from."""
    from optuna.distributions import FloatDistribution, IntDistribution

    return {
        "learning_rate": FloatDistribution(0.02, 0.2, log=True),
        "max_depth": IntDistribution(2, 10),
        "min_child_weight": FloatDistribution(0.5, 60.0, log=True),
        "subsample": FloatDistribution(0.5, 1.0),
        "colsample_bytree": FloatDistribution(0.4, 1.0),
        "reg_lambda": FloatDistribution(1e-2, 30.0, log=True),
        "reg_alpha": FloatDistribution(1e-4, 10.0, log=True),
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
) -> "XGBoost":
    """Fit on ``X`` of shape (n_rows, n_parts); with ``valid`` stop early, else take ``settings["rounds"]``."""
    import xgboost

    values = {key: value for key, value in settings.items() if key != "rounds"}
    config = {
        **values,
        **_objective(task),
        "tree_method": "hist",
        "seed": seed,
        "nthread": threads,
        "max_cat_to_onehot": 4,
        "verbosity": 0,
    }
    data = _quantile_matrix(X, y, task, threads)
    if valid is None:
        return XGBoost(xgboost.train(config, data, num_boost_round=settings["rounds"]), task, settings["rounds"])
    held_out = _quantile_matrix(*valid, task, threads, reference=data)
    booster = xgboost.train(
        config,
        data,
        num_boost_round=MAX_ROUNDS,
        evals=[(held_out, "valid")],
        early_stopping_rounds=PATIENCE,
        verbose_eval=False,
    )
    rounds = booster.best_iteration + 1
    return XGBoost(booster[:rounds], task, rounds)


def load(folder: Path, task: Task) -> "XGBoost":
    """Read the booster; the bytes must have been verified before."""
    import xgboost

    return XGBoost(xgboost.Booster(model_file=folder / FILE), task, None)


class XGBoost:
    """A fitted booster, which is its own engine."""

    def __init__(self, booster: Any, task: Task, rounds: int | None) -> None:
        self._booster, self._task, self.rounds = booster, task, rounds
        booster.set_param({"nthread": 1})

    def predict(self, X: Array) -> Array:
        """Return values or probabilities, float32 widened."""
        X = _narrow(check_matrix(X, self._task), self._task)
        output = self._booster.inplace_predict(X, validate_features=False).astype(np.float64)
        if self._task.n_classes == 2:
            return two_columns(output)
        return np.asarray(output.reshape(len(X), self._task.n_outputs) if self._task.n_classes else output)

    def contributions(self, X: Array) -> Contributions:
        """Return XGBoost's own Shapley values; the base is the mean score of training rows, weighted by its covers."""
        import xgboost

        X, n_outputs = _narrow(check_matrix(X, self._task), self._task), self._task.n_outputs
        known = np.vstack([X, np.full((1, X.shape[1]), np.nan)])  # XGBoost knows no base without a row
        data = xgboost.DMatrix(known, feature_types=_types(self._task), enable_categorical=True, nthread=1)
        found = self._booster.predict(data, pred_contribs=True, validate_features=False).astype(np.float64)
        found = found.reshape(len(known), n_outputs, -1).swapaxes(1, 2)
        raw = self._booster.inplace_predict(X, predict_type="margin", validate_features=False).astype(np.float64)
        return Contributions(found[:-1, :-1], found[-1, -1], raw.reshape(len(X), n_outputs))

    def save(self, folder: Path) -> None:
        """Write the booster as UBJ."""
        (folder / FILE).write_bytes(self._booster.save_raw("ubj"))  # a full disk is an OSError of Python's, not of C++


def _narrow(X: Array, task: Task) -> Array:
    """Return ``X`` as XGBoost takes it: codes never seen as missing, numbers within the range of float32."""
    return np.asarray(np.clip(without_unseen(X, task), -LARGEST, LARGEST))


def _objective(task: Task) -> dict[str, Any]:
    if task.n_classes == 0:
        return {"objective": "reg:squarederror", "eval_metric": "rmse"}
    if task.n_classes == 2:
        return {"objective": "binary:logistic", "eval_metric": "logloss"}
    return {"objective": "multi:softprob", "eval_metric": "mlogloss", "num_class": task.n_classes}


def _quantile_matrix(X: Array, y: NDArray[Any], task: Task, threads: int, reference: Any = None) -> Any:
    import xgboost

    return xgboost.QuantileDMatrix(
        _narrow(X, task), y, feature_types=_types(task), enable_categorical=True, ref=reference, nthread=threads
    )


def _types(task: Task) -> list[str]:
    return ["c" if categorical else "q" for categorical in task.categorical]

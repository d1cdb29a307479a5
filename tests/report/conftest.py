import numpy as np
import pandas as pd
import pytest

from lockstep.problems import binary as problem
from lockstep.report import curves
from lockstep.report.page import Results


@pytest.fixture
def importance():
    return pd.DataFrame(
        {"column": ["tenure", "a & <b>"], "increase": [0.2, -0.001], "low": [0.19, -0.002], "high": [0.21, 0.001]}
    )


@pytest.fixture
def search():
    return {"linear": [0.5, 0.48, 0.49], "xgboost": [None, 0.47, float("nan"), 0.43]}


@pytest.fixture
def scored():
    """Targets, outputs and predictions of 5,000 rows with ties among the scores."""
    rng = np.random.default_rng(3)
    latent = rng.normal(-1, 1.5, 5_000)
    y = (rng.random(5_000) < 1 / (1 + np.exp(-latent))).astype(np.int64)
    score = np.round(1 / (1 + np.exp(-latent - rng.normal(0, 0.5, 5_000))), 3)
    return y, np.column_stack([1 - score, score]), (score >= 0.4).astype(np.int64)


@pytest.fixture
def binary_frames(scored, importance, search):
    return curves.curves(("stayed", "churned"), *scored, importance, search)


@pytest.fixture
def multiclass_frames(importance, search):
    rng = np.random.default_rng(4)
    y = rng.integers(0, 3, 900)
    output = rng.dirichlet([1, 1, 1], 900)
    output[np.arange(900), y] += 0.7
    output /= output.sum(axis=1, keepdims=True)
    return curves.curves(
        ("<b>one</b>", "$two^2$", '中 & "three"'), y, output, output.argmax(axis=1), importance, search
    )


@pytest.fixture
def regression_frames(importance, search):
    rng = np.random.default_rng(5)
    y = rng.lognormal(12, 0.5, 4_000)
    output = y * np.exp(rng.normal(0, 0.2, 4_000))
    return curves.curves((), y, output, output, importance, search)


@pytest.fixture
def results():
    metrics = {"n_rows": 1234.0}
    for i, name in enumerate(problem.METRICS):
        value = 0.61234 + i / 100
        metrics |= {
            name: value,
            f"{name}_low": value - 0.01111,
            f"{name}_high": value + 0.02222,
            f"linear_{name}": value - 0.03333,
            f"trivial_{name}": value - 0.11111,
        }
    gates = [
        {"gate": "better_than_trivial", "passed": True, "reason": "0.41 is below 0.58", "figures": {}},
        {"gate": "minimum", "passed": False, "reason": "roc_auc is 0.61, not 0.7", "figures": {}},
    ]
    board = [
        {
            "family": "xgboost",
            "loss": 0.40871,
            "standard_error": 0.0051,
            "difference": 0.0,
            "difference_error": 0.0,
            "n_trials": 24,
            "repeatable": True,
            "settings": {"eta": 0.05123, "depth": 6},
            "chosen": False,
            "losses": [0.4, 0.41],
        },
        {
            "family": "linear",
            "loss": 0.41881,
            "standard_error": 0.0055,
            "difference": 0.0101,
            "difference_error": 0.0121,
            "n_trials": 12,
            "repeatable": False,
            "settings": {},
            "chosen": True,
            "losses": [0.41, 0.42],
        },
    ]
    return Results(
        "churn",
        {"accepted": False, "problem": "binary", "family": "linear", "predictor": "f00d" * 16, "gates": gates},
        metrics,
        problem.METRICS,
        board,
        "log loss",
        {"train": 20_412, "test": 1_234, "holdout": 0, "quarantine": 96},
    )


@pytest.fixture
def validation():
    def rule(name, columns, severity, scope, n_unexpected, *, examples=(), observed=None, success=False):
        return {
            "rule": name,
            "type": "expect",
            "columns": columns,
            "severity": severity,
            "scope": scope,
            "success": success,
            "n_unexpected": n_unexpected,
            "observed": observed,
            "examples": list(examples),
            "share": n_unexpected / 27_708,
        }

    return {
        "n_rows": 27_708,
        "n_valid": 27_612,
        "n_quarantined": 96,
        "contract": "beef" * 16,
        "success": False,
        "rules": [
            rule("not_be_null()", ["id"], "critical", "row", 0, success=True),
            rule(
                "be_in_set(value_set=['a'])",
                ["plan"],
                "info",
                "row",
                300,
                examples=[{"row": 5, "value": "<i>life</i>"}],
            ),
            rule(
                "be_between(min_value=0)",
                ["charge"],
                "warning",
                "row",
                85,
                examples=[{"row": row, "value": f"-{row}.5"} for row in (17, 204, 999, 5002)],
            ),
            rule("table_row_count_to_be_between(min_value=50000)", [], "critical", "table", 0, observed=27_708),
        ],
        "quarantine": [
            {"rule": "read", "column": "charge", "n_rows": 30, "n_only": 4},
            {"rule": "be_between(min_value=0)", "column": "charge", "n_rows": 85, "n_only": 61},
        ],
        "columns": {
            "charge": {
                "kind": "number",
                "role": "input",
                "n_missing": 11,
                "share_missing": 11 / 27_708,
                "n_distinct": 6_531,
                "min": -99.5,
                "mean": 2283.3004,
                "max": 8684.8,
            },
            "churn": {
                "kind": "boolean",
                "role": "target",
                "n_missing": 0,
                "share_missing": 0.0,
                "n_distinct": 2,
                "min": 0.0,
                "mean": 0.26537,
                "max": 1.0,
            },
            "plan": {
                "kind": "category",
                "role": "input",
                "n_missing": 13_854,
                "share_missing": 0.5,
                "n_distinct": 2,
                "top": [["monthly", 12_000], ["<i>life</i>", 1_854]],
            },
        },
    }

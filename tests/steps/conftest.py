"""A small table that can be learned, and its judge."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lockstep import contract as contracts
from lockstep import plugins
from lockstep.steps.judge import Judge, encode_folds, mean_loss

N_ROWS, N_FOLDS = 600, 3
CLASSES = {"binary": 2, "multiclass": 3, "regression": 0}


@pytest.fixture(scope="session")
def judge_of() -> Callable[..., Judge]:
    """Build the judge of a family on a problem."""

    def build(family: str = "xgboost", problem: str = "binary", threads: int = 1, seed: int = 5) -> Judge:
        rows, y = learnable(CLASSES[problem])
        kind = "category" if CLASSES[problem] else "number"
        columns = {"a": {"kind": "number"}, "b": {"kind": "category"}, "y": {"kind": kind, "role": "target"}}
        contract = contracts.loads(json.dumps({"meta": {"columns": columns}}).encode())
        folds = pd.DataFrame({"fold": np.arange(N_ROWS) % N_FOLDS, "ordered": False}, index=rows.index)
        encoded = encode_folds(rows, y, folds, contract, (), CLASSES[problem])
        loss = mean_loss(plugins.load("problems", problem))
        return Judge(plugins.load("families", family), encoded, loss, N_ROWS, seed, threads)

    return build


def learnable(n_classes: int) -> tuple[pd.DataFrame, Any]:
    rng = np.random.default_rng(3)
    rows = pd.DataFrame({"a": rng.normal(size=N_ROWS), "b": rng.choice(["u", "v", "w"], N_ROWS)})
    score = (rows["a"] + (rows["b"] == "u") + rng.normal(0, 0.7, N_ROWS)).to_numpy()
    return rows, np.digitize(score, [0.3, 1.2][: n_classes - 1]) if n_classes else score

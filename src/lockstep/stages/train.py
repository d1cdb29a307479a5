"""What tune and fit both begin with: train's features, and the target as numbers."""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from lockstep import contract as contracts
from lockstep import plugins
from lockstep.contract import Contract
from lockstep.params import Params
from lockstep.stages.files import read_table


@dataclass(frozen=True)
class Training:
    """Rows to learn from."""

    contract: Contract
    problem: ModuleType
    features: pd.DataFrame
    feature_names: tuple[str, ...]
    classes: tuple[str, ...]
    y: NDArray[Any]


def load(root: Path, params: Params) -> Training:
    """Read ``data/features.parquet`` under the contract."""
    contract = contracts.load(root)
    problem = plugins.load("problems", params.problem)
    rows = read_table(root / "data" / "features.parquet")
    target = rows[contract.target]
    classes = problem.classes(target, contract.columns[contract.target].classes)
    known = {*contract.inputs, contract.target}
    names = tuple(name for name in rows.columns if name not in known)
    return Training(contract, problem, rows, names, classes, problem.encode_target(target, classes))

"""Divide the valid rows, and refuse what leaks."""

from pathlib import Path

from lockstep import contract as contracts
from lockstep import plugins
from lockstep.params import Params
from lockstep.stages.files import read_table, write_table
from lockstep.steps import leaks, target
from lockstep.steps.split import divide


def run(root: Path, params: Params) -> None:
    """``data/valid.parquet`` -> train, test, hold-out and folds."""
    contract = contracts.load(root)
    rows = read_table(root / "data" / "valid.parquet")
    problem = plugins.load("problems", params.problem)
    target.check(rows, contract, problem)
    division = divide(rows, contract, params.split, seed=params.seed)
    leaks.refuse(division.train, contract, params.split.accept_leaks, seed=params.seed)
    for name in ("train", "test", "holdout", "folds"):
        write_table(getattr(division, name), root / "data" / f"{name}.parquet")
    print(f"train {len(division.train)} rows, test {len(division.test)}, holdout {len(division.holdout)}")

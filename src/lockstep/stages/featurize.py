"""Compute the project's features on train, once for tune and fit."""

from pathlib import Path

from lockstep import contract as contracts
from lockstep import features
from lockstep.params import Params
from lockstep.stages.files import read_table, write_table


def run(root: Path, params: Params) -> None:  # noqa: ARG001 - every stage is called alike
    """``data/train.parquet``, ``src/features.py`` -> ``data/features.parquet``."""
    contract = contracts.load(root)
    rows = read_table(root / "data" / "train.parquet")[[*contract.inputs, contract.target]]
    own = features.load((root / features.FILE).read_text("utf-8"), contract)
    own.check(rows)
    write_table(rows.assign(**own.of_table(rows)), root / "data" / "features.parquet")
    print(f"{len(contract.inputs)} inputs and {len(own.names)} features of {len(rows)} rows")

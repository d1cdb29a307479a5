"""Ways to spoil a small project's table, contract and parameters, and to see that a stage refuses them."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import project
import pytest

from lockstep import params
from lockstep.errors import LockstepError
from lockstep.steps import lock

Edit = Callable[[Path], object]


def run(root: Path, *stages: str) -> None:
    """Take the source up as it is now, and run stages in this process."""
    settings = params.load(root)
    lock.write(root, settings)
    for name in stages:
        importlib.import_module(f"lockstep.stages.{name}").run(root, settings)


def refuse(root: Path, stages: list[str], said: str) -> None:
    """Run stages, of which the last must stop with one line, and write nothing that a later one reads."""
    if stages[:-1]:
        run(root, *stages[:-1])
    with pytest.raises(LockstepError, match=said) as caught:
        run(root, *stages[-1:])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def table(change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> Edit:
    """Change the table's cells, which are text."""

    def edit(root: Path) -> None:
        rows = pd.read_csv(root / "table.csv", dtype=str, keep_default_na=False)
        changed = change(rows)
        (rows if changed is None else changed).to_csv(root / "table.csv", index=False)

    return edit


def cell(column: str, value: str, rows: slice = slice(3, 4)) -> Edit:
    """Set cells of one column."""

    def change(cells: pd.DataFrame) -> None:
        cells.loc[cells.index[rows], column] = value

    return table(change)


def content(change: Callable[[bytes], bytes], name: str = "table.csv") -> Edit:
    """Change the bytes of the table's file; under another name if given."""

    def edit(root: Path) -> None:
        (root / name).write_bytes(change((root / "table.csv").read_bytes()))
        project.change_params(root, {"source": {"path": name}})

    return edit


def parquet(change: Callable[[bytes], bytes] = bytes, edit_rows: Callable[[pd.DataFrame], Any] = len) -> Edit:
    """Give the table as Parquet, typed."""

    def edit(root: Path) -> None:
        rows = pd.read_csv(root / "table.csv")
        edit_rows(rows)
        rows.to_parquet(root / "table.parquet", index=False)
        (root / "table.parquet").write_bytes(change((root / "table.parquet").read_bytes()))
        project.change_params(root, {"source": {"path": "table.parquet"}})

    return edit


def suite(change: Callable[[dict[str, Any]], object]) -> Edit:
    return lambda root: project.change_contract(root, change)


def settings(change: dict[str, Any]) -> Edit:
    return lambda root: project.change_params(root, change)


def both(*edits: Edit) -> Edit:
    return lambda root: [edit(root) for edit in edits]


def without_rule_on(column: str) -> Edit:
    def change(found: dict[str, Any]) -> None:
        found["expectations"] = [e for e in found["expectations"] if e["kwargs"].get("column") != column]
        found["meta"]["columns"][column].pop("classes", None)

    return suite(change)


def rule(**kwargs: Any) -> Edit:
    return suite(lambda found: found["expectations"].append({"severity": "warning", **kwargs}))

"""Answer a table, row by row: the door of `lockstep predict`, and of the model that MLflow's registry holds."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from lockstep.contract import Contract, read
from lockstep.contract.read import Table
from lockstep.contract.rules import Value, row_checks
from lockstep.predictor import Predictor

INDEX = "__row__"
"""Name of the row numbers that the line's own tables bring along."""


def answer(raw: pd.DataFrame, model: Predictor) -> pd.DataFrame:
    """Answer one chunk; refused rows have null answers and the reasons in ``refused``."""
    contract = model.contract
    table = read.read(without_row_numbers(raw, contract), contract, target=False)
    rows = table.rows.reindex(columns=[*table.rows.columns, *(n for n in contract.inputs if n not in table.rows)])
    reasons = refusals(table, contract)
    kept = np.array([not reason for reason in reasons], dtype=bool)
    answers = model.predict_table(rows[kept])
    kind = "str" if model.card.classes else "float64"
    values = pd.Series(pd.NA if model.card.classes else np.nan, index=rows.index, dtype=kind)
    values[kept] = list(answers.values)
    columns: dict[str, Any] = {"prediction": values}
    for code, name in enumerate(model.card.classes):
        column = np.full(len(rows), np.nan)
        column[kept] = answers.output[:, code]
        columns[f"probability_{name}"] = column
    refused = pd.Series([reason or None for reason in reasons], index=rows.index, dtype="str")
    return pd.DataFrame({**columns, "refused": refused})


def without_row_numbers(raw: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Drop the row numbers that the line's own tables bring along, unless the contract has a column of that name."""
    return raw if INDEX in contract.columns else raw.drop(columns=INDEX, errors="ignore")


def refusals(table: Table, contract: Contract) -> list[str]:
    """Return for each row why it is refused, empty where it is not: the rules that a request meets too."""
    rows = table.rows
    found: list[list[str]] = [[] for _ in range(len(rows))]
    for name, cells in table.unreadable.items():
        for position in rows.index.get_indexer(cells.index):
            found[position].append(f"{name}: must be a {contract.columns[name].kind}")
    for rule, holds in row_checks(contract, set(rows.columns)):
        if rule.severity == "info":
            continue
        spared = not contract.columns[rule.columns[0]].is_input
        columns = [list(_values(rows[name])) for name in rule.columns]
        for position, values in enumerate(zip(*columns, strict=True)):
            if holds(dict(zip(rule.columns, values, strict=True))) or (spared and values[0] is None):
                continue
            if not found[position] or not any(
                reason.startswith(f"{rule.columns[0]}: must") for reason in found[position]
            ):
                found[position].append(f"{rule.columns[0]}: {rule.name}")
    return ["; ".join(reasons) for reasons in found]


def _values(column: pd.Series) -> Iterator[Value]:
    if column.dtype.kind == "M":
        return (None if value is pd.NaT else value.to_pydatetime() for value in column)
    return (None if value is None or value != value else value for value in column.tolist())

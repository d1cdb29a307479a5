"""Suggest a problem, a role for each column, and a contract, from a raw table and the name of its target."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from lockstep import plugins
from lockstep.contract.model import Column
from lockstep.contract.read import read_cells
from lockstep.errors import FitError, SourceError, UnknownName, expected_one_of
from lockstep.steps import bounds, notes, question, roles
from lockstep.steps.cells import Look, look
from lockstep.steps.roles import Decision, Wishes

PRIVATE = re.compile(
    r"(?i)e-?mail|phone|mobile|address|street|passport|iban|\bssn\b|birth|^dob$|^name$|"
    r"(?:first|last|sur|full|user)_?name"
)
MIN_ROWS = 25


@dataclass(frozen=True)
class Suggestion:
    """What a new project begins with."""

    problem: str
    contract: str
    """The text of ``expectations/rows.json``."""
    split: Literal["random", "group", "time"]
    folds: int
    max_quarantine: float
    decisions: tuple[Decision, ...]
    """The target first, then every column in the order of the table."""
    notes: tuple[str, ...]
    texts: tuple[str, ...]
    """Inputs of kind text, which only a feature brings into the model."""
    numbers: tuple[str, ...]
    """Inputs of kind number."""
    n_inputs: int
    """Inputs that enter the model as they are."""


def suggest(
    raw: pd.DataFrame,
    target: str,
    *,
    problem: str | None = None,
    ignore: Sequence[str] = (),
    time: str | None = None,
    group: str | None = None,
    id: str | None = None,
    seed: int = 0,
) -> Suggestion:
    """Look at every column and decide; what the user says stands.

    Raises
    ------
    UnknownName
        A column or a problem that the user named does not exist.
    FitError
        The target cannot be learned: constant, too many classes, not a number; or no column is left to learn from.
    SourceError
        A time that is neither a date nor a number.
    """
    wishes = Wishes(target, tuple(ignore), time, group, id)
    _check_names(raw, wishes)
    looks = {str(name): look(raw[name], str(name)) for name in raw}
    problem, why, looks[target] = question.choose(raw[target], looks[target], problem)
    _check_time(looks, wishes)
    rows = pd.DataFrame({name: read_cells(raw[name], found.column) for name, found in looks.items()})
    _check_target(rows[target], problem)
    decided = roles.decide(rows, looks, wishes, seed=seed)
    columns = _columns(rows, looks, decided, wishes)
    inputs = [name for name, column in columns.items() if column.is_input]
    if not inputs:
        raise FitError(
            f"no column is left to learn {target!r} from; "
            f"{'; '.join(f'{d.column!r}: {d.decision} ({d.why})' for d in decided.values())}."
        )
    split = _split(decided)
    texts, numbers = (tuple(name for name in inputs if columns[name].kind == kind) for kind in ("text", "number"))
    return Suggestion(
        problem,
        _dump(rows, columns),
        split,
        _folds(rows[target]),
        _max_quarantine(rows, columns),
        (Decision(target, "target", why), *decided.values()),
        notes.of(rows, looks, decided, target, split=split != "random"),
        texts,
        numbers,
        len(inputs) - len(texts),
    )


def _check_target(values: pd.Series, problem: str) -> None:
    plugins.load("problems", problem).check_target(values, values.name)
    if values.notna().sum() < MIN_ROWS:
        raise FitError(
            f"at least {MIN_ROWS} rows with a target are needed to train and to test; found "
            f"{int(values.notna().sum())}."
        )


def _folds(target: pd.Series) -> int:
    """Return five, or fewer where a class has too few rows to stand in every fold."""
    smallest = int(target.value_counts().min()) if target.dtype.kind != "f" else len(target)
    return max(2, min(5, smallest // 2))


def _check_names(raw: pd.DataFrame, wishes: Wishes) -> None:
    said = [(what, name) for what, name in wishes.said() if name is not None]
    for what, name in said:
        if name not in raw.columns:
            raise UnknownName(
                f"--{what}: no column {name!r} in the table; {expected_one_of(name, map(str, raw.columns))}"
            )
    names = [name for _, name in said]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise UnknownName(
            f"each column has one role; {doubled[0]!r} was given several of "
            f"{[f'--{what}' for what, name in said if name == doubled[0]]}."
        )


def _check_time(looks: Mapping[str, Look], wishes: Wishes) -> None:
    if wishes.time and looks[wishes.time].kind not in ("date", "number"):
        said = "; ".join(looks[wishes.time].notes)
        raise SourceError(
            f"--time {wishes.time!r} must hold dates or numbers; its cells are of kind "
            f"{looks[wishes.time].kind!r}{f' ({said})' if said else ''}."
        )


def _columns(
    rows: pd.DataFrame, looks: Mapping[str, Look], decided: Mapping[str, Decision], wishes: Wishes
) -> dict[str, Column]:
    columns = {}
    for name in map(str, rows):
        role = "target" if name == wishes.target else decided[name].decision
        required = role != "ignored" and (not rows[name].isna().any() or role in ("target", "time", "group"))
        private = role != "target" and bool(PRIVATE.search(name)) and rows[name].nunique() > bounds.MAX_SET
        classes = question.order_classes(rows[name]) if role == "target" and looks[name].kind == "category" else ()
        columns[name] = looks[name].column.model_copy(
            update={
                "role": role,
                "required": required,
                "private": private,
                "classes": classes,
                "unreadable": "warning" if looks[name].kind in ("number", "boolean", "date") else "critical",
                "description": "" if private or role == "ignored" else _describe(rows[name], looks[name]),
            }
        )
    row = _example_row(rows, columns)
    return {
        name: column.model_copy(update={"example": _example(rows[name].iloc[row], column)})
        for name, column in columns.items()
    }


def _describe(values: pd.Series, found: Look) -> str:
    known = values.dropna()
    if known.empty or found.kind in ("boolean", "text"):
        return ""
    if found.kind == "category":
        return f"One of {known.nunique()} values."
    form = ".6g" if found.kind == "number" else "%Y-%m-%d"
    low, high = format(known.min(), form), format(known.max(), form)
    return f"From {low} to {high} when the contract was suggested."


def _example_row(rows: pd.DataFrame, columns: Mapping[str, Column]) -> int:
    """Return the position of one real row, of the first thousand the one with the fewest gaps."""
    shown = [name for name, column in columns.items() if column.role != "ignored"]
    return int(rows[shown].iloc[:1000].isna().sum(axis=1).to_numpy().argmin())


def _example(value: Any, column: Column) -> str | float | bool | None:
    if column.role == "ignored" or pd.isna(value):
        return None
    if column.private and column.kind in ("category", "text"):
        return "example"
    match column.kind:
        case "boolean":
            return bool(value)
        case "number":
            return float(value)
        case "date":
            return str(value.date().isoformat() if value == value.normalize() else value.isoformat())
    return str(value)


def _dump(rows: pd.DataFrame, columns: Mapping[str, Column]) -> str:
    rules = bounds.of_table(len(rows))
    for name, column in columns.items():
        rules += bounds.of_column(rows[name], column, name) if column.role != "ignored" else []
    shown = {
        name: {"kind": column.kind, "role": column.role, **column.model_dump(exclude_defaults=True, mode="json")}
        for name, column in columns.items()
    }
    for entry in shown.values():
        if isinstance(entry.get("example"), float) and entry["example"].is_integer():
            entry["example"] = int(entry["example"])
    suite = {"name": "rows", "meta": {"columns": shown}, "expectations": rules}
    return json.dumps(suite, indent=2, ensure_ascii=False) + "\n"


def _split(decided: Mapping[str, Decision]) -> Literal["random", "group", "time"]:
    found = {decision.decision for decision in decided.values()}
    return "time" if "time" in found else "group" if "group" in found else "random"


def _max_quarantine(rows: pd.DataFrame, columns: Mapping[str, Column]) -> float:
    """Leave room for rows without a target, time or group, half as many again."""
    needed = [name for name, column in columns.items() if column.required]
    share = float(rows[needed].isna().any(axis=1).mean())
    return max(0.05, min(1.0, np.ceil(150 * share) / 100).item() if share > 0.03 else 0.05)

"""Tell from the target's cells what is asked: one of two classes, one of several, or a number."""

import numpy as np
import pandas as pd

from lockstep import plugins
from lockstep.contract.model import Column
from lockstep.contract.read import read_cells
from lockstep.errors import FitError
from lockstep.steps.cells import Look

MAX_CODES = 10
"""A target of more whole numbers is a quantity."""
POSITIVE = ("yes", "true", "1", "1.0", "y", "t", "positive", "pos")


def choose(cells: pd.Series, found: Look, asked: str | None) -> tuple[str, str, Look]:
    """Return the problem, why, and how the target is read for it.

    Raises
    ------
    FitError
        The target is not of the kind that the problem asks for.
    """
    as_classes = Look(Column(kind="category", missing=found.column.missing), found.notes)
    labels = read_cells(cells, as_classes.column)
    problem, why = (asked, "as asked") if asked else _infer(read_cells(cells, found.column), found, labels)
    if "number" not in plugins.load("problems", problem).KINDS:
        return problem, f"{problem}: {why}", as_classes
    if found.kind != "number":
        example = labels.dropna().iloc[0] if labels.notna().any() else ""
        raise FitError(
            f"target {cells.name!r} must be a number for problem {problem!r}; it holds {found.kind} cells "
            f"such as {example!r}."
        )
    return problem, f"{problem}: {why}", found


def order_classes(labels: pd.Series) -> tuple[str, ...]:
    """Return the classes; of two the positive one last: a yes, else the rarer."""
    counts = labels.value_counts()
    names = sorted(map(str, counts.index))
    if len(names) != 2:
        return tuple(names)
    said = [name for name in names if name.lower() in POSITIVE]
    positive = said[0] if len(said) == 1 else min(reversed(names), key=lambda name: counts[name])
    return tuple(sorted(names, key=lambda name: name == positive))


def _infer(values: pd.Series, found: Look, labels: pd.Series) -> tuple[str, str]:
    n_distinct = int(labels.nunique())
    if n_distinct <= 2:
        return "binary", f"{n_distinct} values, {sorted(labels.dropna().unique())}"
    if found.kind == "date":
        raise FitError(
            f"target {values.name!r} holds dates; nothing here predicts a date. Make a number of it, such "
            "as days until then."
        )
    if found.kind != "number":
        return "multiclass", f"{n_distinct} values that are no numbers"
    known = np.sort(values.dropna().unique())
    if (known % 1 != 0).any():
        return "regression", f"numbers with a fraction, {n_distinct} different"
    span = f"whole numbers from {known[0]:.0f} to {known[-1]:.0f}"
    if len(known) > MAX_CODES:
        return "regression", f"{span}, {n_distinct} different"
    if known[0] in (0, 1) and len(known) == known[-1] - known[0] + 1:
        return "multiclass", (
            f"{span}, counted from {known[0]:.0f} like codes of classes; if they are a quantity, "
            "give --problem regression"
        )
    return "regression", (
        f"{span}, not counted from 0 or 1, so a scale rather than codes; if they are classes, give --problem multiclass"
    )

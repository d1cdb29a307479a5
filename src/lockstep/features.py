"""Run the project's own features, ``src/features.py``, on a table and on one row.

A feature is a plain function: its name is the feature, its arguments are the columns it needs, arrays in and an
array of numbers out, NaN for missing. Numbers and booleans arrive as float64, dates as ``datetime64[us]``, categories
and texts as arrays of ``str`` or None. An infinite result counts as missing, at both doors.
"""

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lockstep.contract import Contract
from lockstep.contract.rules import Value
from lockstep.errors import FeatureError, expected_one_of

if TYPE_CHECKING:
    import pandas as pd

FILE = "src/features.py"
N_PROBED = 20

Array = NDArray[Any]


@dataclass(frozen=True)
class Feature:
    """One function of the project's."""

    name: str
    columns: tuple[str, ...]
    compute: Callable[..., Array]


class Features:
    """The project's features, in the order of the file."""

    def __init__(self, features: tuple[Feature, ...], kinds: Mapping[str, str]) -> None:
        self._features = features
        self._kinds = {name: kinds[name] for feature in features for name in feature.columns}
        self.names = tuple(feature.name for feature in features)

    def of_table(self, rows: "pd.DataFrame") -> dict[str, Array]:
        """Compute every feature on whole columns; arrays of shape (n_rows,), float64.

        Raises
        ------
        FeatureError
            A function raised, or returned something other than one number a row.
        """
        return self._compute({name: _column(rows[name]) for name in self._kinds}, len(rows))

    def of_row(self, row: Mapping[str, Value]) -> dict[str, float]:
        """Compute every feature on one row, through arrays of length one."""
        if not self._features:
            return {}
        values = {name: _cell(row[name], kind) for name, kind in self._kinds.items()}
        return {name: float(result[0]) for name, result in self._compute(values, 1).items()}

    def check(self, rows: "pd.DataFrame") -> None:
        """Refuse a feature that changes its input, or answers differently for a row in other company.

        Computes every second row without the others, the others without them, and up to 20 rows, evenly spread, alone.

        Raises
        ------
        FeatureError
            Naming the feature and the row.
        """
        arrays = {name: _column(rows[name]) for name in self._kinds}
        before = {name: array.copy() for name, array in arrays.items()}
        whole = self._compute(arrays, len(rows))
        for name, array in arrays.items():
            if not _same(array, before[name]):
                raise FeatureError(f"{FILE}: a feature changes its input {name!r}; work on a copy.")
        for first in (0, 1):
            self._refuse_peeking(before, whole, slice(first, len(rows), 2), "in half of it")
        for i in np.unique(np.linspace(0, len(rows) - 1, min(N_PROBED, len(rows))).astype(int)):
            self._refuse_peeking(before, whole, slice(i, i + 1, 1), "alone")

    def _refuse_peeking(self, arrays: Mapping[str, Array], whole: Mapping[str, Array], part: slice, where: str) -> None:
        taken = range(part.start, part.stop, part.step)
        apart = self._compute({name: array[part].copy() for name, array in arrays.items()}, len(taken))
        for name, result in whole.items():
            together = result[part]
            differs = np.flatnonzero((together != apart[name]) & ~(np.isnan(together) & np.isnan(apart[name])))
            if len(differs):
                i = differs[0]
                raise FeatureError(
                    f"{FILE}: {name!r} must give each row the same value alone as in the table; row {taken[i]} gives "
                    f"{together[i]} in the table and {apart[name][i]} {where}. Does it look at its neighbours?"
                )

    def _compute(self, values: Mapping[str, Array], n_rows: int) -> dict[str, Array]:
        computed = {}
        for feature in self._features:
            arguments = [values[name] for name in feature.columns]
            try:
                with np.errstate(all="ignore"):
                    result = np.asarray(feature.compute(*arguments), dtype=np.float64)
            except Exception as error:  # the project's own code may raise anything; name it
                raise FeatureError(f"{FILE}: {feature.name!r} failed: {type(error).__name__}: {error}") from error
            if result.shape != (n_rows,):
                raise FeatureError(
                    f"{FILE}: {feature.name!r} must return one number a row, shape ({n_rows},); got {result.shape}."
                )
            computed[feature.name] = np.where(np.isfinite(result), result, np.nan)
        return computed


def load(source: str, contract: Contract) -> Features:
    """Run the source of ``src/features.py`` and collect its public functions.

    Raises
    ------
    FeatureError
        It does not run, a function asks for something that is not an input, or takes a column's name.
    """
    module = types.ModuleType("project_features")
    try:
        exec(compile(source, FILE, "exec"), module.__dict__)
    except Exception as error:  # the project's own code may raise anything; name it
        raise FeatureError(f"{FILE} does not run: {type(error).__name__}: {error}") from error
    found = [_feature(name, value, contract) for name, value in vars(module).items() if _is_public(name, value)]
    return Features(tuple(found), {name: column.kind for name, column in contract.columns.items()})


def _is_public(name: str, value: Any) -> bool:
    """Say whether a name of the file is a feature: a function written there, its name without an underscore."""
    within = getattr(value, "func", getattr(value, "pyfunc", value))  # of functools.partial, of numpy.vectorize
    written = inspect.unwrap(within) if callable(within) else within
    own = inspect.isfunction(written) and written.__code__.co_filename == FILE and not name.startswith("_")
    if own and not inspect.isfunction(value):
        raise FeatureError(f"{FILE}: {name!r} must be a plain function; it is wrapped as a {type(value).__name__}.")
    return own


def _feature(name: str, function: Callable[..., Array], contract: Contract) -> Feature:
    if name in contract.columns:
        raise FeatureError(f"{FILE}: {name!r} is already a column of the contract; give the feature another name.")
    columns = tuple(inspect.signature(function).parameters)
    for column in columns:
        if column not in contract.inputs:
            raise FeatureError(
                f"{FILE}: {name!r} asks for {column!r}, which is no input; {expected_one_of(column, contract.inputs)}"
            )
    if not columns:
        raise FeatureError(f"{FILE}: {name!r} must take at least one column; a leading underscore hides a helper.")
    return Feature(name, columns, function)


def _column(values: "pd.Series") -> Array:
    if values.dtype.kind in "fM":
        return np.array(values.to_numpy())
    return np.array([None if value != value else value for value in values.to_numpy(dtype=object)], dtype=object)


def _cell(value: Value, kind: str) -> Array:
    match kind:
        case "number" | "boolean":
            return np.array([np.nan if value is None else value], dtype=np.float64)
        case "date":
            return np.array([np.datetime64("NaT") if value is None else value], dtype="datetime64[us]")
    return np.array([value], dtype=object)


def _same(a: Array, b: Array) -> bool:
    if a.dtype == object:
        return bool(all(x == y for x, y in zip(a, b, strict=True)))
    return bool(np.array_equal(a, b, equal_nan=True))

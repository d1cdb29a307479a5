"""Turn rows into numbers: one fitted object with a frame door and a request door that agree to the last bit.

Each input becomes one or more float64 columns: numbers and booleans as they are, categories as codes of a vocabulary
learned on train, dates as parts; the project's features follow. Missing is NaN everywhere; a category that is not in
the vocabulary has a code of its own, one past the last. Texts reach the matrix only through a feature. The state is
JSON that a person can read.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lockstep.contract import Contract
from lockstep.contract.rules import Value

if TYPE_CHECKING:
    import pandas as pd

MAX_VOCABULARY = 200
"""Categories kept, the most frequent first; HistGradientBoosting takes 255 codes at most."""
MICROSECONDS_A_DAY = 86_400_000_000
EPOCH = datetime(1970, 1, 1)

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """One column of the matrix."""

    name: str
    source: str
    """The column of the contract, or the feature, that it comes from."""
    kind: Literal["number", "category", "date", "feature"]
    part: str = ""
    """Of a date: days, year, month, day, weekday, hour."""
    vocabulary: tuple[str, ...] = ()
    """Of a category: its values in the order of their codes."""
    other_seen: bool = False
    """Whether train held categories outside the vocabulary, so that a model knows their code."""

    @property
    def n_codes(self) -> int:
        """Number of known categories; the code of all others. Zero for numbers."""
        return len(self.vocabulary)


class Encoder:
    """The fitted mapping of rows to a float64 matrix."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)
        self.names = tuple(part.name for part in self.parts)
        self._codes = [{value: float(code) for code, value in enumerate(part.vocabulary)} for part in self.parts]

    def encode_table(self, rows: "pd.DataFrame") -> Matrix:
        """Encode a table that holds the inputs, typed, and the features; shape (n_rows, n_parts)."""
        matrix = np.empty((len(rows), len(self.parts)), dtype=np.float64)
        for j, part in enumerate(self.parts):
            column = rows[part.source]
            if part.kind == "category":
                codes = column.map(self._codes[j]).to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
                codes[np.isnan(codes) & column.notna().to_numpy()] = part.n_codes
                matrix[:, j] = codes
            elif part.kind == "date":
                matrix[:, j] = _date_column(column, part.part)
            else:
                matrix[:, j] = column.to_numpy(dtype=np.float64)
        return matrix

    def encode_rows(self, rows: Iterable[Mapping[str, Value]]) -> Matrix:
        """Encode typed rows, the features among their values; shape (n_rows, n_parts)."""
        return np.array([self._row(row) for row in rows], dtype=np.float64).reshape(-1, len(self.parts))

    def _row(self, row: Mapping[str, Value]) -> list[float]:
        numbers = []
        for part, codes in zip(self.parts, self._codes, strict=True):
            value: Any = row[part.source]
            if value is None:
                numbers.append(math.nan)
            elif part.kind == "category":
                numbers.append(codes.get(value, float(part.n_codes)))
            elif part.kind == "date":
                numbers.append(_date_value(value, part.part))
            else:
                numbers.append(value)
        return numbers

    def dumps(self) -> str:
        """Return the state as JSON; equal encoders give equal bytes."""
        return json.dumps({"parts": [asdict(part) for part in self.parts]}, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def loads(cls, text: str) -> "Encoder":
        """Build an encoder from its JSON."""
        parts = json.loads(text)["parts"]
        return cls([Part(**{**part, "vocabulary": tuple(part["vocabulary"])}) for part in parts])


def fit(rows: "pd.DataFrame", contract: Contract, features: Sequence[str]) -> Encoder:
    """Learn the encoding of ``rows``, which are training rows alone.

    A vocabulary holds the most frequent 200 categories, in alphabetical order. A date gives only the parts that vary.
    """
    parts: list[Part] = []
    for name in contract.inputs:
        kind = contract.columns[name].kind
        if kind == "category":
            parts.append(_category(rows[name], name))
        elif kind == "date":
            parts += _date_parts(rows[name], name)
        elif kind != "text":
            parts.append(Part(name, name, "number"))
    parts += [Part(name, name, "feature") for name in features]
    return Encoder(parts)


def _category(column: "pd.Series", name: str) -> Part:
    counts = column.value_counts()
    ranked = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    kept = tuple(sorted(str(value) for value, _ in ranked[:MAX_VOCABULARY]))
    return Part(name, name, "category", vocabulary=kept, other_seen=len(ranked) > MAX_VOCABULARY)


def _date_parts(column: "pd.Series", name: str) -> list[Part]:
    parts = [Part(f"{name}.{part}", name, "date", part=part) for part in _DATE_COLUMNS]
    days, *others = parts
    return [days, *(part for part in others if len(np.unique(_known(_date_column(column, part.part)))) > 1)]


def _known(values: Matrix) -> Matrix:
    return values[~np.isnan(values)]


_DATE_COLUMNS = ("days", "year", "month", "day", "weekday", "hour")


def _date_column(column: "pd.Series", part: str) -> Matrix:
    if part == "days":
        since = column.to_numpy(dtype="datetime64[us]").astype(np.int64)
        return np.where(column.isna(), np.nan, since / MICROSECONDS_A_DAY)
    name = "day_of_week" if part == "weekday" else part  # the shorter name is deprecated in pandas 3.1
    return np.asarray(getattr(column.dt, name).to_numpy(dtype=np.float64, na_value=np.nan))


def _date_value(value: datetime, part: str) -> float:
    if part == "days":
        since = value - EPOCH
        # Rounded to a float before it is divided, as numpy does; Python's own division of integers rounds once.
        whole = since.days * MICROSECONDS_A_DAY + since.seconds * 1_000_000 + since.microseconds
        return float(whole) / MICROSECONDS_A_DAY
    return float(value.weekday() if part == "weekday" else getattr(value, part))

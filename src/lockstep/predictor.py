"""The predictor: features, encoder, engine and decision as one object; what is evaluated is what is served.

On disk it is a folder, sealed by its manifest: ``predictor.json`` (problem, family, classes, decision),
``encoder.json``, ``features.py``, ``contract.json`` and the engine's file. Its digest is that of the manifest.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from lockstep import contract as contracts
from lockstep import digest, features, plugins
from lockstep.contract import Contract
from lockstep.contract.rules import Value
from lockstep.encoder import Encoder, Matrix
from lockstep.errors import LockstepError, UnknownName
from lockstep.families import Array, Contributions, Engine, Fitted, Task

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Card:
    """What ``predictor.json`` holds."""

    problem: str
    family: str
    classes: tuple[str, ...]
    decision: dict[str, float]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Predictions:
    """Answers to a number of rows."""

    values: Sequence[Any]
    """A class's name, or a number, for each row."""
    output: Array
    """Probabilities (n_rows, n_classes), or the numbers (n_rows,)."""

    def told(self, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Return them as the service answers them: ``prediction``, and ``probabilities`` where there are classes."""
        if not classes:
            return [{"prediction": value} for value in self.values]
        return [
            {"prediction": value, "probabilities": dict(zip(classes, chances, strict=True))}
            for value, chances in zip(self.values, self.output.tolist(), strict=True)
        ]


class Predictor:
    """Rows go in, answers come out."""

    def __init__(self, card: Card, contract: Contract, encoder: Encoder, features_source: str, engine: Engine) -> None:
        self.card, self.contract, self.encoder = card, contract, encoder
        self._features_source, self._engine = features_source, engine
        self._features = features.load(features_source, contract)
        self._problem = plugins.load("problems", card.problem)
        self.digest = ""

    @cached_property
    def task(self) -> Task:
        """What the engine is asked."""
        return Task(len(self.card.classes), self.encoder.parts)

    @cached_property
    def _family(self) -> ModuleType:
        return plugins.load("families", self.card.family)

    def predict_table(self, rows: "pd.DataFrame") -> Predictions:
        """Answer a table read by the contract: the frame door."""
        return self.decide(self._engine.predict(self.encode_table(rows)))

    def predict_rows(self, rows: Iterable[Mapping[str, Value]]) -> Predictions:
        """Answer rows read by the contract, no frame made of them: the request door."""
        return self.decide(self._engine.predict(self.encode_rows(rows)))

    def contributions(self, rows: Iterable[Mapping[str, Value]]) -> Contributions:
        """Return what each column of the matrix adds to the raw scores of rows, the sums checked.

        Raises
        ------
        UnknownName
            The family explains nothing.
        LockstepError
            They do not sum to the raw scores within the family's bound.
        """
        explain, bound = getattr(self._engine, "contributions", None), getattr(self._family, "EXPLAINED", None)
        if explain is None or bound is None:
            raise UnknownName(
                f"family {self.card.family!r} explains nothing: its file must give EXPLAINED, and its engine "
                "contributions(X), as src/lockstep/families/__init__.py has them."
            )
        found: Contributions = explain(self.encode_rows(rows))
        if not found.gap <= bound:  # NaN is not
            raise LockstepError(
                f"contributions by family {self.card.family!r} must sum to the raw score within {bound:g} of its size; "
                f"they are {found.gap:g} off, and not given."
            )
        return found

    def encode_table(self, rows: "pd.DataFrame") -> Matrix:
        """Return the matrix of a table, features computed."""
        return self.encoder.encode_table(rows.assign(**self._features.of_table(rows)))

    def encode_rows(self, rows: Iterable[Mapping[str, Value]]) -> Matrix:
        """Return the matrix of rows, features computed."""
        if not self._features.names:
            return self.encoder.encode_rows(rows)
        return self.encoder.encode_rows([{**row, **self._features.of_row(row)} for row in rows])

    def decide(self, output: Array) -> Predictions:
        """Turn the engine's output into answers, by the decision chosen on train."""
        decided: NDArray[Any] = self._problem.decide(output, self.card.decision)
        if self.card.classes:
            return Predictions([self.card.classes[code] for code in decided], output)
        return Predictions(decided.tolist(), output)


def save(folder: Path, card: Card, contract: Contract, encoder: Encoder, features_source: str, fitted: Fitted) -> str:
    """Write a predictor's folder and seal it; return its digest."""
    folder.mkdir(parents=True)
    (folder / "predictor.json").write_text(digest.dump_json(asdict(card)), "utf-8")
    (folder / "encoder.json").write_text(encoder.dumps(), "utf-8")
    (folder / "features.py").write_text(features_source, "utf-8")
    (folder / "contract.json").write_bytes(contract.content)
    fitted.save(folder)
    return digest.seal(folder)


def load(folder: Path, expected: str | None = None) -> Predictor:
    """Verify every byte below ``folder``, then read it.

    Raises
    ------
    IntegrityError
        Its bytes are not those that its manifest, or ``expected``, names.
    """
    found = digest.verify(folder, expected)
    card = Card(**_tupled(json.loads((folder / "predictor.json").read_text("utf-8"))))
    encoder = Encoder.loads((folder / "encoder.json").read_text("utf-8"))
    contract = contracts.loads((folder / "contract.json").read_bytes())
    engine = plugins.load("families", card.family).load(folder, Task(len(card.classes), encoder.parts))
    predictor = Predictor(card, contract, encoder, (folder / "features.py").read_text("utf-8"), engine)
    predictor.digest = found
    return predictor


def _tupled(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "classes": tuple(values["classes"])}

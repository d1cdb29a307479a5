"""The model that MLflow's registry holds: a predictor's folder, the code that answers with it, and how it is loaded.

MLflow imports this module from the model's own ``code`` folder and calls :func:`_load_pyfunc`. Nothing is pickled.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockstep import digest, predictor
from lockstep.errors import IntegrityError
from lockstep.service import released

if TYPE_CHECKING:
    import pandas as pd

CARD = "model.json"
"""Beside the predictor: its digest, and that of the code."""
PREDICTOR = "predictor"
ALSO = ("answers.py", "pyfunc.py")


class Model:
    """Tables go in, answers come out: `lockstep predict` as MLflow calls it."""

    def __init__(self, folder: Path) -> None:
        card = digest.read_object(folder / CARD)
        here = Path(__file__).parent
        if code_digest(here) != card["code"]:
            raise IntegrityError(
                f"the model must answer by its own code, {card['code'][:16]}; this process imported {here}, which is "
                f"{code_digest(here)[:16]}. Load the model in a new process, before anything of lockstep is imported."
            )
        self.predictor = predictor.load(folder / PREDICTOR, card["predictor"])

    def predict(self, rows: "pd.DataFrame") -> "pd.DataFrame":
        """Return ``prediction``, ``probability_<class>`` and ``refused`` for each row, in order."""
        from lockstep.answers import answer

        answers = answer(rows.reset_index(drop=True), self.predictor)  # a label may stand more than once
        answers.index = rows.index
        unrefused = answers["refused"].isna()
        return answers.assign(refused=answers["refused"].astype(object).mask(unrefused, None))  # null in JSON, not NaN


def _load_pyfunc(folder: str) -> Model:
    """Load a model, every byte of it verified; named as MLflow wants it.

    Raises
    ------
    IntegrityError
        Its bytes changed, or other code than its own was imported.
    """
    return Model(Path(folder))


def card(named: str, package: Path) -> dict[str, Any]:
    """Return what ``model.json`` holds for a predictor and the code of ``package``."""
    return {"predictor": named, "code": code_digest(package)}


def shipped(package: Path) -> list[str]:
    """Return the files of ``package`` that a model carries, as sorted relative names."""
    return sorted([*released.shipped(package), *ALSO])


def code_digest(package: Path) -> str:
    """Return one digest of all the files that a model carries."""
    return digest.of_bytes(json.dumps({name: digest.of_file(package / name) for name in shipped(package)}).encode())

"""Real rows through a built bento over HTTP are answered with evaluate's predictions, to the last bit."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline"))

import project

from lockstep import contract as contracts
from lockstep import replay
from lockstep.digest import read_object
from lockstep.encoder import Encoder

N_ROWS = 5_000
SMALL = {"tune": {"trials": 1}, "split": {"folds": 2}, "evaluate": {"resamples": 50}, "package": {"replay_rows": 20}}
ADULT = "age workclass fnlwgt education education_num marital_status occupation relationship race sex gain loss hours "
UNSEEN = "never heard of "


class Table(NamedTuple):
    """A real table, and what becomes of it."""

    read: Callable[[Callable[[str], Path]], pd.DataFrame]
    target: str
    family: str
    test: float
    """Share of the rows that are test rows: at least 5,000 of them."""
    holey: tuple[str, ...]
    """Columns that lose some values; others are as they come."""
    new: tuple[str, ...]
    """Columns in which some rows hold a category of their own."""


def telco_churn(table: Callable[[str], Path]) -> pd.DataFrame:
    return pd.read_csv(table("telco_churn/Telco-Customer-Churn.csv"), dtype="str", keep_default_na=False)


def adult_uci(table: Callable[[str], Path]) -> pd.DataFrame:
    """Put some rows of both files together; labels of the second end in a dot."""
    names = [*ADULT.split(), "country", "income"]
    parts = [
        pd.read_csv(table(f"adult_uci/{name}"), header=None, names=names, dtype="str", keep_default_na=False)
        for name in ("adult.data", "adult.test")
    ]
    rows = pd.concat(parts).sample(22_000, random_state=8, ignore_index=True)
    return rows.assign(income=rows["income"].str.strip().str.rstrip("."))


TABLES = {
    "telco_churn": Table(telco_churn, "Churn", "xgboost", 0.75, ("MonthlyCharges", "Contract"), ("PaymentMethod",)),
    "adult_uci": Table(adult_uci, "income", "hist_gradient", 0.25, ("age",), ("education",)),
}


@pytest.fixture(params=TABLES)
def line(request: pytest.FixtureRequest, table: Callable[[str], Path], tmp_path: Path) -> Path:
    """Run a new project's line on a real table, with holes and new categories in it; return its folder."""
    case: Table = TABLES[request.param]
    rows, rng = case.read(table), np.random.default_rng(8)
    for name in case.holey:
        rows.loc[rng.random(len(rows)) < 0.02, name] = ""
    for name in case.new:
        chosen = rng.random(len(rows)) < 0.01
        rows.loc[chosen, name] = [f"{UNSEEN}{i}" for i in range(chosen.sum())]
    rows.to_csv(tmp_path / "table.csv", index=False)
    root = tmp_path / request.param
    words = ("--table", f"{tmp_path}/table.csv", "--target", case.target)
    project.said(project.run(project.REPOSITORY, "lockstep", "new", str(root), *words))
    project.change_params(root, {**SMALL, "families": [case.family]})
    project.change_params(root, {"split": {"test": case.test}})
    project.said(project.repro(root))
    return root


def holes(rows: list[dict[str, Any]]) -> int:
    return sum(value is None for row in rows for value in row.values())


def unseen(root: Path, rows: list[dict[str, Any]]) -> int:
    """Count the values of categories that train never held."""
    parts = Encoder.loads((root / "models" / "predictor" / "encoder.json").read_text()).parts
    known = {part.source: part.vocabulary for part in parts if part.kind == "category"}
    return sum(row[name] is not None and row[name] not in words for row in rows for name, words in known.items())


def test_5000_real_rows_are_answered_over_http_as_evaluate_answered_them(
    line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged, sample = read_object(line / "models" / "bento.json"), replay.read_sample(line, N_ROWS)
    assert len(sample.rows) == N_ROWS
    assert holes(sample.rows) > 50
    assert unseen(line, sample.rows) > 20
    assert contracts.load(line).target not in sample.rows[0]

    monkeypatch.setenv("BENTOML_HOME", str(line / ".lockstep" / "bento"))
    with replay.serving(str(packaged["bento"])) as port:
        replay.compare(port, sample, str(packaged["predictor"]))
        alone = replay.Sample(sample.names[::25], sample.rows[::25], sample.expected[::25])
        monkeypatch.setattr(replay, "BATCH", 1)
        replay.compare(port, alone, str(packaged["predictor"]))

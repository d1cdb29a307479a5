"""Measure one row through the request door and the engine, in this process, beside a scikit-learn pipeline."""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import numpy as np
import pandas as pd

from lockstep import contract as contracts
from lockstep import encoder, plugins, predictor
from lockstep.contract import Contract
from lockstep.contract.read import read
from lockstep.contract.request import Door
from lockstep.families import Task
from lockstep.predictor import Card
from lockstep.steps.suggest import suggest

N_NUMBERS, N_CATEGORIES, N_TREES = 12, 8, 200
N_TRAIN = 5_000
FAMILIES = ("linear", "hist_gradient", "xgboost")
P50_MS = 0.5
"""Asked of xgboost."""


def main() -> None:
    """Fit each family once, and send it single rows."""
    parser = measure.arguments(__doc__)
    parser.add_argument("--rows", type=int, default=2_000, help="rows sent to each, one at a time")
    given = parser.parse_args()
    rows = draw(N_TRAIN + given.rows)
    contract = contracts.loads(suggest(rows, "y", problem="binary").contract.encode())
    train, sent = rows[:N_TRAIN], as_requests(rows[N_TRAIN:].drop(columns="y"))
    with measure.scratch() as folder:
        measured = [_row(family, door_of(family, train, contract, folder), sent) for family in FAMILIES]
    measured.append(_row("scikit-learn's pipeline with XGBoost, for comparison", pipeline_of(train), sent))
    measure.publish("door", measured, write=given.write)


def draw(n_rows: int) -> pd.DataFrame:
    """Draw a table with gaps, twelve numbers and eight categories, and a target of two classes."""
    rng = np.random.default_rng(11)
    numbers = {f"number_{j}": np.round(rng.gamma(2.0, 10.0 * (j + 1), n_rows), 3) for j in range(N_NUMBERS)}
    words = {f"category_{j}": rng.choice([f"c{j}_{k}" for k in range(3 + 2 * j)], n_rows) for j in range(N_CATEGORIES)}
    rows = pd.DataFrame({**numbers, **words})
    score = rows["number_0"] / 10 - np.log(rows["number_1"]) + (rows["category_0"] == "c0_1") + rng.normal(0, 1, n_rows)
    for name in ("number_2", "number_5", "category_3"):
        rows[name] = rows[name].mask(rng.random(n_rows) < 0.05)
    return rows.assign(y=np.where(score > score.median(), "yes", "no"))


def as_requests(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON gives them."""
    return [{name: None if value != value else value for name, value in row.items()} for row in rows.to_dict("records")]


def door_of(family: str, train: pd.DataFrame, contract: Contract, folder: Path) -> Callable[[dict[str, Any]], Any]:
    """Fit a family of 200 trees, write it, load it as the service does, and return its way for one row."""
    module, problem = plugins.load("families", family), plugins.load("problems", "binary")
    table = read(train, contract).rows
    encoding = encoder.fit(table, contract, ())
    classes = problem.classes(table["y"], ())
    X, y = encoding.encode_table(table), problem.encode_target(table["y"], classes)
    settings = module.defaults(2) | ({} if family == "linear" else {"rounds": N_TREES})
    fitted = module.fit(X, y, Task(2, encoding.parts), settings, seed=7, threads=1)
    card = Card("binary", family, classes, problem.choose(y, fitted.predict(X), None), settings)
    predictor.save(folder / family, card, contract, encoding, "", fitted)
    served, door = predictor.load(folder / family), Door(contract)

    def answer(row: dict[str, Any]) -> Any:
        checked = door.check(row)
        if checked.faults:
            raise ValueError(checked.faults)
        return served.predict_rows([checked.values])

    return answer


def pipeline_of(train: pd.DataFrame) -> Callable[[dict[str, Any]], Any]:
    """Return the way of one row through what is usually served, which takes a frame of it."""
    model, names = fit_pipeline(train), train.columns.drop("y")
    return lambda row: model.predict_proba(pd.DataFrame([row], columns=names))


def fit_pipeline(train: pd.DataFrame) -> Any:
    """Fit what is usually served: a ColumnTransformer before XGBoost."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from xgboost import XGBClassifier

    inputs = train.drop(columns="y")
    numbers = [name for name in inputs if name.startswith("number")]
    words = [name for name in inputs if name.startswith("category")]
    prepared = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            ("words", OneHotEncoder(handle_unknown="ignore"), words),
        ]
    )
    model = make_pipeline(prepared, XGBClassifier(n_estimators=N_TREES, max_depth=6, learning_rate=0.06, n_jobs=1))
    return model.fit(inputs, train["y"] == "yes")


def _row(name: str, answer: Callable[[dict[str, Any]], Any], sent: list[dict[str, Any]]) -> measure.Row:
    taken = measure.microseconds(answer, sent)
    p50, p99 = statistics.median(taken) / 1000, statistics.quantiles(taken, n=100)[98] / 1000
    asked = name == "xgboost"
    return measure.Row(
        f"one row, {name}",
        f"p50 < {P50_MS} ms" if asked else "",
        f"p50 {p50:.3f} ms, p99 {p99:.3f} ms",
        p50 < P50_MS if asked else None,
        "python benchmarks/door.py",
    )


if __name__ == "__main__":
    main()

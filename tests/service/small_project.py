"""A project with a fitted predictor, made in a second, for tests of the service and of releases."""

import atexit
import contextlib
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lockstep import contract as contracts
from lockstep import digest, encoder, features, plugins, predictor
from lockstep.contract.read import read
from lockstep.families import Task
from lockstep.predictor import Card, Predictor
from lockstep.steps.evaluate import Judged, resample, score

REPOSITORY = Path(__file__).resolve().parents[2]
FEATURES = """
import numpy as np

def share(low, high):
    return low / high

def words(remark):
    return np.array([np.nan if text is None else float(len(text.split())) for text in remark])
"""
COLUMNS: dict[str, Any] = {
    "account": {"kind": "category", "role": "id", "example": "A0001"},
    "low": {"kind": "number", "required": True, "description": "The lower figure.", "example": 1.5},
    "high": {"kind": "number"},
    "colour": {"kind": "category", "missing": ["", "n/a"]},
    "town": {"kind": "category"},
    "active": {"kind": "boolean"},
    "opened": {"kind": "date"},
    "seen": {"kind": "date", "role": "time", "input": True},
    "remark": {"kind": "text", "private": True},
    "note": {"kind": "text", "role": "ignored"},
}
TARGETS = {"binary": "target", "multiclass": "grade", "regression": "amount"}
PAIR = {"column_A": "high", "column_B": "low", "or_equal": True, "ignore_row_if": "either_value_is_missing"}
RULES = [
    ("expect_column_values_to_match_regex", {"column": "account", "regex": "^A\\d{4}$"}, "critical"),
    ("expect_column_values_to_be_between", {"column": "low", "min_value": 0, "max_value": 1000}, "critical"),
    ("expect_column_values_to_be_between", {"column": "high", "min_value": 0, "strict_min": True}, "warning"),
    ("expect_column_values_to_be_in_set", {"column": "colour", "value_set": ["red", "green", "blue"]}, "warning"),
    ("expect_column_values_to_be_between", {"column": "opened", "min_value": "2000-01-01"}, "critical"),
    ("expect_column_value_lengths_to_be_between", {"column": "remark", "max_value": 200}, "critical"),
    ("expect_column_pair_values_a_to_be_greater_than_b", PAIR, "critical"),
    ("expect_column_values_to_be_between", {"column": "low", "max_value": 95}, "info"),
    ("expect_column_values_to_be_in_set", {"column": "town", "value_set": ["here", "there"]}, "info"),
    ("expect_table_row_count_to_be_between", {"min_value": 10}, "critical"),
]


@functools.cache
def store_folder() -> str:
    """Return the BentoML folder of this test process: BentoML remembers its own, so there can be only one."""
    folder = tempfile.mkdtemp(prefix="lockstep-store-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextlib.contextmanager
def store() -> Iterator[None]:
    """Point BentoML at the folder of this test process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", store_folder())
        patch.setenv("BENTOML_DO_NOT_TRACK", "True")
        yield


def make(root: Path, problem: str = "binary", family: str = "xgboost", *, accepted: bool = True) -> Path:
    """Write a project as the stages before ``package`` leave it."""
    shutil.copytree(
        REPOSITORY / "src" / "lockstep", root / "src" / "lockstep", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("bentofile.yaml", "requirements.lock"):
        shutil.copy(REPOSITORY / name, root / name)
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "params.yaml").write_text(f"problem: {problem}\nsource: {{kind: simulate}}\nfamilies: [{family}]\n")
    (root / features.FILE).write_text(FEATURES)
    (root / "expectations").mkdir()
    (root / contracts.FILE).write_text(json.dumps(_suite(problem)))
    rows = read(draw(300), contracts.load(root)).rows
    save_predictor(root, rows[:200], problem, family)
    evaluate(root, rows[200:], accepted=accepted)
    rows[:200].rename_axis(index="row").to_parquet(root / "data" / "train.parquet")
    return root


def draw(n_rows: int, seed: int = 3) -> pd.DataFrame:
    """Return rows as a source gives them, some values missing, the targets of all three problems among them."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 100, n_rows)
    rows = pd.DataFrame(
        {
            "account": [f"A{i:04d}" for i in range(n_rows)],
            "low": low,
            "high": low + rng.exponential(20, n_rows) + 0.1,
            "colour": rng.choice(["red", "green", "blue"], n_rows),
            "town": rng.choice(["here", "there", "far"], n_rows),
            "active": rng.choice([True, False], n_rows),
            "opened": pd.Timestamp("2020-02-29") + pd.to_timedelta(rng.integers(0, 1500, n_rows), unit="D"),
            "seen": pd.Timestamp("2024-01-01T10:30:00.25") + pd.to_timedelta(rng.integers(0, 10**6, n_rows), unit="s"),
            "remark": rng.choice(["fine", "not so good", "ça va ☂", ': "quoted" \\'], n_rows),
            "note": "dropped",
        }
    )
    score = low / 50 + (rows["colour"] == "red") * 2 + rng.normal(0, 0.5, n_rows)
    rows["target"] = np.where(score > 1.5, "yes", "no")
    for name in ("high", "colour", "opened", "remark"):
        rows[name] = rows[name].mask(rng.random(n_rows) < 0.1)
    return rows.assign(amount=score, grade=pd.cut(score, [-9, 1, 2, 9], labels=["a", "b", "c"]).astype("str"))


def save_predictor(root: Path, train: pd.DataFrame, problem: str, family: str) -> Predictor:
    """Fit quickly and write ``models/predictor``."""
    contract, ask, fitting = contracts.load(root), plugins.load("problems", problem), plugins.load("families", family)
    made = features.load(FEATURES, contract)
    encoding = encoder.fit(train, contract, made.names)
    classes = ask.classes(train[contract.target], ())[::-1]  # in no alphabetical order
    task = Task(len(classes), encoding.parts)
    X = encoding.encode_table(train.assign(**made.of_table(train)))
    y = ask.encode_target(train[contract.target], classes)
    settings = {**fitting.defaults(len(classes)), **({} if family == "linear" else {"rounds": 20})}
    fitted = fitting.fit(X, y, task, settings, seed=1, threads=1, valid=None)
    card = Card(problem, family, classes, ask.choose(y, fitted.predict(X), None), settings)
    shutil.rmtree(root / "models" / "predictor", ignore_errors=True)
    predictor.save(root / "models" / "predictor", card, contract, encoding, FEATURES, fitted)
    return predictor.load(root / "models" / "predictor")


def evaluate(root: Path, test: pd.DataFrame, *, accepted: bool = True) -> None:
    """Write the test rows, their predictions through the frame door, their scores, and a verdict."""
    found = predictor.load(root / "models" / "predictor")
    answers = found.predict_table(test)
    table = pd.DataFrame({"row": test.index.to_numpy(), "prediction": answers.values})
    for code, name in enumerate(found.card.classes):
        table[f"probability_{name}"] = answers.output[:, code]
    for folder in ("data", "reports"):
        (root / folder).mkdir(exist_ok=True)
    test.rename_axis(index="row").to_parquet(root / "data" / "test.parquet")
    table.to_parquet(root / "reports" / "predictions.parquet")
    gate = {"gate": "better_than_trivial", "passed": accepted, "reason": "it is better by 0.1.", "figures": {}}
    verdict = {
        "accepted": accepted,
        "problem": found.card.problem,
        "family": found.card.family,
        "predictor": found.digest,
        "gates": [gate],
    }
    (root / "reports" / "verdict.json").write_text(digest.dump_json(verdict))
    (root / "reports" / "metrics.json").write_text(digest.dump_json(_scores(found, test, answers.output)))


def _scores(found: Predictor, test: pd.DataFrame, output: Any) -> dict[str, float]:
    """Score the predictor beside one that knows no input, which stands for the linear one too."""
    ask = plugins.load("problems", found.card.problem)
    y = ask.encode_target(test[found.contract.target], found.card.classes)
    constant = ask.trivial(y, len(found.card.classes))
    same = np.array(np.broadcast_to(constant, (len(y), *constant.shape)))
    trivial = Judged(same, np.full(len(y), np.argmax(constant)) if found.card.classes else same)
    models = {"": Judged(output, ask.decide(output, found.card.decision)), "trivial_": trivial, "linear_": trivial}
    return score(ask, y, models, resample(len(y), 20, seed=1))


def environment(root: Path) -> dict[str, str]:
    """Return an environment in which Python runs the project's code."""
    return {**os.environ, "PYTHONPATH": str(root / "src")}


def _suite(problem: str) -> dict[str, Any]:
    target = {"kind": "number" if problem == "regression" else "category", "role": "target"}
    others = {name: {"kind": "text", "role": "ignored"} for name in TARGETS.values() if name != TARGETS[problem]}
    rules = [{"type": kind, "kwargs": kwargs, "severity": severity} for kind, kwargs, severity in RULES]
    return {"name": "rows", "meta": {"columns": {**COLUMNS, TARGETS[problem]: target, **others}}, "expectations": rules}

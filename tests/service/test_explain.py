"""What the service says of why: by columns of the contract and features, and never a sum that does not add up."""

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_project

from lockstep import contract as contracts
from lockstep import plugins, replay
from lockstep.contract.read import read
from lockstep.contract.request import Door
from lockstep.errors import LockstepError, UnknownName
from lockstep.families import Array, Contributions
from lockstep.predictor import Predictor
from lockstep.service.explain import explain

SOURCES = ["low", "high", "colour", "town", "active", "opened", "seen", "share", "words"]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Predictor]:
    """Return a function that fits a family on a problem."""
    roots: dict[str, Path] = {}

    def fit(problem: str, family: str) -> Predictor:
        if problem not in roots:
            roots[problem] = small_project.make(tmp_path_factory.mktemp(problem), problem, family)
        root = roots[problem]
        train = read(small_project.draw(200), contracts.load(root)).rows
        return small_project.save_predictor(root, train, problem, family)

    return fit


def typed(model: Predictor, n_rows: int = 40) -> list[Any]:
    rows = read(small_project.draw(n_rows, seed=9), model.contract).rows
    return [Door(model.contract).check(row).values for row in replay.request_rows(rows, model.contract)]


@pytest.mark.parametrize("family", plugins.names("families"))
@pytest.mark.parametrize("problem", plugins.names("problems"))
def test_every_source_of_the_matrix_is_named_and_all_sum_to_the_score(
    fitted: Callable[[str, str], Predictor], problem: str, family: str
) -> None:
    model = fitted(problem, family)
    rows, classes = typed(model), model.card.classes
    answers, bound = model.predict_rows(rows), plugins.load("families", family).EXPLAINED

    found = explain(model, rows)

    assert [one["prediction"] for one in found] == list(answers.values)
    for one, output in zip(found, answers.output.tolist(), strict=True):
        assert [raw.get("class") for raw in one["raw"]] == {0: [None], 2: [*classes[1:]]}.get(len(classes), [*classes])
        if classes:
            assert one["probabilities"] == dict(zip(classes, output, strict=True))
        for raw in one["raw"]:
            assert list(raw["contributions"]) == SOURCES
            parts = [raw["base"], *raw["contributions"].values()]
            assert sum(parts) == pytest.approx(raw["score"], abs=2 * bound * sum(map(abs, [*parts, raw["score"]])))
    scores = np.array([[raw["score"] for raw in one["raw"]] for one in found])
    raised = np.exp(scores if len(classes) > 2 else np.column_stack([np.zeros(len(scores)), scores]))
    linked = raised / raised.sum(axis=1, keepdims=True) if classes else scores[:, 0]
    np.testing.assert_allclose(linked, answers.output, rtol=1e-6, atol=1e-6)
    sizes = {name: np.mean([abs(one["raw"][-1]["contributions"][name]) for one in found]) for name in SOURCES}
    assert {"low", "colour"} == set(sorted(SOURCES, key=lambda name: -sizes[name])[:2]), "they alone make the target"


def test_parts_of_a_date_add_up_to_its_column(model: Predictor) -> None:
    rows = typed(model, 8)
    values, parts = model.contributions(rows).values[:, :, 0], model.encoder.parts
    assert sum(part.source == "opened" for part in parts) > 2
    for one, row in zip(explain(model, rows), values, strict=True):
        for name, value in one["raw"][0]["contributions"].items():
            own = [float(row[j]) for j, part in enumerate(parts) if part.source == name]
            assert value == pytest.approx(sum(own), abs=1e-15)


def test_a_row_is_explained_alone_as_among_others(model: Predictor) -> None:
    rows = typed(model)
    assert [explain(model, [row])[0] for row in rows] == explain(model, rows)
    assert explain(model, []) == []


class Silent:
    """An engine that answers and gives no reasons."""

    def predict(self, X: Array) -> Array:
        return np.full((len(X), 2), 0.5)


class Wrong(Silent):
    """An engine whose reasons do not add up, by a little or by not being numbers."""

    def __init__(self, off: float) -> None:
        self._off = off

    def contributions(self, X: Array) -> Contributions:
        values = np.ones((len(X), X.shape[1], 1))
        return Contributions(values, np.zeros(1), values.sum(axis=1) * (1 + self._off))


def with_engine(model: Predictor, engine: Any) -> Predictor:
    return Predictor(model.card, model.contract, model.encoder, small_project.FEATURES, engine)


def test_a_family_that_explains_nothing_is_named_and_still_predicts(model: Predictor) -> None:
    silent, rows = with_engine(model, Silent()), typed(model, 3)

    with pytest.raises(UnknownName, match=r"family 'xgboost' explains nothing: .* its engine contributions\(X\)"):
        explain(silent, rows)

    assert silent.predict_rows(rows).output.tolist() == [[0.5, 0.5]] * 3


def test_a_family_that_states_no_bound_explains_nothing(model: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(plugins.load("families", "xgboost"), "EXPLAINED")
    with pytest.raises(UnknownName, match="its file must give EXPLAINED"):
        explain(model, typed(model, 3))


@pytest.mark.parametrize("off", [1e-3, -1e-3, np.nan, np.inf])
def test_contributions_that_do_not_sum_to_the_score_are_not_given(model: Predictor, off: float) -> None:
    rows = typed(model, 3)
    with pytest.raises(
        LockstepError, match=r"family 'xgboost' must sum to the raw score within 0\.0001 of its size; they"
    ):
        explain(with_engine(model, Wrong(off)), rows)
    assert len(explain(with_engine(model, Wrong(1e-9)), rows)) == 3


def test_scores_that_are_all_zero_are_explained_by_nothing() -> None:
    nothing = Contributions(np.zeros((2, 3, 1)), np.zeros(1), np.zeros((2, 1)))
    assert nothing.gap == 0
    assert dataclasses.replace(nothing, raw=np.full((2, 1), 1e-300)).gap == 1


LOADED = """
import json, sys
from pathlib import Path
from lockstep import predictor
from lockstep.contract.request import Door
from lockstep.service.explain import explain
model = predictor.load(Path("models/predictor"))
found = explain(model, [Door(model.contract).check(json.loads(sys.argv[1])).values])
heavy = {"sklearn", "pandas", "shap", "optuna", "great_expectations"}
print(json.dumps([len(found[0]["raw"][0]["contributions"]), sorted(heavy & set(sys.modules))]))
"""


@pytest.mark.parametrize("family", ["linear", "hist_gradient"])
def test_explaining_loads_nothing_that_trains(fitted: Callable[[str, str], Predictor], root: Path, family: str) -> None:
    model = fitted("binary", family)
    place = shutil.copytree(root, root.parent / f"explained-{family}")
    (row,) = replay.request_rows(read(small_project.draw(1), model.contract).rows, model.contract)
    train = read(small_project.draw(200), model.contract).rows
    small_project.save_predictor(place, train, "binary", family)

    done = subprocess.run(
        [sys.executable, "-c", LOADED, json.dumps(row)],
        cwd=place,
        env=small_project.environment(place),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [len(SOURCES), []]

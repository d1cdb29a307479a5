import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
import small_project

from lockstep import contract as contracts
from lockstep import digest, predictor, release
from lockstep.contract import Contract
from lockstep.errors import ProjectError, ReleaseError
from lockstep.predictor import Card, Predictor
from lockstep.service import released
from lockstep.service.card import Evidence, answer, card

METRICS = {"n_rows": 40, "log_loss": 0.4, "log_loss_low": 0.3, "log_loss_high": 0.5, "trivial_log_loss": 0.7, "f1": 0.6}
EVIDENCE = Evidence(METRICS, 160, (datetime(2023, 1, 1), datetime(2024, 2, 3, 4, 5, 6)), ())


@pytest.fixture
def project(root: Path, tmp_path: Path) -> Path:
    """A copy of the project, to be changed."""
    return Path(shutil.copytree(root, tmp_path / "project"))


def card_of(root: Path) -> dict[str, Any]:
    folder = release.build(root).folder
    return dict(json.loads((folder / released.CARD).read_text("utf-8")))


def changed(contract: Contract, **columns: Mapping[str, Any]) -> Contract:
    suite = json.loads(contract.content)
    for name, values in columns.items():
        suite["meta"]["columns"][name] |= values
    return contracts.loads(json.dumps(suite).encode())


def rescore(root: Path, **scores: float) -> None:
    path = root / "reports" / "metrics.json"
    path.write_text(digest.dump_json({**json.loads(path.read_text("utf-8")), **scores}))


def test_a_release_holds_the_card_of_its_predictor(root: Path, model: Predictor) -> None:
    found = card_of(root)
    assert {name: found[name] for name in ("title", "target", "problem", "family", "classes")} == {
        "title": "Predict target",
        "target": "target",
        "problem": "binary",
        "family": "xgboost",
        "classes": ["yes", "no"],
    }
    assert found["decision"] == model.card.decision
    assert found["inputs"] == list(model.contract.inputs)
    assert found["rows"] == {"train": 200, "test": 100}
    assert found["digests"] == {"predictor": model.digest, "contract": model.contract.digest}
    assert found["deciles"] == []


def test_scores_stand_in_the_problems_order_beside_the_baselines(root: Path) -> None:
    scores = json.loads((root / "reports" / "metrics.json").read_text("utf-8"))
    found = {score.pop("metric"): score for score in card_of(root)["scores"]}
    assert list(found) == ["roc_auc", "average_precision", "log_loss", "brier", "accuracy", "f1"]
    assert found["log_loss"] == {
        "greater_is_better": False,
        "value": scores["log_loss"],
        "low": scores["log_loss_low"],
        "high": scores["log_loss_high"],
        "linear": scores["linear_log_loss"],
        "trivial": scores["trivial_log_loss"],
    }
    assert found["roc_auc"]["greater_is_better"]
    assert found["roc_auc"]["low"] <= found["roc_auc"]["value"] <= found["roc_auc"]["high"]


def test_a_metric_without_a_value_is_left_out_and_a_bound_without_one_is_null(model: Predictor) -> None:
    found = card(model.card, model.contract, model.digest, EVIDENCE)["scores"]
    assert [(score["metric"], score["low"], score["linear"]) for score in found] == [
        ("log_loss", 0.3, None),
        ("f1", None, None),
    ]


def test_the_period_is_that_of_the_training_data(root: Path) -> None:
    seen = pd.read_parquet(root / "data" / "train.parquet")["seen"]
    assert card_of(root)["period"] == {
        "column": "seen",
        "first": seen.min().isoformat(),
        "last": seen.max().isoformat(),
    }


def test_a_day_is_written_without_its_midnight(model: Predictor) -> None:
    period = card(model.card, model.contract, model.digest, EVIDENCE)["period"]
    assert (period["first"], period["last"]) == ("2023-01-01", "2024-02-03T04:05:06")


@pytest.mark.parametrize("seen", [{"private": True}, {"role": "input", "input": False}])
def test_a_time_that_is_private_or_none_tells_no_period(model: Predictor, seen: Mapping[str, Any]) -> None:
    assert card(model.card, changed(model.contract, seen=seen), model.digest, EVIDENCE)["period"] is None


def test_a_time_without_a_value_tells_no_period(project: Path) -> None:
    path = project / "data" / "train.parquet"
    pd.read_parquet(path).assign(seen=pd.NaT).astype({"seen": "datetime64[us]"}).to_parquet(path)
    assert card_of(project)["period"] is None


def test_of_numbers_the_deciles_of_the_test_predictions_are_told(tmp_path: Path) -> None:
    root = small_project.make(tmp_path, "regression", "linear")
    answers = pd.read_parquet(root / "reports" / "predictions.parquet")["prediction"]
    found = card_of(root)
    assert found["deciles"] == np.quantile(answers, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]).tolist()
    assert found["classes"] == []
    assert found["decision"] == {}


def test_equal_results_give_equal_bytes_whatever_the_place_and_the_time(root: Path, project: Path) -> None:
    first, second = (release.build(each).folder / released.CARD for each in (root, project))
    assert first.read_bytes() == second.read_bytes()
    assert str(root) not in first.read_text("utf-8")


def test_another_score_makes_another_release_and_says_so(project: Path) -> None:
    before = release.build(project)
    record = {"bento": before.tag, "release": before.digest, **asdict(before.identity)}
    (project / release.RECORD).write_text(digest.dump_json(record))
    rescore(project, roc_auc=0.5)
    with pytest.raises(ReleaseError, match="was packaged with other scores or training data than lies here now"):
        release.rebuild(project)
    after = release.build(project)
    assert after.digest != before.digest
    assert replace(after.identity, card=before.identity.card) == before.identity


def test_the_identity_names_the_bytes_of_the_card(root: Path) -> None:
    built = release.build(root)
    assert built.identity.card == digest.of_file(built.folder / released.CARD)


def test_without_its_scores_nothing_is_released(project: Path) -> None:
    (project / "reports" / "metrics.json").unlink()
    with pytest.raises(ProjectError, match=r"metrics.json is missing; run `dvc repro`, or `dvc pull`"):
        release.build(project)


def test_the_engine_is_not_loaded_to_say_what_the_model_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release.build(root)
    monkeypatch.setattr(predictor, "load", None)
    assert release.build(root).identity.card


def test_the_answer_names_the_bento_and_the_run() -> None:
    run = {"run": "1", "name": "winner linear", "url": None}
    assert json.loads(answer({"title": "Predict y"}, "churn:1", run)) == {
        "title": "Predict y",
        "bento": "churn:1",
        "run": {"name": "winner linear", "url": None},
    }
    assert json.loads(answer({}, "churn:1", None))["run"] is None


def test_a_threshold_and_classes_come_from_the_predictor(model: Predictor) -> None:
    found = card(
        Card("multiclass", "linear", ("a", "b"), {}, {}), model.contract, "0" * 64, replace(EVIDENCE, period=None)
    )
    assert (found["classes"], found["decision"], found["period"]) == (["a", "b"], {}, None)


@pytest.mark.parametrize("run", [None, {"run": "1", "name": "winner linear", "url": "http://127.0.0.1:5000/"}])
@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_the_answer_keeps_the_schema_that_the_service_states(
    problem: str, run: Mapping[str, str] | None, tmp_path: Path
) -> None:
    folder = release.build(small_project.make(tmp_path, problem, "linear")).folder
    document = json.loads((folder / released.SCHEMA).read_bytes())
    schema = {"$ref": "#/components/schemas/Card", "components": document["components"]}
    told = answer(json.loads((folder / released.CARD).read_bytes()), "churn:1", run)
    jsonschema.Draft202012Validator(schema).validate(json.loads(told))

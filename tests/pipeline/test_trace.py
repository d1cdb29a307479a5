"""`lockstep trace` over a real line: from an answer of the service back to commit, data and parameters."""

import json
import math
from pathlib import Path
from typing import Any

import project
import pytest

from lockstep import contract as contracts
from lockstep import graph, replay

ANSWER = """
import asyncio, json, sys
from lockstep.service import main, record
async def answer():
    main.Service.inner()
    return await main.app._answerer.predict(json.dumps({"rows": json.loads(sys.argv[1])}).encode(), record.request_id())
print(asyncio.run(answer()).decode())
"""


def answers(root: Path, n_rows: int) -> list[dict[str, Any]]:
    """Return what the service that is live answers to test rows."""
    rows = json.dumps(replay.read_sample(root, n_rows).rows)
    return list(json.loads(project.said(project.run(root, "python", "-c", ANSWER, rows)))["predictions"])


def test_an_answer_is_followed_back_to_all_that_made_it(copied: Path) -> None:
    root, predictions = copied, answers(copied, 2)
    packaged = json.loads((root / "models" / "bento.json").read_text())

    chain = json.loads(project.said(project.lockstep(root, "trace", predictions[1]["prediction_id"], "--json")))

    assert chain["prediction"]["prediction"] == predictions[1]["prediction"]
    assert chain["prediction"]["probabilities"] == predictions[1]["probabilities"]
    assert chain["prediction"]["inputs"] == replay.read_sample(root, 2).rows[1]
    assert chain["release"]["bento"] == packaged["bento"]
    assert chain["release"]["predictor"] == packaged["predictor"]
    assert chain["commit"]["holds"] == project.git(root, "rev-parse", "HEAD").strip()
    assert chain["commit"]["made_at"] == project.git(root, "rev-parse", "HEAD~1").strip()
    assert chain["parameters"]["seed"] == 7
    assert chain["data"]["data/train.parquet"] == graph.md5(root / "data" / "train.parquet")
    assert chain["contract"]["digest"] == packaged["contract"]
    assert chain["contract"]["validation"]["n_rows"] == 1500
    assert chain["mlflow"]["run"]
    assert chain["versions"]["python"]


def test_it_is_one_screen_and_still_told_when_another_release_is_live(copied: Path) -> None:
    """And of a release whose run was not committed it says so."""
    (first,) = answers(copied, 1)
    before = project.git(copied, "rev-parse", "HEAD").strip()
    project.change_params(copied, {"seed": 8})
    project.said(project.repro(copied))
    project.said(project.lockstep(copied, "release", "promote"))
    (second,) = answers(copied, 1)

    said = project.said(project.lockstep(copied, "trace", first["prediction_id"]))
    other = project.said(project.lockstep(copied, "trace", second["prediction_id"]))

    assert len(said.splitlines()) < 40
    assert f"commit      {before}: its dvc.lock holds the predictor" in said
    assert "seed 7" in said
    assert "rows kept it" in said
    assert "commit      none holds the predictor; the dvc.lock that lies here does" in other
    assert f"at {before}, with uncommitted changes, patch " in other
    assert "seed 8" in other


def test_a_prediction_that_nobody_recorded_is_one_line(copied: Path) -> None:
    asked = project.lockstep(copied, "trace", "0193" + "0" * 24 + "-0")

    assert asked.returncode == 1
    assert asked.stderr.startswith("lockstep: no prediction '0193000")
    assert len(asked.stderr.splitlines()) == 1


def test_an_answer_is_explained_from_what_was_recorded_of_it(copied: Path) -> None:
    first, second = answers(copied, 2)

    found = json.loads(project.said(project.lockstep(copied, "explain", second["prediction_id"], "--json")))
    table = project.said(project.lockstep(copied, "explain", first["prediction_id"]))

    assert (found["prediction"], found["probabilities"]) == (second["prediction"], second["probabilities"])
    (raw,) = found["raw"]
    assert raw["class"] == "yes"
    assert raw["base"] + sum(raw["contributions"].values()) == pytest.approx(raw["score"], rel=1e-4)
    assert 1 / (1 + math.exp(-raw["score"])) == pytest.approx(second["probabilities"]["yes"], rel=1e-6)
    assert [*raw["contributions"]] == sorted([*contracts.load(copied).inputs, "charge_per_month"])
    assert all(f"\n{name} " in table for name in raw["contributions"])

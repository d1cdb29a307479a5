"""One range of the contract is edited, and no code: training, requests and the document move together."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import small_project

from lockstep import contract as contracts
from lockstep import predictor, replay
from lockstep.contract.read import read
from lockstep.params import Validate
from lockstep.service import released
from lockstep.service.app import App, Served
from lockstep.service.schema import document
from lockstep.steps.validate import validate

ROWS = small_project.draw(200, seed=5)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project.make(tmp_path_factory.mktemp("edited"), family="linear")


def edit(project: Path, low: float, high: float) -> None:
    """Set the range of ``low`` in expectations/rows.json."""
    path = project / contracts.FILE
    suite = json.loads(path.read_text())
    (given,) = [
        rule["kwargs"]
        for rule in suite["expectations"]
        if rule["kwargs"].get("column") == "low" and rule["severity"] == "critical"
    ]
    given |= {"min_value": low, "max_value": high}
    path.write_text(json.dumps(suite))


def fit_again(project: Path, rows: pd.DataFrame) -> App:
    """Do what the later stages do, and serve the result."""
    model = small_project.save_predictor(project, rows[:100], "binary", "linear")
    small_project.evaluate(project, rows[100:])
    sample = replay.read_sample(project, 10)
    described = document(model.contract, model.encoder, model.card.classes, model.digest, sample.rows[0])
    app = App()
    app.serve(Served(predictor.load(project / "models" / "predictor"), "churn:1", json.dumps(described).encode(), {}))
    return app


def ask(app: App, path: str, rows: list[dict[str, Any]] | None = None) -> tuple[int, Any]:
    """Return status and JSON of an answer."""

    async def answered() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            return await (client.get(path) if rows is None else client.post(path, json={"rows": rows}))

    response = asyncio.run(answered())
    return response.status_code, response.json()


@pytest.mark.parametrize(("low", "high"), [(0, 1000), (20, 60), (30.5, 90)])
def test_training_requests_and_the_document_follow_one_edited_range(project: Path, low: float, high: float) -> None:
    code = released.code_digest(project / "src" / "lockstep")
    edit(project, low, high)
    contract, rule = contracts.load(project), f"be_between(min_value={low}, max_value={high})"
    table = read(ROWS, contract)
    outside = np.flatnonzero(~ROWS["low"].between(low, high)).tolist()

    judged = validate(table, contract, Validate())

    assert len(judged.breaches) == bool(outside)
    assert all(f"column 'low' must {rule}; {len(outside)} of 200 rows" in said for said in judged.breaches)

    app = fit_again(project, read(small_project.draw(600), contract).rows.query("@low <= low <= @high")[:200])
    sent = replay.request_rows(table.rows, contract)
    status, answer = ask(app, "/predict", sent)
    named = [(fault["row"], fault["field"], fault["rule"]) for fault in answer.get("errors", ())]
    assert named == [(row, "low", rule) for row in outside]
    assert status == (422 if outside else 200)
    kept = [row for i, row in enumerate(sent) if i not in outside]
    status, answer = ask(app, "/predict", kept)
    assert (status, len(answer["predictions"])) == (200, len(kept))

    _, described = ask(app, "/openapi.json")
    asked = described["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    shown = described["components"]["schemas"]["Row"]["properties"]["low"]
    assert asked["schema"]["properties"]["rows"]["items"] == {"$ref": "#/components/schemas/Row"}
    assert (shown["minimum"], shown["maximum"]) == (low, high)
    assert low <= asked["example"]["rows"][0]["low"] <= high
    assert released.code_digest(project / "src" / "lockstep") == code

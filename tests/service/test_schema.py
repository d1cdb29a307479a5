import json
from typing import Any

import jsonschema
import pytest

from lockstep import contract as contracts
from lockstep import replay
from lockstep.contract.request import Door
from lockstep.errors import ContractError
from lockstep.predictor import Predictor
from lockstep.service.schema import document


@pytest.fixture(scope="module")
def request_body(openapi: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = openapi["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    return content


def fields(openapi: dict[str, Any]) -> dict[str, Any]:
    schema = openapi["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    properties: dict[str, Any] = schema["properties"]["rows"]["items"]["properties"]
    return properties


def test_every_field_of_a_request_is_described_and_the_target_is_not(openapi: dict[str, Any], model: Predictor) -> None:
    assert set(fields(openapi)) == set(model.contract.columns) - {"target"}


def test_a_rule_that_refuses_is_a_limit_and_one_that_warns_is_a_note(openapi: dict[str, Any]) -> None:
    found = fields(openapi)
    assert found["low"] == {
        "type": "number",
        "minimum": 0,
        "maximum": 1000,
        "description": "The lower figure. Unusual unless be_between(max_value=95).",
    }
    assert found["high"]["exclusiveMinimum"] == 0
    assert found["high"]["type"] == ["number", "null"]
    assert found["colour"]["enum"] == ["red", "green", "blue", None]
    assert found["account"]["pattern"] == "^A\\d{4}$"
    assert found["remark"]["maxLength"] == 200
    assert "Seen in training: far, here, there." in found["town"]["description"]
    assert "be_between(min_value='2000-01-01')" in found["opened"]["description"]


def test_the_example_works_as_it_stands(request_body: dict[str, Any], model: Predictor) -> None:
    jsonschema.Draft202012Validator(request_body["schema"]).validate(request_body["example"])
    assert not Door(model.contract).check(request_body["example"]["rows"][0]).faults


def test_the_example_tells_nothing_private_and_keeps_the_contracts_own(request_body: dict[str, Any]) -> None:
    (example,) = request_body["example"]["rows"]
    assert (example["account"], example["low"]) == ("A0001", 1.5)
    assert example["remark"] is None


def test_where_the_contracts_examples_break_a_rule_together_a_real_row_stands_in(
    model: Predictor, sample: replay.Sample
) -> None:
    row = {**sample.rows[0], "low": 0.1, "high": 0.2}
    found = document(model.contract, model.encoder, model.card.classes, model.digest, row)
    (example,) = found["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["example"]["rows"]
    assert (example["low"], example["high"]) == (0.1, 0.2)


def test_a_private_value_that_cannot_be_left_out_needs_an_example_of_its_own(
    model: Predictor, sample: replay.Sample
) -> None:
    suite = json.loads(model.contract.content)
    suite["meta"]["columns"]["low"] |= {"private": True, "example": None}
    contract = contracts.loads(json.dumps(suite).encode())
    with pytest.raises(ContractError, match=r"private columns \['low', 'remark'\] must have an 'example'"):
        document(contract, model.encoder, model.card.classes, model.digest, sample.rows[0])


ROWS: list[tuple[dict[str, Any], bool]] = [
    ({"low": 1}, True),
    ({"low": None}, False),
    ({}, False),
    ({"low": "1"}, False),
    ({"low": True}, False),
    ({"low": -1}, False),
    ({"low": 1, "high": 0}, False),
    ({"low": 1, "high": None}, True),
    ({"low": 1, "colour": "mauve"}, False),
    ({"low": 1, "colour": None}, True),
    ({"low": 1, "town": "nowhere"}, True),
    ({"low": 1, "active": 1}, False),
    ({"low": 1, "active": False}, True),
    ({"low": 1, "opened": "2020-02-29"}, True),
    ({"low": 1, "opened": "29.02.2020"}, False),
    ({"low": 1, "seen": "2020-02-29T10:30:00+01:00"}, False),
    ({"low": 1, "account": "B1"}, False),
    ({"low": 1, "remark": "x" * 201}, False),
    ({"low": 1, "target": "yes"}, False),
    ({"low": 1, "new": 1}, False),
    ({"low": 1, "note": 5}, True),
]


@pytest.mark.parametrize(("row", "good"), ROWS)
def test_schema_and_door_agree(request_body: dict[str, Any], model: Predictor, row: dict[str, Any], good: bool) -> None:
    validator = jsonschema.Draft202012Validator(request_body["schema"])
    assert validator.is_valid({"rows": [row]}) is good
    assert (not Door(model.contract).check(row).faults) is good


def test_answers_keep_the_schema_too(openapi: dict[str, Any], sample: replay.Sample) -> None:
    content = openapi["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]
    validator = jsonschema.Draft202012Validator(content["schema"])
    named = {"model": "digest", "bento": "churn:1", "request_id": "1"}
    answers = [{**answer, "prediction_id": "1-0"} for answer in sample.expected]
    validator.validate({**named, "predictions": answers})
    assert not validator.is_valid({**named, "predictions": [{**answers[0], "prediction": "perhaps"}]})
    assert not validator.is_valid({**named, "predictions": sample.expected})

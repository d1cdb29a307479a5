import json
from typing import Any

import jsonschema
import pytest

from lockstep import contract as contracts
from lockstep import replay
from lockstep.contract.request import Door
from lockstep.encoder import Encoder
from lockstep.errors import ContractError
from lockstep.predictor import Predictor
from lockstep.service import access, fields, page
from lockstep.service.app import METHODS
from lockstep.service.schema import document


@pytest.fixture(scope="module")
def example(openapi: dict[str, Any]) -> dict[str, Any]:
    return example_of(openapi)


@pytest.fixture(scope="module")
def requests(openapi: dict[str, Any]) -> jsonschema.Draft202012Validator:
    """What holds a request to the document."""
    return keeper(openapi, asked(openapi)["schema"])


def asked(openapi: dict[str, Any], path: str = "/predict") -> dict[str, Any]:
    content: dict[str, Any] = openapi["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    return content


def example_of(openapi: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = asked(openapi)["example"]
    return body


def keeper(openapi: dict[str, Any], schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**schema, "components": openapi["components"]})


def properties(openapi: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = openapi["components"]["schemas"]["Row"]["properties"]
    return found


def test_every_field_of_a_request_is_described_and_the_target_is_not(openapi: dict[str, Any], model: Predictor) -> None:
    assert set(properties(openapi)) == set(model.contract.columns) - {"target"}


def test_a_rule_that_refuses_is_a_limit_and_one_that_warns_is_a_note(openapi: dict[str, Any]) -> None:
    found = properties(openapi)
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


def test_categories_that_were_seen_are_examples_and_a_set_needs_none(openapi: dict[str, Any]) -> None:
    found = properties(openapi)
    assert found["town"]["examples"] == ["far", "here", "there"]
    assert "examples" not in found["colour"]
    assert "examples" not in found["remark"], "its values are private"


@pytest.mark.parametrize(("said", "told"), [("Charge for a month", "Charge for a month."), ("Why?", "Why?")])
def test_a_description_ends_as_a_sentence_does(model: Predictor, sample: replay.Sample, said: str, told: str) -> None:
    suite = json.loads(model.contract.content)
    suite["meta"]["columns"]["low"]["description"] = said
    contract = contracts.loads(json.dumps(suite).encode())
    found = document(contract, model.encoder, model.card.classes, model.digest, sample.rows[0])
    assert properties(found)["low"]["description"] == f"{told} Unusual unless be_between(max_value=95)."


def test_the_example_works_as_it_stands(
    requests: jsonschema.Draft202012Validator, example: dict[str, Any], model: Predictor
) -> None:
    requests.validate(example)
    assert not Door(model.contract).check(example["rows"][0]).faults


def test_the_example_tells_nothing_private_and_keeps_the_contracts_own(example: dict[str, Any]) -> None:
    (row,) = example["rows"]
    assert (row["account"], row["low"]) == ("A0001", 1.5)
    assert row["remark"] is None


def test_where_the_contracts_examples_break_a_rule_together_a_real_row_stands_in(
    model: Predictor, sample: replay.Sample
) -> None:
    row = {**sample.rows[0], "low": 0.1, "high": 0.2}
    found = document(model.contract, model.encoder, model.card.classes, model.digest, row)
    (example,) = example_of(found)["rows"]
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
def test_schema_and_door_agree(
    requests: jsonschema.Draft202012Validator, model: Predictor, row: dict[str, Any], good: bool
) -> None:
    assert requests.is_valid({"rows": [row]}) is good
    assert (not Door(model.contract).check(row).faults) is good


def answers(openapi: dict[str, Any], name: str) -> jsonschema.Draft202012Validator:
    return keeper(openapi, {"$ref": f"#/components/schemas/{name}"})


def test_answers_keep_the_schema_too(openapi: dict[str, Any], sample: replay.Sample) -> None:
    validator = answers(openapi, "Answers")
    named = {"model": "digest", "bento": "churn:1", "request_id": "1"}
    given = [{**answer, "prediction_id": "1-0"} for answer in sample.expected]
    validator.validate({**named, "predictions": given})
    assert not validator.is_valid({**named, "predictions": [{**given[0], "prediction": "perhaps"}]})
    assert not validator.is_valid({**named, "predictions": sample.expected})


def test_every_route_is_described_but_the_files_of_the_page(openapi: dict[str, Any]) -> None:
    described = {(path, method.upper()) for path, methods in openapi["paths"].items() for method in methods}
    files = set(page.FILES) - {"/"}
    assert described == {
        (path, method)
        for path, methods in METHODS.items()
        for method in methods
        if method != "HEAD" and path not in files
    }


def test_a_token_is_asked_for_where_the_service_asks_for_one(openapi: dict[str, Any]) -> None:
    for path, methods in openapi["paths"].items():
        for operation in methods.values():
            asks = bool(operation.get("security", openapi["security"]))
            assert asks == (path not in access.OPEN)
            assert asks == ("401" in operation["responses"]) == ("403" in operation["responses"])


def test_a_request_to_explain_is_the_same_but_shorter(openapi: dict[str, Any]) -> None:
    predict, explain = asked(openapi), asked(openapi, "/explain")
    assert explain["example"] == predict["example"]
    rows = explain["schema"]["properties"]["rows"]
    assert rows["maxItems"] == 100
    assert rows["items"] == predict["schema"]["properties"]["rows"]["items"]


NUMBER, WORD, FLAG = {"kind": "number"}, {"kind": "category", "missing": ["", "NA"]}, {"kind": "boolean"}
GIVEN = {**WORD, "required": True}


def rule(name: str, severity: str = "critical", **given: Any) -> dict[str, Any]:
    return {"type": f"expect_column_value{name}", "kwargs": {"column": "x", **given}, "severity": severity}


@pytest.mark.parametrize(
    ("column", "rules", "expected"),
    [
        (
            NUMBER,
            [
                rule("s_to_be_between", min_value=0, max_value=9),
                rule("s_to_be_between", "warning", max_value=5),
                rule("s_to_be_between", min_value=0, strict_min=True),
                rule("s_to_be_between", "info", max_value=1),
            ],
            {"minimum": 0, "exclusiveMinimum": 0, "maximum": 5},
        ),
        (NUMBER, [rule("s_to_be_in_set", value_set=[0, 1, 5, 5, True])], {"enum": [0, 1, 5, None]}),
        (FLAG, [rule("s_to_be_between", min_value=1)], {"enum": [True, None]}),
        (WORD, [rule("s_to_be_in_set", value_set=["a", " b", "NA", "c", None])], {"enum": ["a", "c", None]}),
        (
            WORD,
            [rule("s_to_be_in_set", value_set=["a", "b"]), rule("s_to_be_in_set", value_set=["b", "c"])],
            {"enum": ["b", None]},
        ),
        ({**WORD, "required": True}, [], {"minLength": 1, "not": {"enum": ["NA"]}}),
        (
            {**WORD, "required": True},
            [rule("_lengths_to_be_between", min_value=2)],
            {"minLength": 2, "not": {"enum": ["NA"]}},
        ),
        (
            WORD,
            [rule("s_to_match_regex", regex="^a"), rule("s_to_match_regex", "warning", regex="b$")],
            {"pattern": "^a", "allOf": [{"pattern": "b$"}]},
        ),
        (WORD, [rule("s_to_not_match_regex", regex="^a")], {"not": {"type": "string", "pattern": "^a"}}),
        (WORD, [rule("s_to_match_regex", regex=r"(?i)^a\Z")], {}),
    ],
)
def test_rules_on_one_column_are_said_together(
    contract_of: Any, column: dict[str, Any], rules: list[dict[str, Any]], expected: dict[str, Any]
) -> None:
    found = fields.row(contract_of({"x": column}, *rules), Encoder([]))["properties"]["x"]
    jsonschema.Draft202012Validator.check_schema(found)
    assert {key: value for key, value in found.items() if key not in ("type", "description")} == expected


@pytest.mark.parametrize(
    "regex", [r"(?i)a", r"\Aa", r"a\Z", r"(?P<n>a)(?P=n)", r"a++", r"(?>a)", r"\N{DIGIT ONE}", "a{,3}", "[^]]", r"\@"]
)
def test_a_pattern_of_pythons_own_is_told_in_words(contract_of: Any, regex: str) -> None:
    contract = contract_of({"x": WORD}, rule("s_to_match_regex", regex=regex))
    found = fields.row(contract, Encoder([]))["properties"]["x"]
    assert "pattern" not in found
    assert f"Must be {contract.row_rules[0].name}." in found["description"]

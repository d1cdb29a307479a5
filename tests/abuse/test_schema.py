"""The running service keeps its own OpenAPI document, whatever requests schemathesis makes of it.

Three minutes; ``LOCKSTEP_FUZZ_S`` sets other seconds. Answers are held to the document by schemathesis' own checks.
Whether a request should have been taken is judged here, on the bytes that were sent, since two things have no words in
JSON Schema: that texts are read without the white space around them and null where they mean missing, and some rules.
"""

import copy
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema
import pytest
import schemathesis
from jsonschema import validators
from schemathesis import engine
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import StopReason, events
from served import Service

from lockstep import contract as contracts
from lockstep.contract import Contract
from lockstep.service import fields

SECONDS = int(os.environ.get("LOCKSTEP_FUZZ_S", "180"))
REFUSED = (400, 413, 415, 422)
CONFIG = """
seed = 7
max-time = {seconds}
base-url = "http://127.0.0.1:{port}"
headers = {{ Authorization = "Bearer {token}" }}

[output.truncation]
max-recorded-payload-size = 100000000

[generation]
database = "none"

[checks.positive_data_acceptance]
enabled = false

[checks.negative_data_rejection]
enabled = false
"""


def keeps_pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    """Look for a pattern as JSON Schema does: a dollar stands for the very end."""
    if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), value):
        yield jsonschema.ValidationError(f"{value!r} does not match {pattern!r}")


Keeper = validators.extend(jsonschema.Draft202012Validator, {"pattern": keeps_pattern})


@dataclass
class Judge:
    """Says of each request whether it was rightly taken or refused."""

    contract: Contract
    document: Mapping[str, Any]
    unsaid: set[tuple[str, str]] = field(init=False)
    """Field and rule of what JSON Schema has no words for."""

    def __post_init__(self) -> None:
        self.unsaid = {
            (rule.columns[0], rule.name)
            for rule in self.contract.row_rules
            if len(rule.columns) > 1 or self.contract.columns[rule.columns[0]].kind == "date"
        }
        self._asked = {
            path: Keeper({**schema, "components": self.document["components"]})
            for path, schema in ((path, schema_of(self.document, path)) for path in ("/predict", "/explain"))
        }

    def complaint(self, path: str, content: bytes, status: int, answer: Mapping[str, Any]) -> str:
        """Return what is wrong with an answer to JSON; nothing if all is well."""
        try:
            good = self._asked[path].is_valid(self._as_read(json.loads(content)))
        except ValueError:
            good = False
        if not good:
            return "" if status in REFUSED else f"{content[:500]!r} breaks the schema of {path} and got {status}"
        unsaid = status == 422 and all(self._is_unsaid(error) for error in answer["errors"])
        return "" if status == 200 or unsaid else f"{content[:500]!r} keeps the schema of {path} and got {answer}"

    def _is_unsaid(self, error: Mapping[str, Any]) -> bool:
        no_such_day = error["rule"].startswith("must be a date like") and error["found"][5:10] == "02-29"
        return no_such_day or (error["field"], error["rule"]) in self.unsaid

    def _as_read(self, body: Any) -> Any:
        if not isinstance(body, dict) or not isinstance(body.get("rows"), list):
            return body
        return {**body, "rows": [self._row_as_read(row) if isinstance(row, dict) else row for row in body["rows"]]}

    def _row_as_read(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._value_as_read(name, value) for name, value in row.items()}

    def _value_as_read(self, name: str, value: Any) -> Any:
        column = self.contract.columns.get(name)
        if column is None or column.role == "ignored" or column.kind not in fields.TEXTS or not isinstance(value, str):
            return value
        return None if value.strip() in column.missing else value.strip()


def schema_of(document: Mapping[str, Any], path: str) -> dict[str, Any]:
    body: dict[str, Any] = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    return dict(body["schema"])


@dataclass
class Found:
    """What came of it all."""

    asked: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """By operation, mode (positive, negative) and status."""
    wrong: list[str] = field(default_factory=list)
    reason: StopReason | None = None

    def take(self, event: events.EngineEvent, judge: Judge) -> None:
        match event:
            case events.NonFatalError() | events.FatalError():
                self.wrong.append(f"schemathesis itself: {event!r}")
            case events.ScenarioFinished():
                self._take(event, judge)
            case events.EngineFinished():
                self.reason = event.stop_reason

    def _take(self, event: events.ScenarioFinished, judge: Judge) -> None:
        recorded = event.recorder
        for identity, interaction in recorded.interactions.items():
            request, response = interaction.request, interaction.response
            if response is None:
                self.wrong.append(f"{request.method} {request.uri} had no answer")
                continue
            case = recorded.cases[identity].value
            mode = case.meta.generation.mode.value if case.meta else ""
            self.asked[event.label or "", mode, response.status_code] += 1
            if request.method == case.operation.method.upper() == "POST":
                is_json = request.headers.get("Content-Type") == ["application/json"]
                content, answer = (request.body or b"") if is_json else b"", json.loads(response.content)
                complaint = judge.complaint(case.operation.path, content, response.status_code, answer)
                self.wrong += [complaint] if complaint else []
        for checks in recorded.checks.values():
            self.wrong += [
                f"{event.label}: {one.failure_info.failure}: {one.failure_info.code_sample[:500]}"
                for one in checks
                if one.failure_info is not None
            ]

    def count(self, label: str, mode: str, *statuses: int) -> int:
        return sum(
            n for (at, how, status), n in self.asked.items() if (at, how) == (label, mode) and status in statuses
        )


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    status, found = service.ask("GET", "/openapi.json")
    assert status == 200
    return dict(found)


@pytest.fixture(scope="module")
def contract(service: Service) -> Contract:
    return contracts.loads((service.built.release() / "contract.json").read_bytes())


def test_whatever_is_made_of_the_document_the_service_keeps_it(
    service: Service, document: dict[str, Any], contract: Contract
) -> None:
    text = CONFIG.format(seconds=SECONDS, port=service.port, token=service.setting.token)
    schema = schemathesis.openapi.from_dict(copy.deepcopy(document), config=SchemathesisConfig.from_str(text))
    judge, found = Judge(contract, document), Found()
    for event in engine.from_schema(schema).execute():
        found.take(event, judge)

    assert found.wrong[:5] == [], f"{len(found.wrong)} in all"
    assert found.reason == StopReason.MAX_TIME
    assert {label for label, _, _ in found.asked} == {
        f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods
    }
    for label in ("POST /predict", "POST /explain"):
        answered, refused = found.count(label, "positive", 200), found.count(label, "positive", 422)
        assert answered > 2 * refused, "what the schema allows is mostly answered"
        assert answered > SECONDS
        assert found.count(label, "negative", *REFUSED) > SECONDS

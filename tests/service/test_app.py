import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import small_project

from lockstep import predictor, replay
from lockstep.errors import FeatureError
from lockstep.predictor import Predictor
from lockstep.service.app import App, Served
from lockstep.service.body import RefusedError


class Answer(NamedTuple):
    status: int
    headers: dict[bytes, bytes]
    body: Any


LOCAL = ("127.0.0.1", 3000)


def call(app: App, method: str, path: str, content: bytes = b"", kind: bytes = b"application/json") -> Answer:
    return ask(app, method, path, content, [(b"content-type", kind)])


def ask(
    app: App, method: str, path: str, content: bytes, sends: list[tuple[bytes, bytes]], server: Any = LOCAL
) -> Answer:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": sends, "server": server}
    asyncio.run(app(scope, receive, send))
    start, end = sent
    headers = dict(start["headers"])
    assert headers[b"content-length"] == str(len(end["body"])).encode()
    found = end["body"]
    return Answer(start["status"], headers, json.loads(found) if found.startswith(b"{") else found)


def predict(app: App, *rows: dict[str, Any]) -> Answer:
    return call(app, "POST", "/predict", json.dumps({"rows": rows}).encode())


def told(answer: Answer) -> list[dict[str, Any]]:
    """Return what was predicted, without what names this very prediction."""
    return [{key: value for key, value in one.items() if key != "prediction_id"} for one in answer.body["predictions"]]


def test_rows_are_answered_in_order_with_the_models_digest(app: App, model: Predictor, row: dict[str, Any]) -> None:
    answer = predict(app, row, {**row, "low": 0.5})
    assert answer.status == 200
    assert answer.body["model"] == model.digest
    first, second = answer.body["predictions"]
    assert first["prediction"] in ("no", "yes")
    assert list(first["probabilities"]) == list(model.card.classes) == ["yes", "no"]
    assert first != second
    assert "warnings" not in first


@pytest.mark.parametrize("family", ["linear", "hist_gradient", "xgboost"])
@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_answers_are_the_bits_of_evaluate_alone_and_in_a_batch(problem: str, family: str, tmp_path: Path) -> None:
    root = small_project.make(tmp_path, problem, family)
    app, sample = App(), replay.read_sample(root, 100)
    app.serve(Served(predictor.load(root / "models" / "predictor"), "churn:1", b"{}", {}))
    assert len(sample.rows) == 100
    together = predict(app, *sample.rows).body["predictions"]
    alone = [predict(app, row).body["predictions"][0] for row in sample.rows[::7]]
    for answers, expected in ((together, sample.expected), (alone, sample.expected[::7])):
        assert [{k: v for k, v in answer.items() if k not in replay.ASIDE} for answer in answers] == expected


def test_a_large_request_gets_the_same_answers(app: App, sample: replay.Sample) -> None:
    answers = told(predict(app, *sample.rows * 3))
    assert answers == told(predict(app, *sample.rows)) * 3


def test_every_bad_row_is_named_at_once(app: App, row: dict[str, Any]) -> None:
    bad = [{**row, "low": "3"}, row, {**row, "low": -1, "colour": "mauve"}, {**row, "target": "yes"}, {"high": 1}]
    answer = predict(app, *bad)
    assert answer.status == 422
    assert answer.body["errors"] == [
        {"row": 0, "field": "low", "rule": "must be a number", "found": "3"},
        {"row": 2, "field": "low", "rule": "be_between(min_value=0, max_value=1000)", "found": "-1.0"},
        {"row": 2, "field": "colour", "rule": "be_in_set(value_set=['red', 'green', 'blue'])", "found": "mauve"},
        {"row": 3, "field": "target", "rule": "the target may not be sent", "found": "yes"},
        {"row": 4, "field": "low", "rule": "not_be_null()", "found": "null"},
    ]


def test_a_row_of_a_thousand_unknown_fields_is_refused_in_few_words(app: App, row: dict[str, Any]) -> None:
    answer = predict(app, {**row, **{f"x{i}": i for i in range(1000)}}, {**row, "y": 1})
    assert [error["row"] for error in answer.body["errors"]] == [0] * 50 + [1]


def test_what_is_unusual_is_answered_with_a_warning(app: App, row: dict[str, Any]) -> None:
    usual, unusual = predict(app, row, {**row, "town": "nowhere"}).body["predictions"]
    assert "warnings" not in usual
    assert unusual["warnings"] == [
        {"field": "town", "rule": "be_in_set(value_set=['here', 'there'])", "found": "nowhere"}
    ]


def test_an_explanation_says_why_and_what_is_unusual_and_predicts_nothing(app: App, row: dict[str, Any]) -> None:
    content = json.dumps({"rows": [row, {**row, "town": "nowhere"}]}).encode()
    usual, unusual = call(app, "POST", "/explain", content).body["explanations"]
    assert usual.keys() == {"raw"}
    (raw,) = usual["raw"]
    assert raw["base"] + sum(raw["contributions"].values()) == pytest.approx(raw["score"], abs=1e-4)
    assert [warning["field"] for warning in unusual["warnings"]] == ["town"]


def test_more_rows_than_are_explained_at_once_are_refused(app: App, row: dict[str, Any]) -> None:
    answer = call(app, "POST", "/explain", json.dumps({"rows": [row] * 101}).encode())
    assert (answer.status, answer.body["error"]) == (413, "at most 100 rows are explained at once; got 101.")


def test_large_requests_are_worked_on_one_after_another_and_too_many_are_told_to_come_again(
    app: App, row: dict[str, Any]
) -> None:
    content = json.dumps({"rows": [row] * 200}).encode()

    async def ask_at_once() -> list[Any]:
        asked = (app._answerer.predict(content, f"{n:028}") for n in range(40))
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(ask_at_once())
    refused = [answer for answer in answers if isinstance(answer, RefusedError)]
    assert [refusal.status for refusal in refused] == [429] * 8
    assert all(len(json.loads(answer)["predictions"]) == 200 for answer in answers if isinstance(answer, bytes))


def test_what_the_model_does_not_see_may_be_left_out_and_the_ignored_be_sent(app: App, row: dict[str, Any]) -> None:
    seen = {name: value for name, value in row.items() if name != "account"}
    assert told(predict(app, {**seen, "note": {"any": ["thing"]}})) == told(predict(app, row))


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/predict", 405, b"POST"),
        ("POST", "/openapi.json", 405, b"GET, HEAD"),
        ("GET", "/nothing", 404, None),
        ("POST", "/predict/", 404, None),
    ],
)
def test_a_request_that_goes_wrong_is_told_where_to_go(
    app: App, method: str, path: str, status: int, allowed: bytes | None
) -> None:
    answer = call(app, method, path)
    assert (answer.status, answer.headers.get(b"allow")) == (status, allowed)
    assert answer.body["error"].endswith(".")


def test_other_types_and_other_json_are_refused(app: App) -> None:
    assert call(app, "POST", "/predict", b"{}", b"text/csv").status == 415
    assert call(app, "POST", "/predict", b'{"rows": [{"low": NaN}]}').status == 400


def test_the_schema_and_the_page_are_there(app: App, openapi: dict[str, Any], model: Predictor) -> None:
    assert call(app, "GET", "/openapi.json").body == openapi
    page = call(app, "GET", "/")
    assert page.headers[b"content-type"] == b"text/html; charset=utf-8"
    assert b"default-src 'none'" in page.headers[b"content-security-policy"]
    assert page.headers[b"x-model"] == model.digest.encode()


def test_before_a_release_is_loaded_nothing_is_answered_but_that_the_service_lives(row: dict[str, Any]) -> None:
    assert predict(App(), row).status == 503
    assert [call(App(), "GET", path).status for path in ("/healthz", "/livez", "/readyz")] == [200, 200, 503]


def test_while_it_drains_it_is_not_ready_answers_all_the_same_and_closes(model: Predictor, row: dict[str, Any]) -> None:
    app = App()
    app.serve(Served(model, "churn:1", b"{}", {}))
    assert call(app, "GET", "/readyz").status == 200
    app.drain()
    assert call(app, "GET", "/readyz").status == 503
    assert call(app, "GET", "/healthz").status == 200
    answer = predict(app, row)
    assert (answer.status, answer.headers[b"connection"]) == (200, b"close")


class Broken(Predictor):
    """A predictor whose engine or feature fails."""

    def __init__(self, found: Predictor, fails: Exception | float) -> None:
        self.__dict__.update(found.__dict__)
        self._fails = fails

    def predict_rows(self, rows: Any) -> Any:
        if isinstance(self._fails, Exception):
            raise self._fails
        found = super().predict_rows(rows)
        return type(found)(found.values, np.full_like(found.output, self._fails))


def broken(model: Predictor, fails: Exception | float) -> App:
    app = App()
    app.serve(Served(Broken(model, fails), "churn:1", b"{}", {}))
    return app


def test_a_failure_is_a_500_that_tells_nothing_and_one_line_in_the_log_without_values(
    model: Predictor, row: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    secret = ValueError("could not read 'Jane\n Doe'")
    named = FeatureError(f"src/features.py: 'share' failed: ValueError: {secret}")
    named.__cause__ = secret
    for failure in (named, secret):
        answer = predict(broken(model, failure), row)
        assert (answer.status, answer.body["error"]) == (500, "the service failed; its log says why.")
    first, second = (record.getMessage() for record in caplog.records)
    assert re.fullmatch(
        r"request \w{28} failed: FeatureError src/features.py: 'share' failed: ValueError: \.\.\. \(predict_rows:\d+\)",
        first,
    )
    assert re.fullmatch(r"request \w{28} failed: ValueError  \(predict_rows:\d+\)", second)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_never_answered(
    model: Predictor, row: dict[str, Any], number: float, caplog: pytest.LogCaptureFixture
) -> None:
    answer = predict(broken(model, number), row)
    assert answer.status == 500
    assert "gave a number that is not finite; not answered." in caplog.text


@pytest.mark.parametrize(
    ("family", "absent"),
    [
        ("linear", {"pandas", "sklearn", "xgboost", "scipy"}),
        ("hist_gradient", {"pandas", "sklearn", "xgboost"}),
        ("xgboost", set()),
    ],
)
def test_a_request_imports_nothing_that_trains(family: str, absent: set[str], tmp_path: Path) -> None:
    root = small_project.make(tmp_path, family=family)
    rows = json.dumps({"rows": replay.read_sample(root, 3).rows})
    script = f"""
import sys
from pathlib import Path
from lockstep import predictor
from lockstep.service.main import app
from lockstep.service.app import Served
served = Served(predictor.load(Path("models/predictor")), "churn:1", b"", {{}})
app.serve(served)
import asyncio
asyncio.run(app._answerer.predict({rows!r}.encode(), "0"))
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
    found = subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        env=small_project.environment(root),
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = absent | {"great_expectations", "optuna", "mlflow", "prefect", "dvc", "matplotlib"}
    assert not heavy & set(found.stdout.split())

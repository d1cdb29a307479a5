"""A recorded prediction is found again, and its row is whole again only for who knows its private values."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lockstep import recorded
from lockstep.contract import Contract
from lockstep.errors import IntegrityError, SourceError
from lockstep.service import record
from lockstep.service.record import Asked, Recorder

ROW = {"age": 41, "name": "Ada ☂", "income": 3000, "note": "x", "town": None}


@pytest.fixture
def contract(contract_of: Callable[..., Contract]) -> Contract:
    columns: dict[str, Any] = {
        "age": {"kind": "number"},
        "name": {"kind": "text", "private": True},
        "income": {"kind": "number", "private": True},
        "town": {"kind": "category"},
        "note": {"kind": "text", "role": "ignored"},
    }
    return contract_of(columns)


@pytest.fixture
def asked(contract: Contract, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that records a row as the service does, and gives its line."""

    def ask(row: dict[str, Any] = ROW) -> dict[str, Any]:
        kept, identity = Recorder(tmp_path, contract, "churn:1", "5eed"), record.request_id()
        name = record.prediction_id(identity, 0)
        kept.add(Asked(identity, time.time(), 0.002, 9, [row], [{"prediction": "yes", "prediction_id": name}]))
        kept.close()
        found = record.find(tmp_path, name)
        assert found is not None
        return dict(found)

    return ask


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


@pytest.mark.parametrize(
    "given",
    [ROW, without(ROW, "note"), {"name": ROW["name"], "income": 3000}, {**ROW, "income": 3000.0, "age": 41.0}],
    ids=["as it was sent", "without what the service drops", "its private values alone", "numbers written otherwise"],
)
def test_with_its_private_values_the_row_is_as_it_was_asked(
    contract: Contract, asked: Any, tmp_path: Path, given: dict[str, Any]
) -> None:
    line = asked()
    assert line["inputs"]["name"].startswith(record.HASHED)

    found = recorded.row(tmp_path, line, contract, given)

    assert json.dumps(found) == json.dumps(without(ROW, "note"))


def test_without_them_the_error_names_the_private_columns(contract: Contract, asked: Any, tmp_path: Path) -> None:
    line = asked()
    with pytest.raises(IntegrityError, match=r"broken at private columns \['name', 'income'\].* --row FILE"):
        recorded.row(tmp_path, line, contract)
    with pytest.raises(IntegrityError, match=r"broken at private columns \['income'\]"):
        recorded.row(tmp_path, line, contract, {"name": ROW["name"]})


def test_a_row_without_private_values_needs_nothing(contract: Contract, asked: Any, tmp_path: Path) -> None:
    row = {"age": 41.5, "town": "here"}
    line = asked(row)

    assert recorded.row(tmp_path, line, contract) == row
    assert recorded.row(tmp_path, line, contract, {"age": 41.5}) == row


def test_a_missing_private_value_is_known_by_its_hash(contract: Contract, asked: Any, tmp_path: Path) -> None:
    line = asked({"age": 41, "name": None, "income": None})

    assert recorded.row(tmp_path, line, contract) == {"age": 41, "name": None, "income": None}


@pytest.mark.parametrize("other", [{"name": "Bob"}, {"income": 3001}, {"income": True}, {"name": None}])
def test_another_private_value_is_refused_and_not_told(
    contract: Contract, asked: Any, tmp_path: Path, other: dict[str, Any]
) -> None:
    line, (name,) = asked({**ROW, "income": 1}), other
    with pytest.raises(IntegrityError, match=f"'{name}' must be the value that was asked; its hash is another") as told:
        recorded.row(tmp_path, line, contract, {**ROW, "income": 1, **other})
    assert "Bob" not in str(told.value)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"age": 42}, "'age' must be 41, as it was asked; it is 42"),
        ({"age": True}, "'age' must be 41, as it was asked; it is true"),
        ({"town": "here"}, "'town' must be null, as it was asked; it is \"here\""),
        ({"colour": "red"}, "'colour' must be null, as it was asked; it is \"red\""),
    ],
)
def test_another_row_is_refused_by_the_column_that_differs(
    contract: Contract, asked: Any, tmp_path: Path, other: dict[str, Any], said: str
) -> None:
    line = asked()
    with pytest.raises(IntegrityError, match=said):
        recorded.row(tmp_path, line, contract, {**ROW, **other})


def test_true_is_not_one(contract: Contract, asked: Any, tmp_path: Path) -> None:
    line = asked({"age": 1})
    with pytest.raises(IntegrityError, match="'age' must be 1, as it was asked; it is true"):
        recorded.row(tmp_path, line, contract, {"age": True})


def test_a_key_that_is_gone_is_named_and_none_is_made(contract: Contract, asked: Any, tmp_path: Path) -> None:
    line = asked()
    (tmp_path / record.KEY).unlink()
    with pytest.raises(IntegrityError, match=r"\['name', 'income'\]: the key of their hashes, .*private.key, is gone"):
        recorded.row(tmp_path, line, contract, ROW)
    assert not (tmp_path / record.KEY).exists()


@pytest.mark.parametrize(("text", "said"), [("[1]", "holds a list"), ("{", "one JSON object; "), ("\xff", "one JSON")])
def test_a_file_that_holds_no_row_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "row.json").write_text(text, "latin-1")
    with pytest.raises(SourceError, match=said):
        recorded.read_row(tmp_path / "row.json")


def test_a_file_with_a_row_is_read(tmp_path: Path) -> None:
    (tmp_path / "row.json").write_text(json.dumps(ROW))

    assert recorded.read_row(tmp_path / "row.json") == ROW


def test_the_folder_is_the_one_that_the_service_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCKSTEP_PREDICTIONS", raising=False)
    assert recorded.folder(tmp_path) == tmp_path / ".lockstep" / "predictions"
    monkeypatch.setenv("LOCKSTEP_PREDICTIONS", "/elsewhere")
    assert recorded.folder(tmp_path) == Path("/elsewhere")

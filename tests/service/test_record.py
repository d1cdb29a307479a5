"""What is recorded of predictions, where it lies, and that a disk that is full costs no answer."""

import dataclasses
import json
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from lockstep.contract import Contract
from lockstep.predictor import Predictor
from lockstep.service import record
from lockstep.service.record import HASHED, Asked, Recorder, find, prediction_id, request_id


def recorder(folder: Path, contract: Contract, **more: int) -> Recorder:
    return Recorder(folder, contract, "churn:1", "5eed", **more)


def asked(row: dict[str, Any], n_rows: int = 1, identity: str = "") -> Asked:
    identity = identity or request_id()
    answers = [{"prediction": "yes", "prediction_id": prediction_id(identity, i)} for i in range(n_rows)]
    return Asked(identity, time.time(), 0.002, n_rows, [row] * n_rows, answers)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def test_a_prediction_is_found_by_its_id(model: Predictor, row: dict[str, Any], tmp_path: Path) -> None:
    kept = recorder(tmp_path, model.contract)
    first, second = asked(row), asked({**row, "low": 3}, n_rows=2)
    kept.add(first)
    kept.add(second)
    kept.close()

    found = find(tmp_path, prediction_id(second.identity, 1))

    assert found is not None
    assert {**found["inputs"], "remark": row["remark"]} == {**row, "low": 3}
    assert (found["bento"], found["model"], found["prediction"], found["latency_ms"]) == ("churn:1", "5eed", "yes", 2.0)
    assert datetime.now(UTC).isoformat()[:10] == found["time"][:10]
    assert [line["id"] for line in lines(tmp_path)] == [
        f"{first.identity}-0",
        *(f"{second.identity}-{i}" for i in (0, 1)),
    ]
    assert find(tmp_path, prediction_id(first.identity, 1)) is None
    assert find(tmp_path, "no id") is None


def test_a_request_that_came_before_midnight_and_was_answered_after_is_found(
    model: Predictor, row: dict[str, Any], tmp_path: Path
) -> None:
    midnight = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
    identity = f"{int((midnight - 0.5) * 1000):0{record.TIME_DIGITS}x}" + "0" * 16
    kept = recorder(tmp_path, model.contract)
    kept.add(dataclasses.replace(asked(row, identity=identity), began=midnight + 0.5))
    kept.close()

    assert find(tmp_path, f"{identity}-0") is not None


def test_processes_that_make_the_key_at_once_have_the_same_whole_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        hashes = list(pool.map(lambda _: record.hasher(tmp_path)("a value"), range(64)))

    assert len(set(hashes)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [record.KEY]
    assert len((tmp_path / record.KEY).read_bytes()) == 32


def test_fields_that_the_service_drops_are_not_recorded(model: Predictor, row: dict[str, Any], tmp_path: Path) -> None:
    kept = recorder(tmp_path, model.contract)
    kept.add(asked({**row, "note": "anything"}))
    kept.close()

    assert "note" not in lines(tmp_path)[0]["inputs"]


def test_private_values_stand_there_as_keyed_hashes(model: Predictor, row: dict[str, Any], tmp_path: Path) -> None:
    """Equal ones alike, also for the next process; the key is its owner's alone."""
    assert [name for name, column in model.contract.columns.items() if column.private] == ["remark"]
    for _ in range(2):
        kept = recorder(tmp_path, model.contract)
        one = asked(row)
        warned = {**one.answers[0], "warnings": [{"field": "remark", "rule": "be_in_set()", "found": row["remark"]}]}
        kept.add(dataclasses.replace(one, answers=[warned]))
        kept.close()

    first, second = lines(tmp_path)
    assert first["inputs"]["remark"] == second["inputs"]["remark"] == first["warnings"][0]["found"]
    assert first["inputs"]["remark"].startswith(HASHED)
    assert row["remark"] not in "".join(path.read_text() for path in tmp_path.glob("*.jsonl"))
    assert stat.S_IMODE((tmp_path / record.KEY).stat().st_mode) == 0o600
    assert first["inputs"]["low"] == row["low"]


def test_a_new_file_is_begun_where_one_is_large(model: Predictor, row: dict[str, Any], tmp_path: Path) -> None:
    kept = recorder(tmp_path, model.contract, max_bytes=1000)
    several = [asked(row, n_rows=4) for _ in range(3)]
    for one in several:
        kept.add(one)
    kept.close()

    assert len(list(tmp_path.glob("*.jsonl"))) == 3
    assert all(find(tmp_path, prediction_id(one.identity, 3)) for one in several)


def test_what_cannot_be_written_is_counted_and_the_rest_is_whole(
    model: Predictor, row: dict[str, Any], tmp_path: Path
) -> None:
    """A device that is always full takes the place of the file."""
    kept = recorder(tmp_path, model.contract)
    with open("/dev/full", "wb", buffering=0) as full:
        kept._current = lambda day: full  # type: ignore[method-assign]
        kept.add(asked(row, n_rows=3))
        kept.close()

    assert kept.n_unwritten == 3


def test_where_too_much_waits_it_is_counted_and_no_request_is_held_up(
    model: Predictor, row: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "MAX_WAITING_BYTES", 2)
    monkeypatch.setattr(record, "WRITE_EVERY_S", 60.0)
    kept = recorder(tmp_path, model.contract)
    for _ in range(5):
        kept.add(asked(row))
    kept.close()

    assert (kept.n_unwritten, len(lines(tmp_path))) == (3, 2)


def test_a_folder_that_cannot_be_written_costs_no_answer(model: Predictor, row: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kept = recorder(tmp_path / "file" / "below", model.contract)
    kept.add(asked(row))
    kept.close()

    assert kept.n_unwritten == 1


def test_ids_are_unique_and_in_the_order_of_time() -> None:
    ids = [request_id() for _ in range(2000)]

    assert len(set(ids)) == 2000
    assert [name[: record.TIME_DIGITS] for name in ids] == sorted(name[: record.TIME_DIGITS] for name in ids)
    assert {len(name) for name in ids} == {28}
    assert abs(int(ids[0][: record.TIME_DIGITS], 16) / 1000 - time.time()) < 60


def test_a_line_is_the_answer_as_it_was_given(model: Predictor, row: dict[str, Any], tmp_path: Path) -> None:
    kept = recorder(tmp_path, model.contract)
    one = asked(row)
    answer = {**one.answers[0], "probabilities": {"yes": 0.1 + 0.2, "no": 5e-324}}
    kept.add(dataclasses.replace(one, answers=[answer]))
    kept.close()

    (path,) = tmp_path.glob("*.jsonl")
    assert path.name.startswith(f"{datetime.now(UTC).date().isoformat()}-{os.getpid()}-0000-")
    assert orjson.loads(path.read_bytes())["probabilities"] == answer["probabilities"]

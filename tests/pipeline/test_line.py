"""The whole line on a small table: what it makes, that it repeats, and what runs again after which change."""

import shutil
import socket
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pandas as pd
import project
import pytest

from lockstep import digest, graph, predictor, replay, runner
from lockstep.contract.request import Door
from lockstep.digest import read_object

Clean = Callable[[Path], Path]
STAGES = [
    "ingest",
    "validate",
    "split",
    "featurize",
    "tune@linear",
    "tune@hist_gradient",
    "tune@xgboost",
    "fit",
    "evaluate",
    "package",
]


def test_the_line_makes_every_out(line: Path) -> None:
    promised = [out for stage in graph.load(line) for out in stage.outs]

    assert [out for out in promised if not (line / out).exists()] == []
    assert [file for file in project.outs(line) if file.stat().st_size == 0] == []


def test_a_second_run_has_nothing_to_do(kept: Path) -> None:
    before = (kept / "dvc.lock").read_bytes()

    asked = project.repro(kept)

    assert "up to date" in project.said(asked)
    assert project.stages_run(asked) == []
    assert (kept / "dvc.lock").read_bytes() == before
    assert "all 10 stages are up to date" in project.said(project.lockstep(kept, "status"))


def test_a_clean_clone_elsewhere_with_other_threads_ends_with_the_same_lock(
    line: Path, clean: Clean, tmp_path: Path
) -> None:
    other = clean(tmp_path / "quite" / "another folder, with a longer name")

    asked = project.repro(other, LOCKSTEP_THREADS="1", TZ="Asia/Tokyo", LANG="C", PYTHONHASHSEED="5")

    project.said(asked)
    assert project.stages_run(asked) == STAGES
    assert (other / "dvc.lock").read_bytes() == (line / "dvc.lock").read_bytes()


def test_no_out_holds_a_clock_a_path_or_a_host_name(line: Path) -> None:
    traces = [
        str(line),
        str(line.parent),
        str(Path.home()),
        socket.gethostname(),
        date.today().isoformat(),
        str(project.home()),
        str(project.PROGRAMS.parent),
    ]
    found = {
        (file.relative_to(line).as_posix(), trace)
        for file in [*project.outs(line), line / "dvc.lock"]
        for trace in traces
        if len(trace) > 3 and trace in text_of(file)
    }

    assert found == set()


def text_of(file: Path) -> str:
    """Return all that can be read in a file; Parquet is compressed, so its values and its notes are shown."""
    if file.suffix != ".parquet":
        return file.read_bytes().decode("utf-8", errors="replace")
    table = pd.read_parquet(file)
    return table.to_csv() + file.read_bytes().decode("utf-8", errors="replace")


def test_the_winner_beats_the_trivial_answer_and_is_packaged(line: Path) -> None:
    scores, packaged = read_object(line / "reports" / "metrics.json"), read_object(line / "models" / "bento.json")

    assert scores["roc_auc_low"] > scores["trivial_roc_auc"] == 0.5
    assert scores["log_loss"] < scores["trivial_log_loss"]
    assert read_object(line / "reports" / "verdict.json")["accepted"] is True
    assert packaged["predictor"] == digest.verify(line / "models" / "predictor")
    assert read_object(line / ".lockstep" / "live.json")["release"] == packaged["release"]


def test_predictions_are_what_both_doors_of_the_predictor_answer(line: Path) -> None:
    model = predictor.load(line / "models" / "predictor")
    test = pd.read_parquet(line / "data" / "test.parquet")
    written = pd.read_parquet(line / "reports" / "predictions.parquet")
    door = Door(model.contract)

    by_table = model.predict_table(test)
    by_rows = model.predict_rows([door.check(row).values for row in replay.request_rows(test, model.contract)])

    chances = written[["probability_no", "probability_yes"]].to_numpy()
    assert written["row"].tolist() == test.index.tolist()
    assert written["prediction"].tolist() == list(by_table.values) == list(by_rows.values)
    assert chances.tobytes() == by_table.output.tobytes() == by_rows.output.tobytes()


def test_train_and_test_share_no_customer_and_lose_no_row(line: Path) -> None:
    parts = {
        name: pd.read_parquet(line / "data" / f"{name}.parquet")
        for name in ("valid", "quarantine", "train", "test", "raw")
    }

    assert not set(parts["train"]["customer_id"]) & set(parts["test"]["customer_id"])
    assert sorted([*parts["train"].index, *parts["test"].index]) == parts["valid"].index.tolist()
    assert len(parts["valid"]) + len(parts["quarantine"]) == len(parts["raw"])


def test_a_family_that_leaves_the_list_leaves_no_trace_in_the_result(
    line: Path, copied: Path, clean: Clean, tmp_path: Path
) -> None:
    left = {"families": ["linear", "hist_gradient"]}
    project.change_params(copied, left)
    other = clean(tmp_path / "other")
    project.change_params(other, left)
    shutil.copytree(line / ".dvc" / "cache", other / ".dvc" / "cache")  # what was searched is not searched again

    asked = project.repro(copied, "fit")
    project.said(project.repro(other, "fit"))

    assert project.stages_run(asked) == ["fit"]
    assert sorted(folder.name for folder in (copied / "models" / "candidates").iterdir()) == ["hist_gradient", "linear"]
    ours, theirs = project.lock_of(copied), project.lock_of(other)
    assert {name: ours[name] for name in theirs} == theirs
    assert not any("xgboost" in found.stage for found in graph.stale(copied))
    for name in ("models/leaderboard.json", "models/predictor/manifest.json"):
        assert (copied / name).read_bytes() == (other / name).read_bytes()

    project.change_params(copied, {"families": ["linear", "hist_gradient", "xgboost"]})
    back = project.said(project.repro(copied, "fit"))

    assert "trial" not in back, "a family that comes back is taken from the cache, not searched again"


def test_a_clone_after_a_pull_gets_back_the_packaged_bento_at_its_digest(copied: Path) -> None:
    packaged = read_object(copied / "models" / "bento.json")
    shutil.rmtree(copied / ".lockstep")

    assert "is not in the bento store; `make run`" in project.said(project.lockstep(copied, "status"))
    assert f"rebuilt {packaged['bento']}" in project.said(project.lockstep(copied, "rebuild"))

    assert packaged["bento"] in project.said(project.run(copied, "bentoml", "list"))
    assert read_object(copied / ".lockstep" / "live.json")["release"] == packaged["release"]
    assert "bento store" not in project.said(project.lockstep(copied, "status"))
    assert project.said(project.lockstep(copied, "rebuild")) == ""


def test_a_rebuild_from_other_parts_is_refused_by_name(copied: Path) -> None:
    shutil.rmtree(copied / ".lockstep")
    project.append(copied / "src/lockstep/service/app.py", "# edited\n")

    project.refused(project.lockstep(copied, "rebuild"), "other service code", "make run")


def test_a_stage_run_again_without_dvc_writes_the_same_bytes(
    line: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copied)
    names = ("models", "reports/metrics.json", "reports/predictions.parquet", "reports/plots", "reports/index.html")
    for name in names[1:]:
        (shutil.rmtree if (copied / name).is_dir() else Path.unlink)(copied / name)

    for words in (["tune", "linear"], ["tune", "hist_gradient"], ["fit"], ["evaluate"]):
        runner.run_stage(copied, words)

    for name in names:
        assert graph.digest(copied / name) == graph.digest(line / name), name

"""The commands, as a user meets them after a run; what each says in every case is held by tests/commands."""

import json
from pathlib import Path

import pandas as pd
import project
import pytest

from lockstep import release


@pytest.fixture
def rows(kept: Path) -> pd.DataFrame:
    return pd.read_parquet(kept / "data" / "test.parquet").head(40)


def test_summary_shows_the_winner_beside_the_baselines(kept: Path) -> None:
    shown = project.said(project.lockstep(kept, "summary"))
    scores = json.loads((kept / "reports" / "metrics.json").read_text())
    line = next(line for line in shown.splitlines() if "roc_auc" in line)
    for name in ("roc_auc", "linear_roc_auc", "trivial_roc_auc"):
        assert f"{scores[name]:.5g}" in line
    assert "bentoml serve" in shown
    assert "reports/index.html" in shown


def test_summary_before_a_run_says_what_to_do(copied: Path) -> None:
    (copied / "reports" / "metrics.json").unlink()
    project.refused(project.lockstep(copied, "summary"), "metrics.json is missing", "make run")


def test_status_names_what_is_stale_why_and_what_is_live(copied: Path) -> None:
    assert "all 10 stages are up to date" in project.said(project.lockstep(copied, "status"))
    project.change_params(copied, {"tune": {"trials": 3}})
    shown = project.said(project.lockstep(copied, "status"))
    assert "tune@xgboost: params.yaml: tune.trials changed" in shown
    assert json.loads((copied / "models" / "bento.json").read_text())["bento"] in shown
    assert "live" in shown


def test_doctor_finds_nothing_wrong_and_then_what_is(copied: Path) -> None:
    well = project.lockstep(copied, "doctor")
    assert "FAIL" not in project.said(well)
    (copied / "expectations" / "rows.json").write_text("{")
    ill = project.lockstep(copied, "doctor")
    assert ill.returncode == 1
    failed = [line for line in ill.stdout.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 1
    assert "rows.json must be JSON" in failed[0]


def test_predict_names_what_it_cannot_do(kept: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    rows.drop(columns="plan").to_parquet(tmp_path / "in.parquet")
    short, to = str(tmp_path / "in.parquet"), str(tmp_path / "out.csv")
    project.refused(project.lockstep(kept, "predict", short, "--to", to), "'plan' is missing")
    project.refused(project.lockstep(kept, "predict", short, "--to", str(tmp_path / "out.xlsx")), ".csv or .parquet")
    project.refused(project.lockstep(kept, "predict", str(tmp_path / "no.csv"), "--to", to), "no.csv")
    assert not list(tmp_path.glob("*out*")), "nothing half written is left"


def test_predict_without_a_live_release_says_so(copied: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    rows.to_parquet(tmp_path / "in.parquet")
    (copied / ".lockstep" / "live.json").unlink()
    assert release.live(copied) is None
    command = ("predict", str(tmp_path / "in.parquet"), "--to", str(tmp_path / "out.csv"))
    project.refused(project.lockstep(copied, *command), "nothing is live", "make run")


def test_predict_answers_a_file_from_a_subfolder_of_the_project(kept: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    rows.drop(columns="churned").to_csv(tmp_path / "in.csv", index=False)

    said = project.said(
        project.lockstep(kept / "src", "predict", str(tmp_path / "in.csv"), "--to", str(tmp_path / "out.parquet"))
    )

    answers = pd.read_parquet(tmp_path / "out.parquet")
    expected = pd.read_parquet(kept / "reports" / "predictions.parquet").head(40)
    assert said.startswith("40 rows answered by")
    assert answers["probability_yes"].tolist() == expected["probability_yes"].tolist()
    assert answers["refused"].isna().all()


def test_a_later_package_waits_until_it_is_promoted_and_an_earlier_one_comes_back(copied: Path) -> None:
    first = release.live(copied)
    assert first is not None
    project.change_params(copied, {"evaluate": {"cost": {"false_positive": 1, "false_negative": 9}}})
    project.said(project.repro(copied))
    packaged = json.loads((copied / "models" / "bento.json").read_text())["bento"]
    assert packaged != first["bento"]
    assert "it waits" in project.said(project.lockstep(copied, "status"))
    assert packaged in project.said(project.lockstep(copied, "release", "promote"))
    assert release.live(copied)["bento"] == packaged
    project.said(project.lockstep(copied, "release", "promote", first["bento"]))
    assert release.live(copied) == first
    project.refused(project.lockstep(copied, "release", "promote", "churn:nothing"), "must name one release")


def test_predict_refuses_to_answer_by_other_code_than_the_live_release_has(copied: Path, tmp_path: Path) -> None:
    pd.read_parquet(copied / "data" / "test.parquet").to_parquet(tmp_path / "in.parquet")
    with (copied / "src" / "lockstep" / "encoder.py").open("a") as code:
        code.write("# changed\n")
    command = ("predict", str(tmp_path / "in.parquet"), "--to", str(tmp_path / "out.csv"))
    project.refused(project.lockstep(copied, *command), "not that of the live release", "lockstep release promote")

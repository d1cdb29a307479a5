"""The commands, as a user meets them after a run."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import project
import pytest

from lockstep import contract, predictor, release, replay
from lockstep.commands import predict
from lockstep.contract.request import Door


@pytest.fixture(scope="module")
def model(kept: Path) -> predictor.Predictor:
    return predictor.load(kept / "models" / "predictor")


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


def test_contract_is_shown_checked_and_suggested(kept: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    assert "monthly_charge" in project.said(project.lockstep(kept, "contract", "show"))
    assert "16 columns" in project.said(project.lockstep(kept, "contract", "check"))
    suggested = json.loads(project.said(project.lockstep(kept, "contract", "suggest")))
    assert suggested["meta"]["columns"]["churned"]["role"] == "target"
    contract.loads(json.dumps(suggested).encode())

    pd.read_parquet(kept / "data" / "raw.parquet").to_parquet(tmp_path / "good.parquet")
    good = project.said(project.lockstep(kept, "contract", "check", str(tmp_path / "good.parquet")))
    assert "rows keep the contract" in good
    pd.read_parquet(kept / "data" / "raw.parquet").assign(plan="gold").to_parquet(tmp_path / "bad.parquet")
    project.refused(project.lockstep(kept, "contract", "check", str(tmp_path / "bad.parquet")), "'plan'", "be_in_set")


@pytest.mark.parametrize("name", ["in.csv", "in.csv.gz", "in.tsv", "in.jsonl", "in.parquet"])
def test_every_row_of_a_file_is_answered_in_order(
    name: str,
    kept: Path,
    rows: pd.DataFrame,
    model: predictor.Predictor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predict, "CHUNK_ROWS", 7)
    table = rows.drop(columns="churned").reset_index(drop=True)
    write(table, tmp_path / name)
    said = predict.predict(kept, tmp_path / name, tmp_path / "out.parquet")
    answers = pd.read_parquet(tmp_path / "out.parquet")
    expected = model.predict_table(rows)
    assert said.startswith("40 rows answered")
    assert list(answers["prediction"]) == list(expected.values)
    assert np.array_equal(answers[["probability_no", "probability_yes"]].to_numpy(), expected.output)
    assert answers["refused"].isna().all()


def write(table: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".parquet":
        table.to_parquet(path)
        return
    text = table.assign(snapshot_month=table["snapshot_month"].dt.strftime("%Y-%m-%d"))
    if path.suffix == ".jsonl":
        content = text.drop(columns=text.columns[text.dtypes == "datetime64[us]"]).to_json(orient="records", lines=True)
    else:
        content = text.to_csv(index=False, sep="\t" if path.suffix == ".tsv" else ",")
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())


def test_refused_rows_come_out_with_null_and_the_rule_that_a_request_meets(
    kept: Path, rows: pd.DataFrame, model: predictor.Predictor, tmp_path: Path
) -> None:
    bad = rows.reset_index(drop=True)
    bad.loc[3, "monthly_charge"] = -1.0
    bad.loc[5, "contract"] = "lifetime"
    bad.loc[6, "plan"] = None
    bad.to_parquet(tmp_path / "in.parquet")
    predict.predict(kept, tmp_path / "in.parquet", tmp_path / "out.csv")
    answers = pd.read_csv(tmp_path / "out.csv")
    assert list(answers.index[answers["refused"].notna()]) == [3, 5, 6]
    assert answers.loc[[3, 5, 6], ["prediction", "probability_yes"]].isna().all(axis=None)
    door = Door(model.contract)
    for position, row in enumerate(replay.request_rows(bad, model.contract)):
        faults = "; ".join(f"{fault.field}: {fault.rule}" for fault in door.check(row).faults)
        found = answers.loc[position, "refused"]
        assert (found if isinstance(found, str) else "") == faults


def test_a_table_of_refused_rows_alone_is_answered_too(kept: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    rows.assign(monthly_charge=-1.0).to_parquet(tmp_path / "in.parquet")
    said = predict.predict(kept, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert "40 of them refused" in said
    assert pd.read_parquet(tmp_path / "out.parquet")["prediction"].isna().all()


def test_a_category_never_seen_is_answered(kept: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    rows.assign(region="moon").to_parquet(tmp_path / "in.parquet")
    predict.predict(kept, tmp_path / "in.parquet", tmp_path / "out.parquet")
    answers = pd.read_parquet(tmp_path / "out.parquet")
    assert answers["refused"].isna().all()
    assert answers["probability_yes"].between(0, 1).all()


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

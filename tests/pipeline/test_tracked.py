"""What `dvc repro` made stands in MLflow when it ends, and the model there answers as evaluate recorded."""

import json
import shutil
from pathlib import Path

import pandas as pd
import project
import pytest

from lockstep import ledger

LOAD = """
import sys
import mlflow.pyfunc, pandas as pd
model = mlflow.pyfunc.load_model("models:/churn@challenger")
model.predict(pd.read_parquet(sys.argv[1])).to_parquet(sys.argv[2])
"""
SHOW = """
import json
from mlflow import MlflowClient
client = MlflowClient()
experiment = client.get_experiment_by_name("churn")
found = client.search_runs([experiment.experiment_id])
print(json.dumps([[run.info.run_name, run.info.status, run.data.tags, run.data.metrics] for run in found]))
"""


def runs(root: Path) -> list[tuple[str, str, dict[str, str], dict[str, float]]]:
    """Return name, status, tags and metrics of every run, as plain Python in the project finds them."""
    return [tuple(run) for run in json.loads(project.said(project.run(root, "python", "-c", SHOW)))]


def test_the_line_ends_in_mlflow_with_all_that_it_made(copied: Path) -> None:
    project.said(project.lockstep(copied, "publish"))
    again = project.said(project.lockstep(copied, "publish"))

    found = runs(copied)

    kinds = [tags["lockstep.kind"] for _, _, tags, _ in found]
    assert again.startswith("nothing new for ")
    assert {status for _, status, _, _ in found} == {"FINISHED"}
    assert {kind: kinds.count(kind) for kind in kinds} == {"winner": 1, "search": 3, "trial": 6}
    ((tags, metrics),) = [(tags, metrics) for _, _, tags, metrics in found if tags["lockstep.kind"] == "winner"]
    scores = json.loads((copied / "reports" / "metrics.json").read_text())
    assert {name: metrics[name] for name in scores} == scores
    entry = ledger.current(copied, "fit")
    assert entry
    assert tags["lockstep.commit"] == entry["commit"]
    assert tags["lockstep.bento"] == json.loads((copied / "models" / "bento.json").read_text())["bento"]


def test_the_challenger_gives_the_very_answers_that_were_evaluated(copied: Path, tmp_path: Path) -> None:
    project.said(project.lockstep(copied, "publish"))
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{copied}/.lockstep/mlflow.db"}

    asked = project.run(
        tmp_path,
        *("python", "-c", LOAD, str(copied / "data" / "test.parquet"), "out.parquet"),
        MLFLOW_ALLOW_PICKLE_DESERIALIZATION="False",
        **store,
    )

    project.said(asked)
    given = pd.read_parquet(tmp_path / "out.parquet").reset_index(drop=True)
    expected = pd.read_parquet(copied / "reports" / "predictions.parquet").reset_index(drop=True)
    names = [name for name in expected if name != "row"]
    pd.testing.assert_frame_equal(given[names], expected[names], check_exact=True)
    assert given["refused"].isna().all()


def test_other_parameters_make_other_runs_and_leave_the_earlier_ones(copied: Path) -> None:
    project.said(project.lockstep(copied, "publish"))
    before = runs(copied)
    project.change_params(copied, {"tune": {"trials": 3}, "families": ["linear", "hist_gradient"]})
    asked = project.repro(copied, "evaluate")
    project.said(asked)
    project.said(project.lockstep(copied, "publish"))

    after = runs(copied)

    keys = [{tags["lockstep.key"] + tags["lockstep.content"] for _, _, tags, _ in found} for found in (before, after)]
    assert keys[0] < keys[1]
    assert len(keys[1]) == len(after)
    assert sum(tags["lockstep.kind"] == "search" for _, _, tags, _ in after) == 5


def test_without_its_store_all_is_published_again(copied: Path) -> None:
    for path in (copied / ".lockstep").glob("ml*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    said = project.said(project.lockstep(copied, "publish"))

    assert "winner" in said
    assert "(version 1, the challenger)" in said
    assert [path.name for path in (copied / ".lockstep" / "mlartifacts").iterdir()] == ["churn"]


def test_a_store_that_cannot_be_reached_is_one_line_and_exit_status_one(copied: Path) -> None:
    asked = project.lockstep(copied, "publish", "--seconds", "8", MLFLOW_TRACKING_URI="http://127.0.0.1:9")

    project.refused(asked, "no server answers at http://127.0.0.1:9", "`lockstep publish` goes on from there")


@pytest.mark.parametrize("damage", [b"", b"SQLite format 3\x00"])
def test_a_damaged_store_is_one_line_and_is_not_overwritten(damage: bytes, copied: Path) -> None:
    project.said(project.lockstep(copied, "publish"))
    store = copied / ".lockstep" / "mlflow.db"
    store.write_bytes(damage)

    project.refused(project.lockstep(copied, "publish"), "mlflow.db must be MLflow's database", "Move it away")

    assert store.read_bytes() == damage

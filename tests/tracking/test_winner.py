"""The winner's run holds what a person asks for, and its model answers as the predictor does, wherever it is loaded."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import finished
import mlflow
import pandas as pd
import pytest
import small_project
from mlflow.entities import Run

from lockstep import answers, digest, graph, predictor, project, pyfunc, tracking
from lockstep import contract as contracts
from lockstep.errors import IntegrityError
from lockstep.service import released
from lockstep.stages import files
from lockstep.tracking import glance, store, views
from lockstep.tracking.made import load

LOAD = """
import sys
import mlflow.pyfunc, pandas as pd
uri, rows, to = sys.argv[1:]
model = mlflow.pyfunc.load_model(uri)
import lockstep
assert "/artifacts/code/lockstep/" in lockstep.__file__, lockstep.__file__
model.predict(pd.read_parquet(rows)).to_parquet(to)
"""


@pytest.fixture
def winner(shown: Path) -> Run:
    (found,) = finished.runs(finished.client(shown), "winner")
    return found


def test_settings_scores_and_standing_are_those_of_the_files(shown: Path, winner: Run) -> None:
    card = json.loads((shown / "models/predictor/predictor.json").read_text())
    scores = json.loads((shown / "reports/metrics.json").read_text())
    leader = json.loads((shown / "models/leaderboard.json").read_text())[0]

    assert {name: winner.data.params[name] for name in ("family", "problem", "seed")} == {
        "family": "linear",
        "problem": "binary",
        "seed": "7",
    }
    assert {name: winner.data.params[name] for name in card["settings"]} == {
        name: json.dumps(value) for name, value in card["settings"].items()
    }
    assert {name: winner.data.metrics[name] for name in scores} == scores
    assert winner.data.metrics["loss"] == leader["loss"]


def test_tags_name_data_contract_code_and_who_made_it(shown: Path, winner: Run) -> None:
    made = load(shown)
    entry = json.loads(next((shown / ".lockstep/ledger/fit").iterdir()).read_text())

    tags = {name.removeprefix("lockstep."): value for name, value in winner.data.tags.items()}

    assert tags["source"] == graph.digest(shown / "data/source.lock")
    assert tags["train"] == graph.digest(shown / "data/train.parquet")
    assert tags["contract"] == graph.digest(shown / contracts.FILE)
    assert tags["packages"] == graph.digest(shown / project.LOCK)
    assert len(tags["code"]) == 64
    assert tags["predictor"] == digest.of_file(shown / "models/predictor/manifest.json")
    assert (tags["commit"], tags["dirty"]) == (entry["commit"], "no")
    assert (tags["made_at"], tags["made_on"]) == (entry["began"], entry["owner"]["host"])
    assert (tags["verdict"], tags["bento"]) == ("accepted", f"churn:{'f' * 16}")
    assert winner.info.start_time == int(finished.BEGAN.timestamp() * 1000)
    assert winner.info.end_time == winner.info.start_time + 12_500
    assert made["evaluate"].deps["data/train.parquet"] == tags["train"]


def test_a_change_that_is_not_committed_is_named_by_its_patch(root: Path) -> None:
    (root / "params.yaml").write_text((root / "params.yaml").read_text() + "# mine\n")
    finished.search(root, "linear", [finished.trial(0), finished.trial(1)])
    finished.record(root)

    tracking.publish(root)

    runs = finished.runs(finished.client(root), "search")
    (linear,) = [run for run in runs if run.data.params["family"] == "linear"]
    assert linear.data.tags["lockstep.dirty"] == "yes"
    assert (root / f".lockstep/ledger/patches/{linear.data.tags['lockstep.patch']}.patch").is_file()


def test_where_git_failed_nobody_knows_whether_files_differed(root: Path) -> None:
    finished.search(root, "linear", [finished.trial(0), finished.trial(1)], study="0" * 64)
    (root / ".git" / "index").write_bytes(b"no index")
    finished.record(root)

    tracking.publish(root)

    runs = finished.runs(finished.client(root), "search")
    assert [run.data.tags["lockstep.dirty"] for run in runs if run.data.params["family"] == "linear"] == ["unknown"]


def test_data_sets_are_named_by_their_digests(shown: Path, winner: Run) -> None:
    found = {put.dataset.name: put for put in winner.inputs.dataset_inputs}

    assert {name: put.dataset.digest for name, put in found.items()} == {
        name: graph.digest(shown / f"data/{name}.parquet") for name in ("train", "test")
    }
    assert json.loads(found["train"].dataset.source) == {"uri": "data/train.parquet"}
    assert json.loads(found["test"].dataset.profile)["num_rows"] == 100
    columns = {one["name"]: one["type"] for one in json.loads(found["train"].dataset.schema)["mlflow_colspec"]}
    assert (columns["low"], columns["seen"], columns["active"], columns["target"]) == (
        "double",
        "datetime",
        "boolean",
        "string",
    )
    assert "note" not in columns
    assert found["train"].tags[0].value == "training"


def test_pages_and_plots_are_artifacts(shown: Path, winner: Run) -> None:
    of = finished.client(shown)

    names = finished.artifacts(of, winner.info.run_id)

    assert sorted(names) == [
        "index.html",
        "leaderboard.json",
        "metrics.json",
        "plots/roc.csv",
        "plots/roc.svg",
        "validation.html",
        "verdict.json",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", finished.uri(shown))
        for name in names:
            place = "models" if name.startswith("leader") else "reports"
            assert (
                mlflow.artifacts.load_text(f"{winner.info.artifact_uri}/{name}") == (shown / place / name).read_text()
            )


def test_the_page_of_the_experiment_leads_to_families_trials_and_winners(shown: Path) -> None:
    experiment = finished.client(shown).get_experiment_by_name(finished.NAME)

    note = experiment.tags["mlflow.note.content"]
    saved = {
        view: json.loads(experiment.tags[f"mlflow.sharedViewState.{view}"]) for view in (views.TRIALS, views.WINNERS)
    }

    assert all(f"(#/experiments/{experiment.experiment_id}/runs" in note and view in note for view in saved)
    assert saved[views.TRIALS]["name"] == "Families and trials"
    assert "metrics.`roc_auc`" in json.loads(saved[views.WINNERS]["state"])["selectedColumns"]
    colours = {
        run.data.tags["lockstep.family"]: run.data.tags["mlflow.runColor"]
        for run in finished.runs(finished.client(shown))
    }
    assert colours == dict(zip(finished.FAMILIES, views.COLOURS, strict=False))
    assert f"({glance.page(store.find(shown)).removeprefix('/')})" in note


def test_where_nothing_was_published_no_page_is_named(plain: Path, tmp_path: Path) -> None:
    assert glance.page(store.find(plain)) == ""
    assert glance.page(store.find(tmp_path)) == ""


@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_the_challenger_answers_as_the_predictor_does_in_any_process(problem: str, tmp_path: Path) -> None:
    root = finished.make(tmp_path / "project", problem)
    tracking.publish(root)
    raw = small_project.draw(60, seed=9)
    raw.loc[3, "low"] = -1.0
    raw.loc[5, ["colour", "town"]] = None
    raw["active"] = raw["active"].astype(object)
    raw["low"] = raw["low"].round()
    raw.to_parquet(tmp_path / "rows.parquet")

    asked = subprocess.run(
        [sys.executable, "-c", LOAD, "models:/churn@challenger", tmp_path / "rows.parquet", tmp_path / "out.parquet"],
        cwd=tmp_path,
        env=_environment(root),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert asked.returncode == 0, asked.stderr
    expected = answers.answer(raw, predictor.load(root / "models/predictor"))
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), expected, check_exact=True)
    assert expected["refused"].notna().tolist() == [i == 3 for i in range(60)]


def test_the_model_states_its_packages_its_columns_and_holds_no_pickle(published: Path) -> None:
    (place,) = (published / ".lockstep/mlartifacts/churn/models").iterdir()
    folder = place / "artifacts"
    found = mlflow.models.Model.load(str(folder))

    pinned = (folder / "requirements.txt").read_text().splitlines()
    locked = project.locked(published)

    assert {"mlflow", "pandas", "numpy", "treelite", "xgboost"} <= {line.partition("==")[0] for line in pinned}
    assert all(locked[line.partition("==")[0]] == line.partition("==")[2] for line in pinned)
    inputs = {column.name: column.required for column in found.signature.inputs}
    assert inputs["low"]
    assert not inputs["account"]
    assert not {"target", "note"} & inputs.keys()
    assert found.signature.outputs.input_names() == ["prediction", "probability_no", "probability_yes", "refused"] or (
        found.signature.outputs.input_names() == ["prediction", "probability_yes", "probability_no", "refused"]
    )
    assert [path.name for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle", ".joblib", ".pyc")] == []


def test_a_model_refuses_other_code_than_its_own(published: Path) -> None:
    (place,) = (published / ".lockstep/mlartifacts/churn/models").iterdir()
    card = place / "artifacts/data/data/model.json"
    card.write_text(digest.dump_json({**json.loads(card.read_text()), "code": "0" * 64}))

    with pytest.raises(IntegrityError, match=r"must answer by its own code, 0000000000000000; this process imported /"):
        pyfunc._load_pyfunc(str(card.parent))


def test_a_damaged_model_is_refused_before_it_is_parsed(published: Path) -> None:
    (place,) = (published / ".lockstep/mlartifacts/churn/models").iterdir()
    (engine,) = (place / "artifacts/data/data/predictor").glob("*.npz")
    engine.write_bytes(engine.read_bytes()[:-1])

    with pytest.raises(IntegrityError, match=r"predictor/linear\.npz was changed"):
        pyfunc._load_pyfunc(str(place / "artifacts/data/data"))


def test_rows_whose_labels_are_not_unique_are_answered_in_order(published: Path) -> None:
    (place,) = (published / ".lockstep/mlartifacts/churn/models").iterdir()
    model = pyfunc._load_pyfunc(str(place / "artifacts/data/data"))
    rows = small_project.draw(6).set_index(pd.Index([1, 1, 2, 2, 3, 3]))

    found = model.predict(rows)

    assert found.index.tolist() == [1, 1, 2, 2, 3, 3]
    expected = answers.answer(rows.reset_index(drop=True), model.predictor)
    pd.testing.assert_frame_equal(
        found.reset_index(drop=True).drop(columns="refused"), expected.drop(columns="refused"), check_exact=True
    )
    assert found["refused"].tolist() == [None] * 6


def test_a_model_carries_what_serves_and_the_door_for_tables() -> None:
    package = Path(pyfunc.__file__).parent

    assert set(pyfunc.shipped(package)) - set(released.shipped(package)) == {"answers.py", "pyfunc.py"}
    assert answers.INDEX == files.INDEX


def test_no_secret_of_the_environment_or_the_source_is_published(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = ["s3cr3t-token", "s3cr3t-password", "s3cr3t-source"]
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", secrets[0])
    monkeypatch.setenv("DATABASE_PASSWORD", secrets[1])
    finished.write(root, "data/source.lock", json.dumps({"locator": f"https://u:{secrets[2]}@example.org/t.csv"}))
    finished.record(root)

    tracking.publish(root)

    written = b"".join(path.read_bytes() for path in (root / ".lockstep").rglob("*") if path.is_file())
    assert b"lockstep.source" in written
    assert [secret for secret in secrets if secret.encode() in written] == []


def _environment(root: Path) -> dict[str, Any]:
    kept = {name: value for name, value in small_project.os.environ.items() if name != "PYTHONPATH"}
    return {**kept, "MLFLOW_TRACKING_URI": finished.uri(root), "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "False"}

"""What the stages wrote stands in MLflow, once, whatever happened on the way."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import finished
import pytest

from lockstep import digest, tracking
from lockstep.errors import IntegrityError, ProjectError
from lockstep.tracking import reconcile

WRITES = (
    "create_run",
    "log_batch",
    "log_inputs",
    "log_outputs",
    "log_artifacts",
    "set_terminated",
    "create_logged_model",
    "log_model_artifacts",
    "finalize_logged_model",
    "create_registered_model",
    "create_model_version",
    "set_registered_model_alias",
    "create_experiment",
    "set_experiment_tag",
)


class Killed(BaseException):
    """Stands for the end of the process."""


class Mortal:
    """A client that dies right after its n-th write."""

    def __init__(self, client: Any, left: int) -> None:
        self._client, self._left = client, left

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name not in WRITES:
            return method

        def write(*words: Any, **named: Any) -> Any:
            result = method(*words, **named)
            self._left -= 1
            if not self._left:
                raise Killed
            return result

        return write


def publish_killed_after(root: Path, writes: int) -> bool:
    """Publish with a client that dies after so many writes; say whether it did."""
    living = reconcile._client

    @contextlib.contextmanager
    def mortal(*words: Any) -> Iterator[Mortal]:
        with living(*words) as client:
            yield Mortal(client, writes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconcile, "_client", mortal)
        try:
            tracking.publish(root)
        except Killed:
            return True
    return False


def test_publishing_twice_changes_nothing(published: Path) -> None:
    before = finished.everything(finished.client(published))
    tracking.publish(published)  # which finds that the project was copied
    bytes_before = (published / ".lockstep/mlflow.db").read_bytes()

    report = tracking.publish(published)

    assert report.done == ()
    assert str(report).startswith("nothing new for sqlite:///")
    assert finished.everything(finished.client(published)) == before
    assert (published / ".lockstep/mlflow.db").read_bytes() == bytes_before


def test_mlflow_is_asked_too_and_finds_nothing_to_do(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = finished.everything(finished.client(published))
    monkeypatch.setattr("lockstep.tracking.glance.nothing_to_do", lambda *_: False)

    assert tracking.publish(published).done == ()
    assert finished.everything(finished.client(published)) == before


def test_a_publisher_killed_after_any_write_is_completed_by_the_next(plain: Path, shown: Path, tmp_path: Path) -> None:
    expected = finished.everything(finished.client(shown))
    kills = 0
    for writes in range(1, 1000, 5):
        root = finished.copy(plain, tmp_path / str(writes))
        if not publish_killed_after(root, writes):
            break
        kills += 1

        tracking.publish(root)

        assert finished.everything(finished.client(root)) == expected, f"killed after write {writes}"
        assert not (root / ".lockstep/publishing").exists()
    assert kills > 7


def test_a_publisher_that_is_killed_again_and_again_gets_there(root: Path, shown: Path) -> None:
    for writes in range(1, 100):
        if not publish_killed_after(root, writes):
            break

    assert writes > 8
    assert finished.everything(finished.client(root)) == finished.everything(finished.client(shown))


def test_after_an_edit_the_earlier_runs_stay_and_new_ones_come(published: Path) -> None:
    of = finished.client(published)
    before = [run.info.run_id for run in finished.runs(of)]
    aside = finished.copy(published, published.with_name("aside"))
    finished.search(published, "xgboost", [finished.trial(n) for n in range(2)], study="e" * 64)
    finished.refit(published)
    finished.record(published)

    second = str(tracking.publish(published))

    runs = finished.runs(of)
    assert "search xgboost (2 trials), winner linear (version 2, the challenger)" in second
    assert set(before) < {run.info.run_id for run in runs}
    assert len(runs) == len(before) + 1 + 2 + 1
    assert of.get_registered_model(finished.NAME).aliases == {"challenger": 2}

    for folder in ("data", "models", "reports", "dvc.lock"):  # dvc checkout of the first
        finished.replace(aside / folder, published / folder)
    assert "version 1 is the challenger" in str(tracking.publish(published))
    assert len(finished.runs(of)) == len(runs)


def test_a_search_that_went_on_is_another_run(published: Path) -> None:
    study = json.loads((published / "models/candidates/xgboost/best.json").read_text())["study"]
    finished.search(published, "xgboost", [finished.trial(number) for number in range(5)], study)
    finished.record(published)

    tracking.publish(published)

    found = [run for run in finished.runs(finished.client(published), "search") if "xgboost" in run.info.run_name]
    assert sorted(run.data.tags["lockstep.trials"] for run in found) == ["3", "5"]
    assert len({run.data.tags["lockstep.key"] for run in found}) == 1
    assert {run.info.status for run in found} == {"FINISHED"}


def test_a_rejected_winner_has_a_run_and_a_model_but_no_version(tmp_path: Path) -> None:
    root = finished.make(tmp_path / "project", accepted=False)

    said = str(tracking.publish(root))

    of = finished.client(root)
    (winner,) = finished.runs(of, "winner")
    assert "winner linear (rejected)" in said
    assert winner.data.tags["lockstep.verdict"] == "rejected"
    assert "**better_than_trivial** failed" in winner.data.tags["mlflow.note.content"]
    assert len(winner.outputs.model_outputs) == 1
    assert list(of.search_registered_models()) == []
    assert tracking.publish(root).done == ()


def test_what_became_of_the_winner_later_is_added_to_its_run(root: Path) -> None:
    record = (root / "models/bento.json").read_text()
    (root / "models/bento.json").unlink()
    tracking.publish(root)
    (root / "models/bento.json").write_text(record)

    said = str(tracking.publish(root))

    (winner,) = finished.runs(finished.client(root), "winner")
    assert "tags of winner linear" in said
    assert winner.data.tags["lockstep.bento"] == f"churn:{'f' * 16}"
    assert tracking.publish(root).done == ()


def test_a_package_of_another_predictor_is_not_named(root: Path) -> None:
    other = {**json.loads((root / "models/bento.json").read_text()), "predictor": "0" * 64}
    (root / "models/bento.json").write_text(digest.dump_json(other))

    tracking.publish(root)

    (winner,) = finished.runs(finished.client(root), "winner")
    assert "lockstep.bento" not in winner.data.tags


@pytest.mark.parametrize(
    "path", ["reports/metrics.json", "reports/plots/roc.svg", "models/predictor/encoder.json", "data/test.parquet"]
)
def test_a_winner_whose_files_are_not_those_recorded_waits(path: str, root: Path) -> None:
    with (root / path).open("ab") as file:
        file.write(b" ")

    said = str(tracking.publish(root))

    assert "search xgboost" in said
    assert "winner linear" not in said
    assert finished.runs(finished.client(root), "winner") == []


def test_a_search_whose_files_are_being_written_waits(root: Path) -> None:
    torn = root / "models/candidates/xgboost/trials.json"
    torn.write_text(torn.read_text()[:-20])

    said = str(tracking.publish(root))

    assert "search linear" in said
    assert "search xgboost" not in said


def test_what_a_person_deleted_stays_deleted(published: Path) -> None:
    of = finished.client(published)
    (winner,) = finished.runs(of, "winner")
    of.delete_run(winner.info.run_id)
    of.delete_model_version(finished.NAME, "1")

    tracking.publish(published)

    (found,) = finished.runs(of, "winner")
    assert found.info.lifecycle_stage == "deleted"
    assert list(of.search_model_versions(f"name = '{finished.NAME}'")) == []


def test_a_search_that_went_on_comes_although_its_beginning_was_deleted(published: Path) -> None:
    of = finished.client(published)
    (first,) = [run for run in finished.runs(of, "search") if run.data.params["family"] == "xgboost"]
    of.delete_run(first.info.run_id)
    finished.search(published, "xgboost", [finished.trial(n) for n in range(5)], first.data.tags["lockstep.study"])
    finished.record(published)

    tracking.publish(published)

    found = [run for run in finished.runs(of, "search") if run.data.params["family"] == "xgboost"]
    assert sorted((run.info.lifecycle_stage, run.data.tags["lockstep.trials"]) for run in found) == [
        ("active", "5"),
        ("deleted", "3"),
    ]


def test_an_experiment_that_was_deleted_is_not_made_again(published: Path) -> None:
    of = finished.client(published)
    of.delete_experiment(of.get_experiment_by_name(finished.NAME).experiment_id)
    finished.search(published, "xgboost", [finished.trial(number) for number in range(2)], study="e" * 64)
    finished.record(published)

    with pytest.raises(ProjectError, match=r"the experiment 'churn' at sqlite:///.* was deleted; restore it there"):
        tracking.publish(published)


def test_a_model_that_answers_otherwise_is_not_shown(root: Path) -> None:
    finished.spoil_predictions(root)

    with pytest.raises(IntegrityError, match="must answer the test rows as evaluate did; it answers otherwise"):
        tracking.publish(root)

    of = finished.client(root)
    assert list(of.search_registered_models()) == []
    assert {run.info.status for run in finished.runs(of, "search")} == {"FINISHED"}


def test_nothing_is_published_before_a_search_is_finished(root: Path) -> None:
    (root / "dvc.lock").unlink()
    (root / ".lockstep/mlflow.db").unlink()

    assert str(tracking.publish(root)) == "nothing to publish yet: no search is finished"
    assert not (root / ".lockstep/mlflow.db").exists()


def test_a_project_that_was_copied_writes_its_own_artifacts(published: Path) -> None:
    copied = finished.copy(published, published.with_name("copied"))
    finished.search(copied, "xgboost", [finished.trial(number) for number in range(2)], study="e" * 64)
    finished.record(copied)
    shutil.rmtree(published)

    tracking.publish(copied)

    of = finished.client(copied)
    inside = (copied / ".lockstep/mlartifacts").as_uri()
    assert all(run.info.artifact_uri.startswith(f"{inside}/") for run in finished.runs(of))
    assert of.get_model_version_download_uri(finished.NAME, "1").startswith(f"{inside}/")
    assert [finished.artifacts(of, run.info.run_id) for run in finished.runs(of, "search")] == [["trials.json"]] * 3
    assert not published.exists()

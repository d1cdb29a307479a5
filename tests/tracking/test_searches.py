"""A search stands in MLflow while it runs and after, its best trials below it, all of them in a table."""

import json
import math
import subprocess
import sys
from pathlib import Path

import finished
import pytest
from mlflow.entities import Run

from lockstep import alive, journal, tracking
from lockstep.journal import Study
from lockstep.tracking import searches
from lockstep.tracking.wanted import OWNER
from lockstep.trial import Trial

STUDY = "a" * 64


@pytest.fixture
def dead() -> alive.Owner:
    """Return a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = alive.of(process.pid)
    process.communicate(b"\n", timeout=30)
    return owner


def journalled(root: Path, numbers: list[int], owner: alive.Owner, *, loss: float = 0.5) -> None:
    """Write the journal of a search for six trials, of which some are judged."""
    folder = root / ".lockstep" / journal.FOLDER
    folder.mkdir(exist_ok=True)
    trials = tuple(Trial(n, {"depth": n}, (loss - n / 100, loss - n / 100), (9, 9), complete=True) for n in numbers)
    study = Study(STUDY, "xgboost", 6, 4, "any", owner, trials, tuple(float(n) for n in numbers))
    (folder / f"{STUDY}.jsonl").write_bytes(study.as_bytes())


def shown(root: Path) -> Run:
    """Return the run of that search."""
    (found,) = [
        run for run in finished.runs(finished.client(root), "search") if run.data.tags["lockstep.study"] == STUDY
    ]
    return found


def history(root: Path, name: str) -> list[tuple[int, float]]:
    found = finished.client(root).get_metric_history(shown(root).info.run_id, name)
    return sorted((at.step, round(at.value, 6)) for at in found)


def finish(root: Path) -> None:
    """Let the search end as tune ends it."""
    finished.search(root, "xgboost", [finished.trial(number) for number in range(6)], STUDY)
    finished.record(root)


def test_the_best_fifty_trials_are_runs_and_all_are_in_the_table(root: Path) -> None:
    trials = [finished.trial(number, given_up=number % 10 == 3) for number in range(70)]
    finished.search(root, "linear", trials[::-1])
    finished.record(root)

    tracking.publish(root)

    of = finished.client(root)
    linear = next(run for run in finished.runs(of, "search") if run.data.params["family"] == "linear")
    below = [run for run in finished.runs(of, "trial") if run.data.tags["mlflow.parentRunId"] == linear.info.run_id]
    best = sorted(trial["loss"] for trial in trials if trial["complete"])[: searches.N_TRIAL_RUNS]
    assert sorted(run.data.metrics["loss"] for run in below) == best
    assert linear.data.metrics["loss"] == best[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", finished.uri(root))
        table = of.load_table(linear.info.experiment_id, searches.TRIALS, [linear.info.run_id])
    assert sorted(table["trial"]) == list(range(1, 71)), "counted as on the terminal"
    assert table.set_index("trial").loc[[4, 5], "given_up"].tolist() == [True, False]
    assert {"loss", "strength", "kind", "fold_0", "fold_1"} < set(table.columns)


def test_a_trial_that_was_given_up_is_marked_and_has_no_loss_to_be_compared(published: Path) -> None:
    trials = finished.runs(finished.client(published), "trial")

    given_up = [run for run in trials if run.data.tags["lockstep.outcome"] == "given up"]

    assert [run.info.run_name for run in given_up] == ["linear 3 (given up)", "xgboost 3 (given up)"]
    assert all("loss" not in run.data.metrics and "fold_loss" in run.data.metrics for run in given_up)
    assert all("loss" in run.data.metrics for run in trials if run not in given_up)


def test_a_loss_that_is_not_finite_is_left_out(root: Path) -> None:
    broken = {**finished.trial(1), "losses": [0.5, None], "loss": None}
    finished.search(root, "linear", [finished.trial(0), broken])
    finished.record(root)

    tracking.publish(root)

    of = finished.client(root)
    found = next(run for run in finished.runs(of, "trial") if run.info.run_name == "linear 2")
    assert "loss" not in found.data.metrics
    assert [at.step for at in of.get_metric_history(found.info.run_id, "fold_loss")] == [0]


def test_a_search_under_way_is_a_running_run_that_grows(root: Path) -> None:
    journalled(root, [0, 2, 1, 4], alive.me())
    first = str(tracking.publish(root))
    begun = history(root, "least_loss")
    journalled(root, [0, 2, 1, 4, 3, 5], alive.me())
    tracking.publish(root)
    tracking.publish(root)

    assert "search xgboost so far (3 trials)" in first
    assert begun == [(1, 0.5), (2, 0.49), (3, 0.48)], "the fourth is not judged yet"
    assert history(root, "least_loss") == [(n + 1, round(0.5 - n / 100, 6)) for n in range(6)]
    found = shown(root)
    assert found.info.status == "RUNNING"
    assert alive.read(json.loads(found.data.tags[OWNER])) == alive.me()
    assert "6 of 6 trials are judged" in found.data.tags["mlflow.note.content"]


def test_a_search_whose_process_is_gone_is_closed_and_then_completed_in_the_same_run(
    root: Path, dead: alive.Owner
) -> None:
    journalled(root, [0, 1], alive.me())
    tracking.publish(root)
    began = shown(root).info
    journalled(root, [0, 1], dead)
    own(root, began.run_id, dead)

    said = str(tracking.publish(root))
    closed = shown(root).info
    journalled(root, [0, 1, 2], alive.me())
    tracking.publish(root)
    resumed = shown(root).info
    finish(root)
    tracking.publish(root)

    found = shown(root)
    assert "1 left behind closed" in said
    assert [closed.status, resumed.status, found.info.status] == ["KILLED", "RUNNING", "FINISHED"]
    assert {closed.run_id, resumed.run_id, found.info.run_id} == {began.run_id}
    assert found.data.tags["lockstep.trials"] == "6"
    below = [
        run
        for run in finished.runs(finished.client(root), "trial")
        if run.data.tags["mlflow.parentRunId"] == began.run_id
    ]
    assert len(below) == 6
    assert tracking.publish(root).done == ()


def test_a_run_that_a_living_process_is_at_work_on_is_not_touched(root: Path) -> None:
    journalled(root, [0, 1], alive.me())
    tracking.publish(root)
    (root / ".lockstep" / journal.FOLDER / f"{STUDY}.jsonl").unlink()

    tracking.publish(root)

    assert shown(root).info.status == "RUNNING"


def test_a_run_of_another_host_and_one_of_a_person_are_not_touched(root: Path) -> None:
    tracking.publish(root)
    of = finished.client(root)
    experiment = of.get_experiment_by_name(finished.NAME).experiment_id
    there = alive.Owner("elsewhere.example.org", "boot", 1, "2")
    tags = {OWNER: json.dumps(there.as_json())}
    ours = [of.create_run(experiment, tags=tags).info.run_id, of.create_run(experiment).info.run_id]

    tracking.publish(root)

    assert [of.get_run(run).info.status for run in ours] == ["RUNNING", "RUNNING"]


def test_what_a_killed_publisher_left_of_files_that_are_gone_is_closed(root: Path, dead: alive.Owner) -> None:
    tracking.publish(root)
    of = finished.client(root)
    experiment = of.get_experiment_by_name(finished.NAME).experiment_id
    left = of.create_run(experiment, tags={OWNER: json.dumps(dead.as_json()), "lockstep.key": "0" * 64})

    said = str(tracking.publish(root))

    assert "1 left behind closed" in said
    assert of.get_run(left.info.run_id).info.status == "KILLED"


def test_half_a_run_of_other_content_is_not_gone_on_with(root: Path, dead: alive.Owner) -> None:
    journalled(root, [0, 1], alive.me())
    tracking.publish(root)
    half = shown(root).info.run_id
    finished.client(root).set_tag(half, "lockstep.content", "something else.dir")
    own(root, half, dead)
    (root / ".lockstep" / journal.FOLDER / f"{STUDY}.jsonl").unlink()
    finish(root)

    tracking.publish(root)

    found = {
        run.info.run_id: run.info.status
        for run in finished.runs(finished.client(root), "search")
        if run.data.tags["lockstep.study"] == STUDY
    }
    assert found.pop(half) == "KILLED"
    assert list(found.values()) == ["FINISHED"]


def own(root: Path, run: str, owner: alive.Owner) -> None:
    finished.client(root).set_tag(run, OWNER, json.dumps(owner.as_json()))


def test_infinite_losses_of_a_journal_are_no_points(root: Path) -> None:
    journalled(root, [0, 1], alive.me(), loss=math.inf)

    tracking.publish(root)

    assert history(root, "least_loss") == []
    assert shown(root).data.metrics == {}

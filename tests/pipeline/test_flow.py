"""The flow leaves what ``dvc repro`` leaves, and its runs say what happened."""

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import prefect_server
import project
import pytest

from lockstep import alive, digest, graph, ledger


@dataclass(frozen=True)
class Ran:
    """A run of the flow: what was said, and what the server knows of it."""

    status: int
    said: str
    run: dict[str, Any]
    tasks: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[prefect_server.Server]:
    with prefect_server.serving(tmp_path_factory.mktemp("prefect")) as started:
        yield started


def flow(root: Path, server: prefect_server.Server, **more: str) -> Ran:
    known = {run["id"] for run in server.runs()}
    asked = project.run(root, "python", "flows/train.py", timeout=300, **server.environment, **more)
    (run,) = [run for run in server.runs() if run["id"] not in known]
    tasks = {task["name"].rpartition("-")[0] or task["name"]: task for task in server.tasks(run["id"])}
    return Ran(asked.returncode, asked.stdout + asked.stderr, run, tasks)


def states(ran: Ran) -> set[str]:
    return {task["state"]["name"] for task in ran.tasks.values()}


@pytest.fixture(scope="module")
def flowed(
    clean: Callable[[Path], Path], server: prefect_server.Server, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Ran]:
    root = clean(tmp_path_factory.mktemp("flowed") / "project")
    return root, flow(root, server)


def test_the_lock_and_every_out_are_those_of_dvc_repro(flowed: tuple[Path, Ran], line: Path) -> None:
    root, ran = flowed

    assert ran.status == 0, ran.said
    assert (root / "dvc.lock").read_bytes() == (line / "dvc.lock").read_bytes()
    ours, theirs = ({file.relative_to(one): file.read_bytes() for file in project.outs(one)} for one in (root, line))
    assert ours == theirs


def test_each_stage_is_a_task_and_all_are_completed(flowed: tuple[Path, Ran]) -> None:
    root, ran = flowed

    assert set(ran.tasks) == {stage.name for stage in graph.load(root)}
    assert states(ran) == {"Completed"}
    assert ran.run["state"]["type"] == "COMPLETED"
    assert ran.run["state"]["message"] == "10 stages are up to date"


def test_searches_ran_at_the_same_time(flowed: tuple[Path, Ran]) -> None:
    _, ran = flowed
    spans = [(ran.tasks[name]["start_time"], ran.tasks[name]["end_time"]) for name in ran.tasks if "tune" in name]

    assert len(spans) == 3
    assert max(start for start, _ in spans) < min(end for _, end in spans)


def test_the_ledger_knows_every_stage(flowed: tuple[Path, Ran]) -> None:
    root, _ = flowed

    for stage in graph.load(root):
        entry = ledger.current(root, stage.name)
        assert entry is not None, stage.name
        assert entry["commit"] == project.git(root, "rev-parse", "HEAD").strip()
        assert not entry["dirty"], entry


def test_reports_are_artifacts(flowed: tuple[Path, Ran], server: prefect_server.Server) -> None:
    _, ran = flowed
    shown = server.artifacts(ran.run["id"])

    assert {"validation", "leaderboard", "scores", "verdict"} <= set(shown)
    assert "keeps the contract" in shown["validation"]
    assert "(chosen)" in shown["leaderboard"]
    assert "| roc_auc |" in shown["scores"]
    assert "better_than_trivial" in shown["verdict"]


def test_what_a_stage_prints_is_the_log_of_its_task(flowed: tuple[Path, Ran], server: prefect_server.Server) -> None:
    _, ran = flowed

    assert any("trial 2/2" in text for text in server.logs(ran.run["id"], ran.tasks["tune@xgboost"]["id"]))


def test_nothing_to_do_is_shown_as_cached(flowed: tuple[Path, Ran], server: prefect_server.Server) -> None:
    root, _ = flowed
    before = (root / "dvc.lock").read_bytes()

    ran = flow(root, server)

    assert ran.status == 0, ran.said
    assert states(ran) == {"Cached"}
    assert (root / "dvc.lock").read_bytes() == before


def test_dvc_repro_finds_nothing_to_do_after_the_flow(flowed: tuple[Path, Ran]) -> None:
    assert project.stages_run(project.repro(flowed[0])) == []


def test_after_an_edit_both_ways_leave_the_same(copied: Path, server: prefect_server.Server, tmp_path: Path) -> None:
    other = project.copy(copied, tmp_path / "other")
    for root in (copied, other):
        project.change_params(root, {"families": ["xgboost", "linear"], "evaluate": {"resamples": 60}})

    ran = flow(copied, server)
    project.said(project.repro(other))

    assert ran.status == 0, ran.said
    assert (copied / "dvc.lock").read_bytes() == (other / "dvc.lock").read_bytes()
    assert ran.tasks["tune@linear"]["state"]["name"] == "Cached"
    assert not (copied / "models" / "candidates" / "hist_gradient").exists()


def test_a_failed_stage_is_told_in_its_own_last_line_and_stops_what_follows(
    copied: Path, server: prefect_server.Server
) -> None:
    table = copied / "data" / "source.lock"
    table.write_text(table.read_text().replace("1500", "1400"))

    ran = flow(copied, server)

    told = ran.tasks["ingest"]["state"]
    assert (ran.status, told["type"]) == (1, "FAILED")
    assert told["message"].startswith("lockstep ingest: the source must be the locked one")
    assert ran.run["state"]["message"] == told["message"]
    assert ran.said.rstrip().splitlines()[-1] == told["message"]
    assert ran.tasks["ingest"]["run_count"] == 1, "it would come again"
    assert "Traceback" not in ran.said
    assert not {task["state"]["type"] for name, task in ran.tasks.items() if name != "ingest"} & {"COMPLETED"}


def test_an_error_that_may_pass_is_tried_again(copied: Path, server: prefect_server.Server) -> None:
    project.change_params(copied, {"flow": {"retries": 2, "retry_delay_s": 0}, "package": {"replay_rows": 21}})
    graph_file = copied / "dvc.yaml"
    once = "sh -c 'echo >> tries; [ $(wc -l < tries) -gt 2 ] || { echo the network is down; exit 75; }' && "
    graph_file.write_text(
        graph_file.read_text().replace("cmd: python src/lockstep package", f"cmd: {once}python src/lockstep package")
    )

    ran = flow(copied, server)

    assert ran.status == 0, ran.said
    assert ran.tasks["package"]["run_count"] == 3
    assert (copied / "tries").read_text().count("\n") == 3


def test_parameters_that_are_wrong_stop_the_flow_before_any_stage(kept: Path, server: prefect_server.Server) -> None:
    path = kept / "params.yaml"
    before = path.read_text()
    path.write_text(before.replace("seed: 7", "sed: 7", 1))
    try:
        ran = flow(kept, server)
    finally:
        path.write_text(before)

    assert ran.status == 1
    assert ran.said.rstrip().splitlines()[-1].startswith("params.yaml: unknown key 'sed'")
    assert "Traceback" not in ran.said
    assert ran.tasks == {}


def test_a_note_of_a_run_that_this_server_does_not_know_is_kept_for_the_one_that_does(
    server: prefect_server.Server, tmp_path: Path
) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows import stale

    note = tmp_path / ".lockstep" / stale.FOLDER / f"{uuid.uuid4()}.json"
    digest.write_atomic(note, digest.dump_json({**alive.me().as_json(), "started": "1"}))

    with temporary_settings({PREFECT_API_URL: server.environment["PREFECT_API_URL"]}):
        assert stale.close(tmp_path) == []
        assert note.exists()
        os.utime(note, (0, 0))
        assert stale.close(tmp_path) == []

    assert not note.exists(), "nobody has known it for months"


def test_a_server_that_hangs_is_not_waited_for_for_minutes(kept: Path) -> None:
    shows = "from prefect.settings import get_current_settings as found; print(found().api.request_timeout)"

    assert project.said(project.run(kept, "python", "-c", shows)) == "10.0\n"

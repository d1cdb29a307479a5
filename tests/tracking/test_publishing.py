"""Publishing is done in a process of its own, which ends in time, and which anybody may end at any time."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import finished
import psutil
import pytest
from servers import answering

from lockstep import publishing
from lockstep.errors import Unavailable

WITHIN_S = 60.0
SOURCE = Path(publishing.__file__).parents[1]


def start(root: Path, program: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, str(root)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


PUBLISH = """
import sys
from pathlib import Path
from lockstep import publishing
print(publishing.publish(Path(sys.argv[1]), 100))
assert not {"mlflow", "pandas", "sqlalchemy"} & set(sys.modules), "the parent must stay light"
"""


def publishers(root: Path) -> list[psutil.Process]:
    """Return the processes that publish this project."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "lockstep.tracking.worker" in " ".join(process.info["cmdline"] or [])
        and str(root) in (process.info["cmdline"] or [])
    ]


def test_the_line_that_was_said_is_returned_and_the_parent_stays_light(root: Path) -> None:
    asked = start(root, PUBLISH)

    out, err = asked.communicate(timeout=WITHIN_S)

    assert asked.returncode == 0, err
    assert out.startswith(f"published to {finished.uri(root)}: search linear (3 trials)")
    assert (root / ".lockstep/logs/publish.log").read_bytes() == b""


def test_two_publishers_at_once_double_nothing(root: Path, shown: Path) -> None:
    asked = [start(root, PUBLISH) for _ in range(2)]

    said = sorted(process.communicate(timeout=WITHIN_S)[0] for process in asked)

    assert [process.returncode for process in asked] == [0, 0]
    assert said[0].startswith("nothing new for")
    assert said[1].startswith("published to")
    assert finished.everything(finished.client(root)) == finished.everything(finished.client(shown))


@pytest.mark.parametrize("written", [1, 4, 7])
def test_a_publisher_that_is_killed_leaves_what_the_next_completes(written: int, root: Path, shown: Path) -> None:
    asked = start(root, PUBLISH)
    end = time.monotonic() + WITHIN_S
    while len(finished.count(root)) < written:
        assert time.monotonic() < end
    (worker,) = publishers(root)

    worker.send_signal(signal.SIGKILL)
    out, err = asked.communicate(timeout=WITHIN_S)

    assert asked.returncode != 0
    assert f"the publisher ended with status -{signal.SIGKILL.value}" in err
    assert out == ""
    publishing.publish(root, WITHIN_S)
    found = finished.everything(finished.client(root))
    assert found == finished.everything(finished.client(shown))
    assert {run["status"] for run in found["runs"]} == {"FINISHED"}


def test_the_publisher_ends_with_the_process_that_asked_for_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(None) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        asked = start(root, PUBLISH)
        end = time.monotonic() + WITHIN_S
        while not publishers(root):
            assert time.monotonic() < end
            assert asked.poll() is None
        asked.kill()
        asked.communicate(timeout=WITHIN_S)

        while publishers(root):
            assert time.monotonic() < end


def test_a_publisher_whose_time_is_up_is_ended(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    with answering(None) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)

        with pytest.raises(Unavailable, match=r"^publishing to MLflow took longer than 0\.5 s and was ended; `lock"):
            publishing.publish(root, 0.5)

    assert time.monotonic() - began < 5
    assert publishers(root) == []


def test_a_publisher_is_ended_when_it_is_no_longer_wanted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(None) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)

        outcome = publishing.best_effort(root, WITHIN_S, lambda: bool(publishers(root)))

    assert not outcome.went_well
    assert str(outcome) == ("not published: publishing to MLflow was stopped; `lockstep publish` goes on from there.")
    assert publishers(root) == []


def test_a_fault_of_the_publisher_itself_is_in_its_log(root: Path) -> None:
    (root / "src/lockstep/tracking/worker.py").write_text("raise RuntimeError('a fault of ours')\n")

    outcome = publishing.best_effort(root, WITHIN_S)

    log = root / ".lockstep/logs/publish.log"
    assert str(outcome).startswith(f"not published: the publisher ended with status 1, see {log}")
    assert "a fault of ours" in log.read_text()


def test_a_state_folder_that_cannot_be_written_costs_a_line(root: Path) -> None:
    (root / ".lockstep/logs").mkdir(exist_ok=True)
    (root / ".lockstep/logs/publish.log").mkdir()

    outcome = publishing.best_effort(root, WITHIN_S)

    assert not outcome.went_well
    assert "Is a directory" in str(outcome)


def test_a_project_with_wrong_parameters_is_told_in_one_line(root: Path) -> None:
    (root / "params.yaml").write_text("problem: binary\nfamilies: []\nsource: {kind: simulate}\n")

    with pytest.raises(Unavailable, match=r"^params\.yaml: families must have at least 1 item"):
        publishing.publish(root, WITHIN_S)

"""Full disks, two runs at once, kills: one line is said, nothing is lost, and the next run finishes."""

import os
import re
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import project
import psutil
import pytest

from lockstep import graph

Clean = Callable[[Path], Path]
WITHIN_S = 60.0
MARK = "LOCKSTEP_TEST_MARK"


# A full disk.


@pytest.mark.parametrize(
    "stage", ["ingest", "validate", "split", "featurize", "tune xgboost", "fit", "evaluate", "package"]
)
def test_a_file_that_cannot_grow_stops_a_stage_with_one_line(stage: str, copied: Path) -> None:
    shutil.rmtree(copied / ".lockstep")

    asked = project.run(copied, "bash", "-c", f"ulimit -f 4; exec python src/lockstep {stage}")

    project.refused(asked, f"lockstep {stage.split()[0]}: File too large: ", "Make room (`dvc gc -w` drops old outs)")
    assert not (copied / ".lockstep" / "live.json").exists()
    assert list((copied / ".lockstep").rglob(".writing-*")) == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    asked = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", folder], capture_output=True, text=True)
    if asked.returncode:
        pytest.skip(f"no small disk can be mounted here: {asked.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def leave_room(disk: Path, kilobytes: int) -> None:
    used = int(subprocess.run(["df", "-k", "--output=used", disk], capture_output=True, check=True).stdout.split()[1])
    subprocess.run(["mount", "-o", f"remount,size={used + kilobytes}k", disk], check=True)


def test_the_line_goes_on_where_a_full_disk_stopped_it(line: Path, clean: Clean, disk: Path) -> None:
    root = clean(disk / "project")
    leave_room(disk, 240)

    stopped = project.repro(root, "featurize")
    leave_room(disk, 100_000)
    finished = project.repro(root, "featurize")

    assert stopped.returncode != 0
    assert "No space left on device" in stopped.stderr, "by a stage, or by DVC where it keeps outs"
    assert "Traceback" not in stopped.stderr
    assert project.said(finished)
    again = project.stages_run(finished)[0]
    assert again in project.stages_run(stopped)[-2:], "finished stages are not run again, if their outs could be kept"
    assert project.lock_of(root) == {name: project.lock_of(line)[name] for name in project.lock_of(root)}


# Two at once.


def test_of_two_runs_at_once_one_finishes_and_nothing_breaks(line: Path, clean: Clean, tmp_path: Path) -> None:
    root = clean(tmp_path / "project")

    asked = [start(root, "split") for _ in range(2)]
    said = [run.communicate(timeout=WITHIN_S) for run in asked]

    assert 0 in [run.returncode for run in asked], said
    assert "Traceback" not in "".join(out + err for out, err in said)
    for run, (_, err) in zip(asked, said, strict=True):
        assert run.returncode == 0 or re.search(r"ERROR: .*(busy|lock)", err), err
    project.said(project.repro(root, "split"))
    assert project.lock_of(root) == {name: project.lock_of(line)[name] for name in ("ingest", "validate", "split")}
    assert not any(found.reasons for found in graph.stale(root)[:3])


# kill -9.

KILLS = {  # what shows that the stage is at work, and who is killed
    "ingest": ("", "dvc"),
    "validate": ("reports/validation.json", "stage"),
    "split": ("data/train.parquet", "dvc"),
    "tune@xgboost": ("", "stage"),
    "fit": ("models/leaderboard.json", "dvc"),
    "evaluate": ("reports/metrics.json", "stage"),
    "package": (".lockstep/bento/bentos", "dvc"),
}


def test_after_kills_at_any_stage_the_line_ends_as_if_undisturbed(line: Path, clean: Clean, tmp_path: Path) -> None:
    root = clean(tmp_path / "project")
    finished: list[str] = []
    for stage, (sign, victim) in KILLS.items():
        ran = killed_at(root, stage, sign, victim)
        assert not set(finished) & set(ran), "finished stages are not run again"
        finished += ran[:-1]

    last = project.repro(root)

    assert project.said(last)
    assert project.stages_run(last) == ["package"]
    assert (root / "dvc.lock").read_bytes() == (line / "dvc.lock").read_bytes()
    assert project.lockstep(root, "status").stdout.count("up to date") == 1


def killed_at(root: Path, stage: str, sign: str, victim: str) -> list[str]:
    """Run the line until ``stage`` is at work, kill, see that nothing of it is left; return the stages that ran."""
    mark = uuid.uuid4().hex
    run = start(root, **{MARK: mark})
    output = ""
    for text in run.stdout or ():
        output += text
        if text.startswith(f"Running stage '{stage}'"):
            break
    else:
        pytest.fail(f"{stage} was never run:\n{output}")
    child = until(lambda: stage_process(run.pid, stage))
    until(lambda: not sign or (root / sign).exists())
    os.kill(run.pid if victim == "dvc" else child.pid, signal.SIGKILL)
    run.communicate(timeout=WITHIN_S)
    assert run.returncode != 0
    until(lambda: not marked(mark))
    return re.findall(r"^Running stage '([^']+)'", output, flags=re.MULTILINE)


def start(root: Path, *words: str, **more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["dvc", "repro", *words],
        cwd=root,
        env=project.environment(**more, PYTHONUNBUFFERED="1", SHELL="/bin/bash"),  # DVC starts commands by it
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stage_process(pid: int, stage: str) -> psutil.Process | None:
    words = ["src/lockstep", *stage.split("@")]
    for process in psutil.Process(pid).children(recursive=True):
        try:
            if process.cmdline()[1 : 1 + len(words)] == words:
                return process
        except psutil.NoSuchProcess:
            continue
    return None


def marked(mark: str) -> list[str]:
    """Return the commands of all processes that were started, however far down, with a mark in the environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def until(holds: Callable[[], object]) -> "psutil.Process":
    """Wait until ``holds()`` is true, and return what it gave."""
    end = time.monotonic() + WITHIN_S
    while not (found := holds()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)
    return found  # type: ignore[return-value]

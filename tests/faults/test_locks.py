"""Locks and records that a dead process left behind."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest
from faults import FLOW, REPRO, Fault
from sites import Site

DVC = "/usr/bin/dvc repro"
FLOWS = "lockstep flow 7f61100de650, stage split, of a process that began at tick 1459950"


@pytest.fixture
def other() -> Iterator[int]:
    """Give the number of a living process that has nothing to do with any of this."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process.pid
        process.kill()


def dead() -> int:
    """Return a number that no process has."""
    with subprocess.Popen(["true"]) as process:
        return process.pid


def locked(site: Site, pid: int, command: str) -> str:
    """Return DVC's file of path locks as a process leaves it that is killed while split runs."""
    info = {"pid": pid, "cmd": command}
    return json.dumps(
        {
            "write": {str(site.root / out): info for out in site.outs["split"]},
            "read": {str(site.root / out): [info] for out in site.outs["validate"]},
        }
    )


def put(site: Site, content: str) -> None:
    (site.root / ".dvc" / "tmp" / "rwlock").write_text(content)


@pytest.mark.parametrize(
    ("state", "command"),
    [("gone", DVC), ("gone", FLOWS), ("reused", DVC), ("reused", FLOWS), ("torn", DVC), ("empty", DVC)],
)
def test_a_flow_goes_on_by_itself_whatever_lock_was_left(state: str, command: str, site: Site, other: int) -> None:
    """The process is gone; its number is another's now; or it was killed while it wrote the file."""
    content = locked(site, dead() if state == "gone" else other, command)
    put(site, {"torn": content[:100], "empty": ""}.get(state, content))
    site.forget("split")

    site.completes(made=["split"])


@pytest.mark.parametrize("command", [DVC, FLOWS])
def test_dvc_repro_goes_on_where_the_process_is_gone(command: str, site: Site) -> None:
    put(site, locked(site, dead(), command))
    site.forget("split")

    site.completes(REPRO, made=["split"])


@pytest.mark.parametrize("state", ["reused", "torn"])
def test_where_dvc_repro_cannot_know_it_says_what_to_do(state: str, site: Site, other: int) -> None:
    """DVC takes any living process of that number for the owner; a flow after it mends the file."""
    content = locked(site, other, DVC)
    put(site, content if state == "reused" else content[:100])
    site.forget("split")

    ended = site.run(REPRO)

    assert ended.status != 0
    assert "Traceback" not in ended.text
    assert ("you can manually remove" if state == "reused" else "Unable to read RWLock-file") in ended.text
    site.completes(made=["split"])


@pytest.mark.parametrize("command", [FLOW, REPRO], ids=["flow", "dvc repro"])
def test_the_file_of_the_lock_of_the_repository_alone_holds_nobody_up(command: tuple[str, ...], site: Site) -> None:
    """The kernel's lock is what counts, and ends with its process."""
    (site.root / ".dvc" / "tmp" / "lock").write_text(f"{dead()}\n")
    site.forget("split")

    site.completes(command, made=["split"])


@pytest.mark.parametrize("command", [FLOW, REPRO], ids=["flow", "dvc repro"])
def test_the_claims_of_a_killed_flow_hold_nobody_up(command: tuple[str, ...], site: Site) -> None:
    site.forget("split")
    run = site.start(FLOW, Fault("split", "during"))
    run.reaches()
    run.signal(signal.SIGKILL)
    run.ends()

    assert site.run(command).made == ["split"]
    site.completes(made=[])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_a_dvc_lock_that_a_kill_cut_off_is_written_anew_without_a_stage_being_run(share: float, site: Site) -> None:
    """What it recorded is taken from DVC's cache; the flow says so."""
    lock = site.root / "dvc.lock"
    lock.write_bytes(site.undisturbed[: int(share * len(site.undisturbed))])

    ended = site.completes(made=[])

    assert "dvc.lock was cut off" in ended.text or share


def test_a_dvc_lock_with_the_marks_of_a_merge_is_left_alone(site: Site) -> None:
    lock = site.root / "dvc.lock"
    text = f"<<<<<<< ours\n{lock.read_text()}=======\n>>>>>>> theirs\n"
    lock.write_text(text)

    ended = site.run(FLOW)

    assert ended.status != 0
    assert "Traceback" not in ended.text
    assert "dvc.lock holds the marks of a merge; take one side, and run `dvc repro`." in ended.text.splitlines()
    assert lock.read_text() == text


def test_a_run_that_dvc_was_killed_while_noting_is_run_again(site: Site) -> None:
    """It leaves an empty folder in the cache of runs, over which DVC stumbles."""
    site.forget("split")
    run = site.start(FLOW, Fault("split", "after"))
    run.reaches()
    run.signal(signal.SIGKILL)
    run.ends()
    for path in (site.root / ".dvc" / "cache" / "runs").glob("*/*"):
        shutil.rmtree(path)
        path.mkdir()

    site.completes(made=["split"])

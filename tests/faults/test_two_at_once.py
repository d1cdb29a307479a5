"""Two runs at the same time, with the same parameters and with others."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from faults import FLOW, REPRO, Ended, Fault, until
from sites import OTHER, Site

HOLD = """
import sys, zc.lockfile
lock = zc.lockfile.LockFile(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""
STALE = ("split", "tune@xgboost", "evaluate")


def made_once(*ended: Ended) -> None:
    """Hold two runs that ended to: each stage was run by one of them, or one said that it is busy."""
    made = [name for one in ended for name in one.made]
    for one in ended:
        assert "Traceback" not in one.text
        assert one.status == 0 or re.search(r"^ERROR: .*(is busy|lock)", one.text, re.MULTILINE), one.text
    assert len(made) == len(set(made)), made
    assert 0 in [one.status for one in ended]


@pytest.mark.parametrize("second", [FLOW, REPRO], ids=["flow", "dvc repro"])
def test_of_two_that_start_together_each_stage_is_run_once(second: tuple[str, ...], site: Site) -> None:
    """Both end well, or one says in DVC's words that it is busy; the lock is that of one run."""
    site.forget(*STALE)

    runs = [site.start(FLOW), site.start(second)]
    made_once(*(run.ends() for run in runs))

    site.completes(made=[])


def test_a_flow_waits_for_a_stage_of_another_and_takes_what_it_made(site: Site) -> None:
    """While it waits it says for whom; the run of the other, which lives, is not touched by its start."""
    site.forget(*STALE)
    first = site.start(FLOW, Fault("split", "during"))
    placed = first.reaches()

    second = site.start(FLOW)
    second.says("Task run 'split' - waits: ")
    assert site.runs() == ["RUNNING", "RUNNING"]
    placed.release()
    made_once(first.ends(), second.ends())

    site.completes(made=[])


def test_a_flow_waits_for_a_dvc_repro(site: Site) -> None:
    site.forget(*STALE)
    first = site.start(REPRO, Fault("split", "during"))
    placed = first.reaches()

    second = site.start(FLOW)
    second.says("Task run 'split' - waits: ")
    placed.release()
    ended = [first.ends(), second.ends()]

    assert [one.status for one in ended] == [0, 0]
    made_once(*ended)
    site.completes(made=[])


def test_dvc_repro_says_that_a_flow_is_busy(site: Site) -> None:
    site.forget(*STALE)
    first = site.start(FLOW, Fault("split", "during"))
    placed = first.reaches()

    ended = site.run(REPRO)
    placed.release()

    assert ended.status != 0
    assert "is busy" in ended.text
    assert f"(PID {first.process.pid}): lockstep flow" in ended.text
    assert first.ends().status == 0
    site.completes(made=[])


def test_of_two_with_other_parameters_the_later_win(site: Site, undisturbed_other: bytes) -> None:
    """The parameters change between the two starts: what the first made of the old ones is not taken for the new."""
    site.forget("split", "evaluate")
    first = site.start(FLOW, Fault("split", "during"))
    placed = first.reaches()

    site.change(OTHER, undisturbed_other)
    second = site.start(FLOW)
    second.says("waits: ")
    placed.release()
    ended = [first.ends(), second.ends()]

    assert [one.status for one in ended] == [0, 0], [one.text for one in ended]
    made_once(*ended)
    site.completes(made=[])


def test_what_a_stage_of_the_flow_made_of_old_parameters_is_made_again(site: Site, undisturbed_other: bytes) -> None:
    """They change while it runs: one line names the key, and the stage is run again at once."""
    site.forget("evaluate")
    run = site.start(FLOW, Fault("evaluate", "during"))
    placed = run.reaches()

    site.change(OTHER, undisturbed_other)
    placed.release()
    ended = run.ends()

    assert ended.status == 0, ended.text
    assert "evaluate.resamples was changed while it ran; what it made is not recorded" in ended.text
    assert "Traceback" not in ended.text
    site.completes(made=[])


def test_what_a_stage_of_dvc_repro_made_of_old_parameters_is_not_recorded(site: Site, undisturbed_other: bytes) -> None:
    site.forget("evaluate")
    run = site.start(REPRO, Fault("evaluate", "during"))
    placed = run.reaches()

    site.change(OTHER, undisturbed_other)
    placed.release()

    run.ends().said("lockstep evaluate: params.yaml: evaluate.resamples was changed while it ran", "is not recorded")
    site.completes(REPRO, made=["evaluate"])


@contextmanager
def dvc_lock_held(site: Site) -> Iterator[None]:
    """Hold DVC's lock of the repository in another process, as a long `dvc push` does."""
    words = [sys.executable, "-c", HOLD, str(site.root / ".dvc" / "tmp" / "lock")]
    holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    assert holder.stdin
    assert holder.stdout.readline() == "held\n"
    try:
        yield
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()


def test_nor_is_it_where_they_change_while_the_stage_waits_to_be_recorded(site: Site, undisturbed_other: bytes) -> None:
    """The stage has ended, another dvc is busy, and DVC would read the new parameters for the old outs."""
    site.forget("evaluate")
    run = site.start(FLOW, Fault("evaluate", "after"))
    placed = run.reaches()

    with dvc_lock_held(site):
        placed.release()
        until(lambda: not any("src/lockstep" in process.cmdline() for process in site.alive()))
        site.change(OTHER, undisturbed_other)
    ended = run.ends()

    assert ended.status == 0, ended.text
    assert "evaluate.resamples was changed while it ran; what it made is not recorded" in ended.text
    site.completes(made=[])

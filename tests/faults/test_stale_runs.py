"""Runs that Prefect shows as running, though their process was killed."""

import signal

from faults import FLOW, Fault
from sites import Site


def test_a_run_whose_host_died_is_closed_at_the_next_start_and_its_tasks_too(site: Site) -> None:
    """Shown as running until then; crashed after, with the tasks that were at work."""
    site.forget("split")
    run = site.start(FLOW, Fault("split", "during"))
    run.reaches()
    site.kill_all()
    run.ends()
    assert site.runs() == ["RUNNING"]

    ended = site.completes(made=["split"])

    assert site.runs() == ["CRASHED", "COMPLETED"]
    assert "was left behind by a process that was killed; it is closed" in ended.text
    assert "RUNNING" not in site.tasks()
    site.completes(made=[])
    notes = list((site.root / ".lockstep" / "runs").iterdir())
    assert len(notes) == 1, "of runs that the server knows to be over no note is kept, but for the last"


def test_a_run_that_lives_is_never_touched(site: Site) -> None:
    """Neither by a start beside it, nor by the one that closes a dead one at the same time."""
    site.forget("split", "fit")
    killed = site.start(FLOW, Fault("split", "during"))
    killed.reaches()
    killed.signal(signal.SIGKILL)
    killed.ends()
    living = site.start(FLOW, Fault("fit", "during"))
    placed = living.reaches()

    second = site.start(FLOW)
    second.says("Task run 'fit' - waits: ")

    assert site.runs() == ["CRASHED", "RUNNING", "RUNNING"]
    placed.release()
    assert living.ends().status == 0
    assert second.ends().status == 0
    assert site.runs() == ["CRASHED", "COMPLETED", "COMPLETED"]
    site.completes(made=[])

"""Ctrl-C and SIGTERM: children end, locks are free, one line is said, and the next run goes on from there."""

import signal

import psutil
import pytest
from faults import CONTROL_C, FLOW, REPRO, Fault, Started, until
from sites import Site, held_locks

COMMANDS = pytest.mark.parametrize("command", [FLOW, REPRO], ids=["flow", "dvc repro"])


def stopped(site: Site, run: Started) -> None:
    """Hold a run that was stopped to what holds for all of them, and let another complete."""
    site.is_empty()
    assert held_locks(site.root) == []
    assert set(site.runs()) <= {"CRASHED", "CANCELLED"}


@COMMANDS
def test_control_c_ends_a_run_in_order(command: tuple[str, ...], site: Site) -> None:
    """Typed on the terminal, it reaches the whole group; status not 0, a line that says so, no traceback."""
    site.forget("split")
    run = site.start(command, Fault("split", "during"))
    run.reaches()

    run.types(CONTROL_C)
    ended = run.ends()

    assert "interrupted" in ended.said()
    stopped(site, run)
    site.completes(command, made=["split"])


def test_control_c_ends_a_run_in_order_that_has_a_server_of_its_own(site: Site) -> None:
    """The server, in the same group of the terminal, outlives the run, which has to tell it that it ended."""
    site.forget("split")
    run = site.start(FLOW, Fault("split", "during"), PREFECT_API_URL="")
    run.reaches()

    run.types(CONTROL_C)
    ended = run.ends()

    assert ended.status == 130
    assert "interrupted" in ended.said()
    stopped(site, run)
    site.completes(made=["split"])


def test_sigterm_ends_a_flow_in_order(site: Site) -> None:
    """Its run is shown as crashed, the stage as stopped."""
    site.forget("split")
    run = site.start(FLOW, Fault("split", "during"))
    run.reaches()

    run.signal(signal.SIGTERM)
    ended = run.ends()

    assert ended.status != 0
    assert "Traceback" not in ended.text
    assert "lockstep split: was stopped" in ended.text
    stopped(site, run)
    site.completes(made=["split"])


def test_sigterm_ends_dvc_repro_and_its_stage(site: Site) -> None:
    """DVC itself says nothing and leaves its locks, which hold nobody up."""
    site.forget("split")
    run = site.start(REPRO, Fault("split", "during"))
    run.reaches()

    run.signal(signal.SIGTERM)
    ended = run.ends()

    assert ended.status != 0
    stopped(site, run)
    site.completes(REPRO, made=["split"])


def test_an_impatient_second_control_c_leaves_nothing_either(site: Site) -> None:
    """The stage ignores being asked to end, so that the first one takes its time."""
    site.forget("split")
    run = site.start(FLOW, Fault("split", "during", "cling"))
    stage, _ = run.reaches().pids()

    run.types(CONTROL_C)
    until(lambda: not psutil.pid_exists(stage))
    run.types(CONTROL_C)
    ended = run.ends()

    assert ended.status != 0
    site.completes(made=["split"])

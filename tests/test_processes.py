import os
import signal
import time

import psutil
import pytest

from lockstep.errors import StageFailed
from lockstep.processes import Limits, Watch, run

LONG = Limits(60)


def start(tmp_path, command, limits=LONG, watch=None, **environment):
    return run(command, tmp_path, tmp_path / "logs" / "one.log", limits, watch or Watch(), **environment)


def lives(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def gone(pid, within_s=10):
    end = time.monotonic() + within_s
    while lives(pid) and time.monotonic() < end:
        time.sleep(0.01)
    return not lives(pid)


def test_what_a_command_prints_is_told_line_by_line_and_kept(tmp_path):
    told = []

    start(tmp_path, "echo one; echo two >&2; printf three", watch=Watch(told.append))

    assert told == ["one", "two", "three"]
    assert (tmp_path / "logs" / "one.log").read_text() == "one\ntwo\nthree"


def test_a_command_runs_in_the_folder_with_the_environment_given(tmp_path):
    start(tmp_path, "pwd > here; echo $WORD >> here", WORD="said")

    assert (tmp_path / "here").read_text().split() == [str(tmp_path), "said"]


def test_the_last_line_is_the_error(tmp_path):
    with pytest.raises(StageFailed, match=r"^no such row$") as failed:
        start(tmp_path, "echo working; echo no such row >&2; echo; exit 1")
    assert not failed.value.passing


def test_status_75_may_pass(tmp_path):
    with pytest.raises(StageFailed, match=r"^the network is down$") as failed:
        start(tmp_path, "echo the network is down; exit 75")
    assert failed.value.passing


def test_a_command_that_was_killed_may_pass(tmp_path):
    with pytest.raises(StageFailed, match="was killed by SIGKILL; it said last: begun") as failed:
        start(tmp_path, "echo begun; kill -9 $$")
    assert failed.value.passing


def test_a_silent_failure_tells_its_status(tmp_path):
    with pytest.raises(StageFailed, match="ended with status 3 and said nothing"):
        start(tmp_path, "exit 3")


def test_a_hanging_command_is_ended_with_its_children_also_those_that_do_not_listen(tmp_path):
    command = "(trap '' TERM; while :; do sleep 1; done) & echo $!; wait"
    told = []

    with pytest.raises(StageFailed, match=r"took longer than flow.timeout_s, 0.5 s; it said last: \d+") as failed:
        start(tmp_path, command, Limits(0.5), Watch(told.append))

    assert gone(int(told[0]))
    assert not failed.value.passing


def test_a_child_that_left_the_group_is_ended_with_it(tmp_path):
    told = []

    with pytest.raises(StageFailed, match="took longer"):
        start(tmp_path, "setsid sleep 100 & echo $!; wait", Limits(0.5), Watch(told.append))

    assert gone(int(told[0]))


def test_nothing_of_the_group_outlives_a_command_that_ended_well(tmp_path):
    told = []

    start(tmp_path, "sleep 100 & echo $!", watch=Watch(told.append))

    assert gone(int(told[0]))


def test_a_command_that_holds_too_much_memory_is_ended(tmp_path):
    grow = "python3 -c \"held = bytearray(300 << 20); print('held', flush=True); input()\" < /dev/zero"

    with pytest.raises(StageFailed, match=r"held \d+ MiB of memory; flow.memory_mb allows 100") as failed:
        start(tmp_path, grow, Limits(60, 100))
    assert not failed.value.passing


def test_a_command_is_stopped_when_asked(tmp_path):
    asked = time.monotonic() + 0.3

    with pytest.raises(StageFailed, match="was stopped"):
        start(tmp_path, "sleep 100", watch=Watch(stopped=lambda: time.monotonic() > asked))
    assert time.monotonic() < asked + 20


def test_a_tick_comes_while_it_runs(tmp_path):
    ticks = []

    start(tmp_path, "sleep 1.2", watch=Watch(tick=lambda: ticks.append(1)))

    assert 2 <= len(ticks) <= 4


def test_a_command_dies_with_the_process_that_ran_it(tmp_path):
    child = os.fork()
    if not child:
        try:
            run("echo $$ > pid; sleep 100", tmp_path, tmp_path / "log", LONG, Watch())
        finally:
            os._exit(0)
    end = time.monotonic() + 20
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip()) and time.monotonic() < end:
        time.sleep(0.01)
    started = int((tmp_path / "pid").read_text())

    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

    assert gone(started)

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from lockstep import alive


@pytest.fixture
def ended():
    """Return the owner that a process was which has ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = alive.of(process.pid)
    process.communicate(b"\n", timeout=30)
    return owner


def test_this_process_lives():
    assert not alive.is_dead(alive.me())
    assert alive.me().pid == os.getpid()


def test_a_process_that_ended_is_dead(ended):
    assert ended.started
    assert alive.is_dead(ended)


def test_a_process_that_ended_is_dead_also_if_another_has_its_number(ended):
    assert alive.is_dead(replace(ended, pid=os.getpid()))


def test_a_process_of_an_earlier_boot_is_dead():
    assert alive.is_dead(replace(alive.me(), boot="another"))


def test_of_a_process_of_another_host_nothing_is_known():
    assert not alive.is_dead(replace(alive.me(), host="elsewhere", boot="another", started="1"))


def test_a_zombie_is_dead():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = alive.of(process.pid)
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, not yet reaped

    assert alive.is_dead(owner)
    process.wait()


def test_an_owner_is_read_as_it_was_written():
    assert alive.read(json.loads(json.dumps(alive.me().as_json()))) == alive.me()

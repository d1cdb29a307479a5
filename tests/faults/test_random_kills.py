"""Kills at random moments of random processes, by the flow and by `dvc repro` in turns; then the line completes."""

import os
import random
import subprocess

import psutil
import pytest
from faults import FLOW, REPRO, Started
from sites import STAGES, Site

N_KILLS = int(os.environ.get("LOCKSTEP_KILLS", "8"))
SEED = int(os.environ.get("LOCKSTEP_SEED", "20261121"))
LATEST_S = float(os.environ.get("LOCKSTEP_LATEST_S", "12"))
"""The latest moment of a kill after a start, or after the kill before."""


def ended_within(run: Started, seconds: float) -> bool:
    try:
        run.process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def killed(site: Site, run: Started, drawn: random.Random) -> str:
    """Kill the run, all of it, or one process of it that is not its leader; return what was killed."""
    others = sorted((one for one in site.alive() if one.pid != run.process.pid), key=lambda one: one.pid)
    victim = drawn.choice(["leader", "all", "other", "other"])
    if victim == "all":
        site.kill_all()
    elif victim == "leader" or not others:
        run.process.kill()
    else:
        one = drawn.choice(others)
        try:
            victim = " ".join(one.cmdline()[:4])
            one.kill()
        except psutil.NoSuchProcess:
            victim = "one that was just over"
    return victim


def test_random_kills_change_nothing_in_the_end(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """After ``N_KILLS`` the lock is an undisturbed run's, nothing that had finished was run again, nothing is left."""
    drawn = random.Random(SEED)
    site.forget()
    finished: set[str] = set()
    kills, rounds = 0, 0
    with capsys.disabled():
        print(f"\n{N_KILLS} kills with LOCKSTEP_SEED={SEED}")
        while kills < N_KILLS:
            run = site.start((FLOW, REPRO)[rounds % 2])
            while not ended_within(run, drawn.uniform(0, LATEST_S)) and kills < N_KILLS:
                kills += 1
                print(f"  {kills}: {killed(site, run, drawn)}")
            if kills == N_KILLS:
                run.process.kill()
            ended = run.ends()
            site.is_empty()
            assert "Traceback" not in ended.text, ended.text
            assert not finished & set(ended.made), f"what had finished is not run again:\n{ended.text}"
            finished |= set(ended.finished)
            rounds += 1
            if ended.status == 0 and kills < N_KILLS:
                site.completes(made=[])
                site.forget()
                finished = set()

    site.completes(not_again=finished)
    assert site.run(REPRO).made == []
    assert set(STAGES) >= finished

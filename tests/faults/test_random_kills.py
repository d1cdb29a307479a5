"""Kills at random moments of random processes, by the flow and by `dvc repro` in turns; then the line completes.

The seed is printed; ``LOCKSTEP_SEED`` repeats its choices, as far as the machine is as fast.
"""

import os
import random
import subprocess
import sys

import psutil
import pytest
from faults import FLOW, REPRO, Ended, Started
from sites import Site

LATEST_S = 12.0
"""The latest moment of a kill after a start, or after the kill before; a whole line takes about twice as long."""


def test_eight_random_kills_change_nothing_in_the_end(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    disturb(site, 8, capsys)


@pytest.mark.long
def test_fifty_random_kills_change_nothing_in_the_end(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    disturb(site, 50, capsys)


def disturb(site: Site, n_kills: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Run the line from its start, over and over, until it was killed so often, then to its end: criteria 1 to 5."""
    seed = int(os.environ.get("LOCKSTEP_SEED") or random.SystemRandom().randrange(10**6))
    tell(capsys, f"LOCKSTEP_SEED={seed}: {n_kills} random kills")
    drawn = random.Random(seed)
    site.forget()
    finished: set[str] = set()
    kills = n_runs = 0
    while kills < n_kills:
        run = site.start((FLOW, REPRO)[n_runs % 2])
        n_runs += 1
        while kills < n_kills and not ended_within(run, drawn.uniform(0, LATEST_S)):
            kills += 1
            tell(capsys, f"  {kills}: {run.process.args[0]}: {kill(site, run, drawn)}")
        if kills == n_kills:
            site.kill_all()
        ended = run.ends()
        site.is_empty()
        hold(ended, finished, seed)
        finished |= set(ended.finished)
        if ended.status == 0 and kills < n_kills:
            site.completes(made=[])
            site.forget()
            finished = set()
    site.completes(not_again=finished)
    tell(capsys, f"LOCKSTEP_SEED={seed}: {kills} kills in {n_runs} runs; the lock is an undisturbed run's")


def hold(ended: Ended, finished: set[str], seed: int) -> None:
    """Hold one run that may have been killed to criteria 2 and 5."""
    assert "Traceback" not in ended.text, f"LOCKSTEP_SEED={seed}\n{ended.text}"
    again = finished & set(ended.made)
    assert not again, f"LOCKSTEP_SEED={seed}: {again} had finished\n{ended.text}"


def ended_within(run: Started, seconds: float) -> bool:
    try:
        run.process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def kill(site: Site, run: Started, drawn: random.Random) -> str:
    """Kill the run, all of it, or one process of it that is not its leader; return what was killed."""
    others = sorted((one for one in site.alive() if one.pid != run.process.pid), key=lambda one: one.pid)
    victim = drawn.choice(["leader", "all", "other", "other"])
    if victim == "all":
        site.kill_all()
    elif victim == "leader" or not others:
        run.process.kill()
        return "leader"
    else:
        one = drawn.choice(others)
        try:
            victim = " ".join(one.cmdline()[:4])[:80]
            one.kill()
        except psutil.NoSuchProcess:
            victim = "one that was just over"
    return victim


def tell(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        print(line, file=sys.stderr, flush=True)

"""SIGKILL in every stage, before, during and after its write; nothing that had finished is lost."""

import itertools
import os
import re
import shutil
import signal
from collections import Counter

import pytest
from faults import FLOW, REPRO, Fault, until
from sites import STAGES, Site

POINTS = ("before", "during", "after")
CHAIN = [stage for stage in STAGES if stage not in ("tune@linear", "tune@hist_gradient")]
PACKAGING = [
    "open:.lockstep/tmp/*/writing-*/manifest.json",
    "rename:.lockstep/releases/*",
    "open:.lockstep/bento/*",
    "mkdir:.lockstep/tmp/*/staging-*",
    "open:.lockstep/tmp/*/staging-*/bentofile.yaml",
    "open:*/lockstep-replay-*/log",
    "connect:127.0.0.1:*",
    "rename:.lockstep/live.json",
    "rename:.lockstep/ledger/package/*",
]
KILLED = r"Task run '([^']+)' - Task run failed with state: Failed\(message='lockstep \S+ was killed by SIGKILL"


def test_a_stage_killed_at_three_points_is_tried_again_each_time(site: Site) -> None:
    """The flow ends well, each stage having run four times; the cause of each retry is told, with its stage."""
    site.forget()

    run = site.start(FLOW, *(Fault(stage, at, "kill") for stage in STAGES for at in POINTS))
    ended = run.ends()

    assert ended.status == 0, ended.text
    assert [placed.fault for placed in run.faults if placed.count() != 1] == []
    assert Counter(re.findall(KILLED, ended.text)) == dict.fromkeys(STAGES, 3)
    assert sorted(ended.made) == sorted(STAGES)
    assert "Traceback" not in ended.text
    site.is_as_undisturbed()


def test_a_flow_killed_at_three_points_of_each_stage_goes_on_from_there(site: Site) -> None:
    """Its stages die with it; of the next flow's stages none had finished before, and it closes the run left behind."""
    site.forget(*CHAIN)
    finished: list[str] = []

    for number, (stage, at) in enumerate(itertools.product(CHAIN, POINTS)):
        run = site.start(FLOW, Fault(stage, at))
        run.reaches()
        assert site.runs() == ["CRASHED"] * number + ["RUNNING"]
        if number % 2:
            site.kill_all()
        else:
            run.signal(signal.SIGKILL)
        ended = run.ends()
        site.is_empty()
        assert not set(finished) & set(ended.made), "what had finished is not run again"
        finished += ended.made

    site.completes(made=["package"])
    assert finished == CHAIN[:-1]
    assert set(site.tasks()) <= {"COMPLETED", "CRASHED", "PENDING"}


def test_a_dvc_repro_killed_in_each_stage_goes_on_from_there(site: Site) -> None:
    """Killed is dvc, its stage, or both at once; the stage dies with dvc."""
    site.forget(*CHAIN)
    finished: list[str] = []

    for number, stage in enumerate(CHAIN):
        run = site.start(REPRO, Fault(stage, POINTS[(number + 1) % 3]))
        placed = run.reaches()
        if number % 3 == 0:
            run.signal(signal.SIGKILL)
        elif number % 3 == 1:
            os.kill(placed.pids()[0], signal.SIGKILL)
        else:
            site.kill_all()
        ended = run.ends()
        site.is_empty()
        assert ended.status != 0
        assert not set(finished) & set(ended.made), "what had finished is not run again"
        finished += ended.finished

    site.completes(REPRO, made=["package"])
    assert finished == CHAIN[:-1]


def test_packaging_killed_anywhere_leaves_no_half_of_a_release(site: Site) -> None:
    """Killed at each write and rename, it is tried again, ends as undisturbed, and clears away what it had begun."""
    before = sorted(path.name for path in (site.root / ".lockstep" / "releases").iterdir())
    site.forget("package")
    for name in ("releases", "bento", "ledger/package"):
        shutil.rmtree(site.root / ".lockstep" / name)
    (site.root / ".lockstep" / "live.json").unlink()
    site.change({"flow": {"retries": len(PACKAGING)}})

    run = site.start(FLOW, *(Fault("package", at, "kill") for at in PACKAGING))
    ended = run.ends()

    assert ended.status == 0, ended.text
    assert [placed.fault for placed in run.faults if placed.count() != 1] == []
    site.is_as_undisturbed()
    assert sorted(path.name for path in (site.root / ".lockstep" / "releases").iterdir()) == before


@pytest.mark.parametrize("command", [FLOW, REPRO], ids=["flow", "dvc repro"])
def test_a_service_that_packaging_started_ends_with_a_killed_line(command: tuple[str, ...], site: Site) -> None:
    """Killed while the built service starts: no process of it is left, and no folder of it after the next run."""
    site.forget("package")
    run = site.start(command, Fault("package", "connect:127.0.0.1:*"))
    run.reaches()
    until(lambda: [one for one in site.alive() if "bentoml" in " ".join(one.cmdline())])

    run.signal(signal.SIGKILL)
    run.ends()

    site.completes(command, made=["package"])

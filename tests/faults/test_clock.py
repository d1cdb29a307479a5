"""A clock that is wrong, by libfaketime: an hour back, 400 days on; what is made, kept and closed is the same.

The clock that only goes forward is left alone, as it is where somebody sets a host's time. So are the times of files:
faked, they would move for what was made before, too, which no change of a clock does.
"""

import json
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from faults import FLOW, REPRO, Fault, Started
from sites import Site

from lockstep import journal, ledger

BACK, ON = "-1h", "+400d"
SHIFTS = {BACK: timedelta(hours=-1), ON: timedelta(days=400)}
PLACES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")


def clock(shift: str) -> dict[str, str]:
    """Return what makes a process, and all that it starts, see a clock that is so far from the true one."""
    name = "faketime/libfaketimeMT.so.1"
    found = [path for place in PLACES for path in [*Path(place).glob(f"*/{name}"), *Path(place).glob(name)]]
    if not found:
        pytest.fail("libfaketimeMT.so.1 is missing; install the Debian package 'faketime'.")
    return {"LD_PRELOAD": str(found[0]), "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}


def began(site: Site, stage: str) -> datetime:
    entry = ledger.current(site.root, stage)
    assert entry is not None, f"the ledger has no entry for {stage}"
    return datetime.fromisoformat(entry["began"])


def kill(run: Started) -> None:
    run.signal(signal.SIGKILL)
    run.ends()


@pytest.mark.parametrize(("shift", "command", "then"), [(BACK, FLOW, REPRO), (ON, REPRO, FLOW)], ids=[BACK, ON])
def test_the_line_completes_under_a_wrong_clock_and_again_under_the_true_one(
    shift: str, command: tuple[str, ...], then: tuple[str, ...], site: Site
) -> None:
    """Only what was forgotten is run; neither change of the clock makes anything stale."""
    site.forget("split", "package")
    for path in (site.root / ".lockstep" / "ledger" / "package").iterdir():
        path.unlink()

    ended = site.run(command, **clock(shift))

    assert ended.status == 0, ended.text
    assert ended.made == ["split", "package"]
    assert abs(began(site, "package") - SHIFTS[shift] - datetime.now(UTC)) < timedelta(minutes=10), "it was not wrong"
    site.is_as_undisturbed()
    site.completes(then, made=[])


def test_a_run_killed_under_one_clock_is_closed_under_another_and_one_that_lives_is_not_touched(site: Site) -> None:
    """Nor waits anybody for its locks; but for those of the one that lives, whatever its clock says."""
    site.forget("split", "fit")
    killed = site.start(FLOW, Fault("split", "during"), **clock(ON))
    killed.reaches()
    kill(killed)
    assert site.runs() == ["RUNNING"]
    assert claimed(site, "split")

    living = site.start(FLOW, Fault("fit", "during"), **clock(BACK))
    placed = living.reaches()
    assert site.runs() == ["CRASHED", "RUNNING"]
    waits = site.start(FLOW, **clock(ON))
    waits.says("Task run 'fit' - waits: ")
    assert site.runs() == ["CRASHED", "RUNNING", "RUNNING"]
    placed.release()

    ended = living.ends()
    assert ended.made == ["split", "fit"]
    assert ended.text.count("was left behind by a process that was killed; it is closed") == 1
    assert waits.ends().made == []
    assert site.runs() == ["CRASHED", "COMPLETED", "COMPLETED"]
    site.completes(made=[])


def test_a_search_killed_under_one_clock_goes_on_under_another(site: Site) -> None:
    """From the trials that were judged; what the search took is counted without the clock; no lock holds it up."""
    site.forget("tune@linear")
    for study in journals(site):
        study.unlink()
    run = site.start(REPRO, Fault("tune@linear", "before"), **clock(BACK))
    run.reaches()
    kill(run)
    (path,) = journals(site)
    header, judged, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(header + judged + last[:20])  # as where it is killed while it writes what it judged last
    site.is_empty()

    ended = site.run(FLOW, **clock(ON))

    assert ended.status == 0, ended.text
    assert ended.made == ["tune@linear"]
    assert "goes on after 1 trials that were judged before; what was torn behind them is cut off" in ended.text
    assert " - waits: " not in ended.text
    (study,) = journal.studies(site.root)
    assert [trial.number for trial in study.trials] == [0, 1]
    assert study.seconds == tuple(sorted(study.seconds))
    assert 0 <= study.seconds[0] <= study.seconds[1] < 120
    site.completes(REPRO, made=[])


def journals(site: Site) -> list[Path]:
    return list((site.root / ".lockstep" / journal.FOLDER).glob("*.jsonl"))


def claimed(site: Site, stage: str) -> bool:
    """Say whether DVC's file of path locks holds an out of a stage."""
    held = json.loads((site.root / ".dvc" / "tmp" / "rwlock").read_text())
    return str(site.root / site.outs[stage][0]) in held["write"]

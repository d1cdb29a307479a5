"""The stage package under strace: a disk that fails where it makes bytes durable, and a kill at every rename.

What a failure of the disk costs depends on whose bytes they were: the release's stop the stage; the ledger's and
MLflow's, which can be told again, cost a line.
"""

import os
import re
import shutil
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults import FLOW, REPRO, Ended, until
from sites import Site

from lockstep import digest
from lockstep.service import released

STAGE = ("python", "src/lockstep", "package")
SYNCS = "fsync,fdatasync"
RENAMES = "rename,renameat,renameat2"
SYNC = re.compile(r"^(\d+) +(\w+)\(\d+<([^>]+)>\) = 0", re.MULTILINE)
RENAME = re.compile(r'^(\d+) +rename\w*\((?:[^",]+, )?"([^"]+)", (?:[^",]+, )?"([^"]+)"', re.MULTILINE)
REFUSED = "Input/output error"


@dataclass(frozen=True)
class Sync:
    """One call that makes a file or a folder durable: the how many-th of its process for this file."""

    call: str
    path: str
    number: int

    @property
    def told(self) -> str:
        """What is said where it fails; empty where it fails the stage."""
        if self.call == "fdatasync":  # SQLite's, which goes on where a folder could not be synced
            return "nothing new for " if self.path.endswith("/.lockstep") else "not published: "
        return "lockstep package: the ledger could not be written: " if "/ledger/" in self.path else ""


def strace(log: Path, calls: str, *more: str) -> tuple[str, ...]:
    """Return the words that run a command and all that it starts under strace."""
    if shutil.which("strace") is None:
        pytest.fail("strace is missing; install the Debian package 'strace'.")
    options = ("-f", "--seccomp-bpf", "-y", "-s", "4096", "-o", str(log), "-e", f"trace={calls}")
    return ("strace", *options, *more)


def asked_as(command: tuple[str, ...]) -> dict[str, str]:
    """Return what DVC tells the stage where the command is the stage's own."""
    return {"DVC_STAGE": "package"} if command == STAGE else {}


def traced(site: Site, log: Path, calls: str) -> str:
    """Return what strace tells of the stage, undisturbed."""
    ended = site.run((*strace(log, calls), *STAGE), **asked_as(STAGE))
    assert ended.status == 0, ended.text
    return log.read_text()


def forget_packaging(site: Site) -> None:
    """Make packaging begin from nothing."""
    site.forget("package")
    for name in ("releases", "bento", "ledger/package"):
        shutil.rmtree(site.root / ".lockstep" / name, ignore_errors=True)
    (site.root / ".lockstep" / "live.json").unlink(missing_ok=True)


def forget_what_is_synced(site: Site) -> None:
    """Make packaging write again what it makes durable, but for MLflow's database."""
    site.forget("package")
    shutil.rmtree(site.root / ".lockstep" / "ledger" / "package", ignore_errors=True)
    (site.root / ".lockstep" / "live.json").unlink(missing_ok=True)


def syncs(traced: str) -> list[Sync]:
    """Return every call by which packaging makes durable what lies at a place of its own, in order."""
    seen: Counter[tuple[str, ...]] = Counter()
    found = []
    for pid, call, path in [case for case in SYNC.findall(traced) if "/writing-" not in case[2]]:
        seen[pid, call, path] += 1
        found.append(Sync(call, path, seen[pid, call, path]))
    return found


def is_whole(site: Site, live: bytes) -> None:
    """Every release is complete to the last byte, and so is the pointer to the live one, if there is one."""
    state = site.root / ".lockstep"
    for folder in (state / released.RELEASES).glob("*"):
        digest.verify(folder)
        assert released.read_identity(folder).digest == folder.name
    pointer = state / released.LIVE
    if pointer.exists():
        assert pointer.read_bytes() == live
        released.live(state)


def refused(site: Site, sync: Sync, log: Path, command: tuple[str, ...]) -> Ended:
    """Run a command in which the disk fails at one call; of a file without a place of its own, at any such call."""
    inject = f"inject={sync.call}:error=EIO:when={sync.number}"
    at = ("-P", sync.path) if sync.path else ()
    ended = site.run((*strace(log, sync.call, *at, "-e", inject), *command), **asked_as(command))
    assert "(INJECTED)" in log.read_text(), f"{sync} was not reached:\n{ended.text}"
    assert "Traceback" not in ended.text, ended.text
    return ended


def test_a_disk_that_fails_while_packaging_is_one_line_and_no_half_release(site: Site, tmp_path: Path) -> None:
    """EIO at each fsync that packaging reaches, one after another; what cannot be made durable is not called done."""
    log, live = tmp_path / "strace", (site.root / ".lockstep" / "live.json").read_bytes()
    database = site.root / ".lockstep" / "mlflow.db"
    unpublished = database.read_bytes()
    forget_packaging(site)
    cases = syncs(traced(site, log, SYNCS))
    assert {Path(case.path).name for case in cases} >= {".live.json.new", ".lockstep", "package", "mlflow.db"}

    for case in cases:
        forget_what_is_synced(site)
        if case.path.endswith("/releases"):
            shutil.rmtree(case.path)
        database.write_bytes(unpublished)
        ended = refused(site, case, log, STAGE if case.told else REPRO)
        is_whole(site, live)
        if case.told:
            assert ended.status == 0, f"{case}:\n{ended.text}"
            (line,) = ended.text.splitlines()[:1]
            assert line.startswith(case.told), f"{case}:\n{ended.text}"
        else:
            ended.said("lockstep package: ", REFUSED)
            site.completes(REPRO, made=["package"])

    held = [case for case in cases if not case.told]
    assert {Path(case.path).name for case in held} == {".live.json.new", ".lockstep", "releases"}
    site.completes(made=["package"])


def test_a_release_that_cannot_be_made_durable_is_not_there(site: Site, tmp_path: Path) -> None:
    """EIO at the first of its files, in the middle, and at the last; it is written where no name is known before."""
    log, live = tmp_path / "strace", (site.root / ".lockstep" / "live.json").read_bytes()
    forget_packaging(site)
    calls = SYNC.findall(traced(site, log, SYNCS))
    own = [number for number, (_, _, path) in enumerate(calls, 1) if "/writing-" in path]
    files = [path for _, _, path in calls if "/writing-" in path]
    assert {"manifest.json", "predictor.json", "contract.json"} <= {Path(path).name for path in files}
    assert [pid for pid, _, _ in calls[: own[-1]]] == [calls[0][0]] * own[-1], "all by one process, before any other"

    for number in (own[0], own[len(own) // 2], own[-1]):
        forget_packaging(site)
        refused(site, Sync("fsync", "", number), log, REPRO).said("lockstep package: ", REFUSED, "writing-")
        is_whole(site, live)
        assert site.leftovers() == []
        assert list((site.root / ".lockstep" / "releases").iterdir()) == []

    site.completes(made=["package"])


def test_a_flow_tries_again_where_the_disk_failed_and_says_so_in_one_line(site: Site, tmp_path: Path) -> None:
    """EIO at the pointer to the live release, at each attempt; the next flow packages."""
    log, live = tmp_path / "strace", (site.root / ".lockstep" / "live.json").read_bytes()
    forget_what_is_synced(site)
    site.change({"flow": {"retries": 1}})

    ended = refused(site, Sync("fsync", str(site.root / ".lockstep" / ".live.json.new"), 1), log, FLOW)

    ended.said("lockstep package: ", REFUSED)
    assert log.read_text().count("(INJECTED)") == 2
    is_whole(site, live)
    site.completes(made=["package"])


def test_packaging_killed_at_every_rename_goes_on_from_there(site: Site, tmp_path: Path) -> None:
    """All of it dies just before one; the rename is done by hand, as if it had died just after; so on to the end."""
    log, live = tmp_path / "strace", (site.root / ".lockstep" / "live.json").read_bytes()
    forget_packaging(site)
    renamed = {to for _, _, to in RENAME.findall(traced(site, log, RENAMES))}
    releases = sorted((site.root / ".lockstep" / "releases").iterdir())
    assert {*map(str, releases), str(site.root / ".lockstep" / "live.json")} <= renamed
    assert not [to for to in renamed if to.startswith(str(site.root / ".git"))], "a kill would leave git's lock"
    forget_packaging(site)

    killed: list[str] = []
    while (place := killed_at_rename(site, log)) is not None:
        is_whole(site, live)
        Path(place[0]).rename(place[1])
        is_whole(site, live)
        killed.append(place[1])

    assert sorted(killed) == sorted(renamed), "each rename was reached, once"
    site.completes(made=["package"])
    assert sorted((site.root / ".lockstep" / "releases").iterdir()) == releases


def killed_at_rename(site: Site, log: Path) -> tuple[str, str] | None:
    """Kill the stage and all that it started while the first of them waits to rename; None where none does."""
    log.unlink(missing_ok=True)
    hold = f"inject={RENAMES}:delay_enter=300s:when=1"  # strace 6.1 loses a signal that it injects under seccomp
    run = site.start((*strace(log, RENAMES, "-e", hold), *STAGE), **asked_as(STAGE))
    until(lambda: run.is_over() or waiting(log), lambda: run.text)
    if (found := waiting(log)) is None:
        ended = run.ends()
        assert ended.status == 0, ended.text
        return None
    pid, before, after = found.groups()
    os.kill(int(pid), signal.SIGKILL)  # before strace, without which it would go on
    site.kill_all()
    run.ends()
    return before, after


def waiting(log: Path) -> re.Match[str] | None:
    return RENAME.search(log.read_text()) if log.exists() else None

"""A disk that fills up in the middle of a stage: one line, and once there is room the line goes on from there."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cached
import prefect_server
import project
import pytest
from faults import FLOW, REPRO
from sites import Site

PAGE = 4096
PACKAGED = (".lockstep/releases", ".lockstep/bento", ".lockstep/live.json")
FULL = ("No space left on device", "The disk has", "No possible cache link types")
"""How the system says it, how we do, and how DVC does by itself."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    asked = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", folder], capture_output=True, text=True)
    if asked.returncode:
        pytest.skip(f"no small disk can be mounted here: {asked.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def on_disk(made: Path, server: prefect_server.Server, disk: Path, tmp_path: Path) -> Iterator[Site]:
    site = Site(project.copy(made, disk / "project"), tmp_path / "beside", server)
    yield site
    site.kill_all()


def leave_room(disk: Path, pages: int) -> None:
    found = os.statvfs(disk)
    used = (found.f_blocks - found.f_bfree) * found.f_frsize
    subprocess.run(["mount", "-o", f"remount,size={used + pages * PAGE}", disk], check=True)


def n_pages(site: Site, stage: str) -> int:
    """Return how much a stage writes, as the disk counts."""
    paths = [site.root / path for path in (*site.outs[stage], *(PACKAGED if stage == "package" else ()))]
    files = [file for path in paths for file in (path, *path.rglob("*")) if file.is_file()]
    return sum(-(-file.stat().st_size // PAGE) for file in files)


@pytest.mark.parametrize(
    ("command", "stage"),
    [
        *((FLOW, stage) for stage in ("ingest", "tune@xgboost", "evaluate", "package")),
        *((REPRO, stage) for stage in ("validate", "split", "featurize", "fit")),
    ],
    ids=lambda value: {FLOW: "flow", REPRO: "dvc repro"}.get(value, value),
)
def test_the_line_goes_on_where_a_full_disk_stopped_it(
    command: tuple[str, ...], stage: str, on_disk: Site, disk: Path
) -> None:
    """Too little room for the stage's outs, then for DVC's copy of them; ledger, logs and locks lie there too."""
    needed = n_pages(on_disk, stage)
    cached.lose(on_disk, stage)
    for path in PACKAGED if stage == "package" else ():
        cached.remove(on_disk.root / path)

    for share in (0.2, 0.6) if stage == "package" else (0.5, 1.5):
        leave_room(disk, int(needed * share))
        stopped = on_disk.run(command)
        told = line_that_tells(stopped.text)
        assert stopped.status != 0, f"{share} of {needed} pages were enough"
        assert stage.partition("@")[0] in told, told
        assert any(text in told for text in FULL), told
        assert "Traceback" not in stopped.text, stopped.text
        assert on_disk.leftovers() == []
        assert set(stopped.made) <= {stage}
    leave_room(disk, 20_000)

    made = on_disk.run(command)
    assert made.status == 0, made.text
    assert set(made.made) <= {stage}, "finished stages are not run again"
    on_disk.is_as_undisturbed()
    said = project.said(project.lockstep(on_disk.root, "verify"))
    assert "are what dvc.lock records" in said


def line_that_tells(text: str) -> str:
    """Return the line that tells of a failure: our own last, else DVC's."""
    lines = [line for line in text.splitlines() if line.startswith(("lockstep ", "ERROR: "))]
    ours = [line for line in lines if line.startswith("lockstep ")]
    assert lines, text
    return (ours or lines)[-1]

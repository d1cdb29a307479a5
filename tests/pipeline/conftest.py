import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import pandas as pd
import project


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small project through which the whole line was run; for all workers one. Copy it, never change it."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    root, done = shared / "line", shared / "line.done"
    with (shared / "line.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            project.make(root)
            project.said(project.repro(root, LOCKSTEP_THREADS="2"))
            project.commit(root, "The first run")
            done.touch()
    return root


@pytest.fixture
def copied(line: Path, tmp_path: Path) -> Path:
    """Return a copy of the project through which the line was run."""
    return project.copy(line, tmp_path / "project")


@pytest.fixture(scope="module")
def kept(line: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy for tests that put back what they change, or change nothing."""
    return project.copy(line, tmp_path_factory.mktemp("kept") / "project")


@pytest.fixture(scope="session")
def clean(line: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Return a function that clones the project as it was before anything ran."""

    def clone(to: Path) -> Path:
        project.git(line, "clone", "--quiet", str(line), str(to))
        project.git(to, "reset", "--quiet", "--hard", "HEAD~1")
        return to

    return clone


@pytest.fixture(scope="session")
def plain(line: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the files that stages read, and a table in CSV that keeps the contract."""
    root = tmp_path_factory.mktemp("plain")
    for name in ("params.yaml", "requirements.lock", "expectations/rows.json", "src/features.py"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(line / name, root / name)
    project.change_params(root, {"source": None})
    project.change_params(root, {"source": {"kind": "file", "path": "table.csv"}})
    pd.read_parquet(line / "data" / "valid.parquet").iloc[:400].assign(signup_date="2020-01-31").to_csv(
        root / "table.csv", index=False
    )
    return root


@pytest.fixture
def root(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "project"))


@pytest.fixture
def edited(kept: Path) -> Iterator[Path]:
    """Give the copy that tests share, and put back what git knows of it."""
    yield kept
    project.git(kept, "checkout", "--quiet", "--", ".")

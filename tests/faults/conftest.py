import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline"))
sys.path.insert(0, str(Path(__file__).parent))

import prefect_server
import project
import sites


def once(shared: Path, name: str, build: Callable[[Path], object]) -> Path:
    """Return a folder that the first worker to ask builds for all."""
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    root, done = shared / name, shared / f"{name}.done"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            build(root)
            done.touch()
    return root


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project of 300 rows through which `dvc repro` ran undisturbed; for all workers one. Never change it."""

    def build(root: Path) -> None:
        project.make(root, sites.SETTINGS)
        project.said(project.repro(root, LOCKSTEP_THREADS="2"))
        project.commit(root, "The first run")

    return once(tmp_path_factory.getbasetemp(), "made", build)


@pytest.fixture(scope="session")
def undisturbed(made: Path) -> bytes:
    """Return the ``dvc.lock`` of the undisturbed run."""
    return (made / "dvc.lock").read_bytes()


@pytest.fixture(scope="session")
def undisturbed_other(made: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the ``dvc.lock`` of an undisturbed run with the parameters ``sites.OTHER``."""

    def build(root: Path) -> None:
        project.change_params(project.copy(made, root), sites.OTHER)
        project.said(project.repro(root, LOCKSTEP_THREADS="2"))

    return (once(tmp_path_factory.getbasetemp(), "other", build) / "dvc.lock").read_bytes()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[prefect_server.Server]:
    """Give a Prefect server; each worker has its own, so that every run on it is of the test that is at work."""
    with prefect_server.serving(tmp_path_factory.mktemp("prefect")) as started:
        yield started


@pytest.fixture
def site(made: Path, server: prefect_server.Server, tmp_path: Path) -> Iterator[sites.Site]:
    """Give a copy of the project, all stages done, to disturb; whatever a failed test leaves running is ended."""
    site = sites.Site(project.copy(made, tmp_path / "project"), tmp_path / "beside", server)
    yield site
    site.kill_all()

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline"))
sys.path.insert(0, str(Path(__file__).parents[1] / "service"))

import project
import small_project
from started import Up

from lockstep import release

MAKE = "from pathlib import Path; store.ready(Path.cwd())"
PARAMS = """
problem: binary
source: {kind: simulate}
families: [xgboost]
flow: {retries: 0}
schedules: {train: {cron: "0 3 * * 1", timezone: Europe/Berlin}}
"""
GRAPH = """
stages:
  copy:
    cmd: test ! -e hold || sleep 600; cp params.yaml copy.yaml
    deps: [params.yaml]
    outs: [copy.yaml]
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project of which a release is live, another is built, and whose graph copies a file."""
    root = small_project.make(tmp_path_factory.mktemp("made") / "project")
    with small_project.store():
        release.promote(root, release.build(root))
        rows = small_project.read(small_project.draw(300), small_project.contracts.load(root)).rows
        small_project.save_predictor(root, rows[:200], "binary", "linear")
        small_project.evaluate(root, rows[200:])
        release.build(root)
    (root / "params.yaml").write_text(PARAMS)
    (root / "dvc.yaml").write_text(GRAPH)
    shutil.copytree(project.REPOSITORY / "flows", root / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    (root / ".gitignore").write_text("/.lockstep/\n/copy.yaml\n")
    project.git(root, "init", "--quiet", "--initial-branch", "main")
    project.said(project.run(root, "dvc", "init", "--quiet"))
    project.commit(root, "A graph of one stage")
    return root


@pytest.fixture(scope="module")
def up(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Return one that runs, for the tests that leave it running."""
    started = Up(project.copy(made, tmp_path_factory.mktemp("up") / "project"))
    yield started
    if started.process.poll() is None:
        started.end()


@pytest.fixture(scope="session")
def used(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the project with its databases made, as after a first start; that is most of a start's work."""
    root = project.copy(made, tmp_path_factory.mktemp("used") / "project")
    (root / ".lockstep" / "prefect").mkdir()
    project.said(project.run(root, "prefect", "server", "database", "upgrade", "--yes"))
    project.said(project.run(root, "python", "-c", "from lockstep.tracking import store; " + MAKE))
    return root


@pytest.fixture
def root(used: Path, tmp_path: Path) -> Path:
    """Return a project on which nothing runs."""
    return project.copy(used, tmp_path / "project")

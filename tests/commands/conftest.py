import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "service"))

import small_project

from lockstep import release

PARAMS = """
problem: {problem}
families: [{family}]
source: {{kind: file, path: table.csv}}
"""
GRAPH = """
stages:
  fit:
    cmd: python src/lockstep fit
    params: [problem, seed]
    deps: [table.csv]
    outs: [models/predictor]
  evaluate:
    cmd: python src/lockstep evaluate
    deps: [models/predictor]
    metrics: [reports/metrics.json]
"""


@pytest.fixture(autouse=True, scope="session")
def store() -> Iterator[None]:
    with small_project.store():
        yield


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that makes a project of which a release is live."""
    projects: dict[str, Path] = {}

    def make(problem: str = "binary", family: str = "xgboost") -> Path:
        if problem not in projects:
            root = small_project.make(tmp_path_factory.mktemp(problem), problem, family)
            (root / "params.yaml").write_text(PARAMS.format(problem=problem, family=family) + "seed: 7\n")
            (root / "dvc.yaml").write_text(GRAPH)
            small_project.draw(40, seed=8).to_csv(root / "table.csv", index=False)
            release.promote(root, release.build(root))
            projects[problem] = root
        return projects[problem]

    return make


@pytest.fixture
def root(made: Callable[..., Path], tmp_path: Path) -> Path:
    """Return a copy of a project of which a release is live."""
    return Path(shutil.copytree(made(), tmp_path / "project"))

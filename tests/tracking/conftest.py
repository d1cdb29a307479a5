import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "service"))
sys.path.insert(0, str(Path(__file__).parent))

import finished

from lockstep import tracking
from lockstep.tracking import store


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test find the store of this repository, nor leave its own to the next."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project whose line is finished; its store is made, and empty. Copy it, never change it."""
    root = finished.make(tmp_path_factory.mktemp("plain") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "")
        store.ready(root)
    return root


@pytest.fixture(scope="session")
def shown(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same, published. Copy it, never change it."""
    root = finished.copy(plain, tmp_path_factory.mktemp("shown") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "")
        tracking.publish(root)
    return root


@pytest.fixture
def root(plain: Path, tmp_path: Path) -> Path:
    return finished.copy(plain, tmp_path / "project")


@pytest.fixture
def published(shown: Path, tmp_path: Path) -> Path:
    return finished.copy(shown, tmp_path / "project")

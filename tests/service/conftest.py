import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import small_project

from lockstep import predictor, replay
from lockstep.predictor import Predictor
from lockstep.service.app import App, Served
from lockstep.service.schema import document


@pytest.fixture(autouse=True, scope="module")
def store() -> Iterator[None]:
    with small_project.store():
        yield


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project.make(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def model(root: Path) -> Predictor:
    return predictor.load(root / "models" / "predictor")


@pytest.fixture(scope="session")
def sample(root: Path) -> replay.Sample:
    return replay.read_sample(root, 100)


@pytest.fixture
def row(sample: replay.Sample) -> dict[str, Any]:
    full = next(row for row in sample.rows if None not in row.values() and row["town"] != "far" and row["low"] < 90)
    return dict(full)


@pytest.fixture(scope="session")
def openapi(model: Predictor, sample: replay.Sample) -> dict[str, Any]:
    return document(model.contract, model.encoder, model.card.classes, model.digest, sample.rows[0])


@pytest.fixture(scope="session")
def app(model: Predictor, openapi: dict[str, Any]) -> App:
    app = App()
    app.serve(Served(model, "churn:1", json.dumps(openapi).encode(), {}))
    return app

"""What a running service has loaded after it predicted and explained: nothing that trains."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from served import Built, Service, Setting, serving, wait_until

INSIDE = Path(__file__).parent / "inside"
TESTS = Path(__file__).parents[1]
BUILD = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import small_project
from lockstep import release, replay
root = small_project.make(Path(sys.argv[1]), family=sys.argv[2])
made, sample = release.build(root), replay.read_sample(root, 10)
print(json.dumps({"tag": made.tag, "model": made.predictor, "rows": sample.rows, "expected": sample.expected}))
"""
NEVER = {"optuna", "great_expectations", "mlflow", "prefect", "dvc", "matplotlib"}
ENGINE = {"linear": "numpy", "hist_gradient": "treelite", "xgboost": "xgboost"}
PULLED_IN = {"linear": set(), "hist_gradient": set(), "xgboost": {"pandas", "sklearn"}}
"""By family, what of a training library its engine cannot do without: xgboost itself imports both."""


def build(folder: Path, family: str) -> Built:
    """Build the bento of a small project with a model of this family, in a store of its own."""
    environment = {**os.environ, "BENTOML_HOME": str(folder / "home"), "PYTHONPATH": str(TESTS.parent / "src")}
    command = [sys.executable, "-c", BUILD, str(folder / "project"), family, str(TESTS / "service")]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stderr
    return Built(home=folder / "home", **json.loads(made.stdout.splitlines()[-1]))


@pytest.fixture(scope="module", params=ENGINE)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("told")


@pytest.fixture(scope="module")
def service(family: str, told: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp(family)
    environment = {"PYTHONPATH": str(INSIDE), "MODULES_TOLD": str(told)}
    with serving(build(folder, family), Setting(environment=environment), folder / "run") as started:
        yield started


def loaded(process: psutil.Process, told: Path) -> set[str]:
    """Ask a process for the packages that it has loaded."""
    found = told / str(process.pid)
    process.send_signal(signal.SIGUSR2)
    wait_until(found.exists, 10)
    names = json.loads(found.read_text())
    found.unlink()
    return {name.partition(".")[0] for name in names} | {name for name in names if name.startswith("lockstep.")}


def test_a_worker_that_predicted_and_explained_has_loaded_nothing_that_trains(
    service: Service, family: str, told: Path
) -> None:
    status, answer = service.predict(service.built.rows)
    assert (status, len(answer["predictions"])) == (200, len(service.built.rows))
    before = loaded(service.worker(), told)
    assert "lockstep.service.explain" not in before
    status, answer = service.ask("POST", "/explain", json.dumps({"rows": service.built.rows}).encode())
    assert (status, len(answer["explanations"])) == (200, len(service.built.rows))

    found = loaded(service.worker(), told)

    assert found >= {"lockstep.predictor", "lockstep.service.explain", f"lockstep.families.{family}", ENGINE[family]}
    assert not found & NEVER
    assert found & {"pandas", "sklearn"} == PULLED_IN[family]


def test_the_parent_has_loaded_no_model_at_all(service: Service, told: Path) -> None:
    found = loaded(psutil.Process(service.parent.pid), told)
    assert "bentoml" in found
    assert not found & {*NEVER, "pandas", "sklearn", "xgboost", "treelite", "scipy"}

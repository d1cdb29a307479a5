import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lockstep import graph, params, plugins
from lockstep.errors import ProjectError
from lockstep.stages.files import n_workers
from lockstep.stages.tune import digests, study_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return what a search depends on; the tables are some bytes."""
    root = tmp_path_factory.mktemp("project")
    for name in ("dvc.yaml", "params.yaml", "requirements.lock"):
        shutil.copy(ROOT / name, root / name)
    for name in ("src/lockstep", "expectations"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "data").mkdir()
    for name in ("features", "folds"):
        (root / "data" / f"{name}.parquet").write_text(name)
    return root


@pytest.fixture
def root(project, tmp_path):
    return Path(shutil.copytree(project, tmp_path / "project"))


def study(root, family="xgboost", n_classes=2):
    return study_of(params.load(root), family, n_classes, digests(root, family))


def key(root, family="xgboost", n_classes=2):
    return study(root, family, n_classes).key


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\n")


def change(root: Path, block: str, name: str, value: object) -> None:
    values = yaml.safe_load((root / "params.yaml").read_text())
    (values[block] if block else values)[name] = value
    (root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


def test_a_study_is_the_same_wherever_it_lies(project, root):
    assert key(root) == key(project)


def test_every_file_that_the_stage_depends_on_decides_the_study(root):
    first, seen = key(root), set()
    for name in graph.stage(root, "tune@xgboost").deps:
        path = root / name
        path = path if path.is_file() else next(path.rglob("*.py"))
        before = path.read_bytes()
        append(path)
        seen.add(key(root))
        path.write_bytes(before)
    assert first not in seen
    assert len(seen) > 20
    assert key(root) == first


CHANGES: dict[str, Callable[[Path], None]] = {
    "data": lambda root: append(root / "data" / "features.parquet"),
    "folds": lambda root: append(root / "data" / "folds.parquet"),
    "contract": lambda root: append(root / "expectations" / "rows.json"),
    "packages": lambda root: append(root / "requirements.lock"),
    "family": lambda root: append(root / "src" / "lockstep" / "families" / "xgboost.py"),
    "seed": lambda root: change(root, "", "seed", 8),
    "problem": lambda root: change(root, "", "problem", "multiclass"),
    "batch": lambda root: change(root, "tune", "batch", 5),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_decides_the_trials_decides_the_study(what, project, root):
    CHANGES[what](root)
    assert key(root) != key(project)


@pytest.mark.parametrize("what", ["space", "defaults"])
def test_another_space_or_other_defaults_are_another_study(what, project, monkeypatch):
    from optuna.distributions import IntDistribution

    before, family = key(project), plugins.load("families", "xgboost")
    told = getattr(family, what)(2)
    drawn = IntDistribution(2, 11) if what == "space" else 7
    monkeypatch.setattr(family, what, lambda n_classes: {**told, "max_depth": drawn})
    assert key(project) != before


def test_families_and_numbers_of_classes_are_studies_of_their_own(project):
    assert len({key(project, family) for family in plugins.names("families")}) == 3
    assert key(project, "linear", 0) != key(project, "linear", 2)


@pytest.mark.parametrize(
    "changed",
    [
        lambda root: change(root, "tune", "trials", 50),
        lambda root: change(root, "tune", "seconds", 9.5),
        lambda root: change(root, "split", "test", 0.3),
        lambda root: append(root / "src" / "lockstep" / "cli.py"),
        lambda root: append(root / "src" / "lockstep" / "families" / "linear.py"),
    ],
)
def test_what_decides_no_trial_leaves_the_study(changed, project, root):
    changed(root)
    assert key(root) == key(project)


def test_a_study_says_how_many_trials_are_wanted(root):
    assert study(root, "linear").wanted == params.load(root).tune.trials
    change(root, "tune", "seconds", 3)
    assert study(root, "linear").wanted is None


@pytest.mark.parametrize(("stated", "n"), [("3", 3), ("", 2)])
def test_workers_come_from_the_environment_and_are_as_many_as_threads(stated, n, monkeypatch):
    monkeypatch.setenv("LOCKSTEP_THREADS", "2")
    monkeypatch.setenv("LOCKSTEP_WORKERS", stated)
    assert n_workers() == n


@pytest.mark.parametrize("stated", ["0", "two", "-1"])
def test_a_count_of_workers_that_is_none_is_refused(stated, monkeypatch):
    monkeypatch.setenv("LOCKSTEP_WORKERS", stated)
    with pytest.raises(ProjectError, match=f"LOCKSTEP_WORKERS must be a whole number of at least 1; got '{stated}'"):
        n_workers()


def test_the_machine_that_a_journal_names_is_kernel_and_python(project, monkeypatch):
    from lockstep.stages import tune

    def machine(*kernels):
        found = [{"user_api": "blas", "architecture": kernel} for kernel in kernels]
        monkeypatch.setattr(tune, "threadpool_info", lambda: [*found, {"user_api": "openmp"}])
        return study(project, "linear").machine

    assert machine("Haswell", "Haswell") != machine("SkylakeX", "Haswell")
    assert "Haswell Python 3." in machine("Haswell")

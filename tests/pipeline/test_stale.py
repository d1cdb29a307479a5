"""After an edit runs again what depends on it, and no more; our own look at the graph agrees with DVC."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import project
import pytest

from lockstep import graph

EDITS: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "nothing": (lambda root: None, set()),
    "a feature": (lambda root: project.append(root / "src/features.py", "\n# another thought\n"), {"featurize", "fit"}),
    "a rule of the contract": (
        lambda root: project.change_contract(root, lambda suite: suite["expectations"].pop(0)),
        {"validate", "split", "featurize", "tune@linear", "tune@hist_gradient", "tune@xgboost", "fit", "package"},
    ),
    "trials": (
        lambda root: project.change_params(root, {"tune": {"trials": 3}}),
        {"tune@linear", "tune@hist_gradient", "tune@xgboost"},
    ),
    "a family's own file": (
        lambda root: project.append(root / "src/lockstep/families/linear.py", "\n"),
        {"tune@linear", "fit", "evaluate", "package"},
    ),
    "the cost of mistakes": (
        lambda root: project.change_params(root, {"evaluate": {"cost": {"false_positive": 1, "false_negative": 5}}}),
        {"fit"},
    ),
    "a gate": (
        lambda root: project.change_params(root, {"evaluate": {"gates": {"minimum": {"roc_auc": 0.6}}}}),
        {"evaluate"},
    ),
    "the seed": (
        lambda root: project.change_params(root, {"seed": 8}),
        {"split", "tune@linear", "tune@hist_gradient", "tune@xgboost", "fit", "evaluate"},
    ),
    "rows replayed": (lambda root: project.change_params(root, {"package": {"replay_rows": 21}}), {"package"}),
    "the service": (lambda root: project.append(root / "src/lockstep/service/app.py", "\n"), {"package"}),
    "the source": (lambda root: project.change_params(root, {"source": {"rows": 1600}}), {"ingest"}),
    "the packages": (
        lambda root: project.append(root / "requirements.lock", "\n"),
        {"tune@linear", "tune@hist_gradient", "tune@xgboost", "fit", "package"},
    ),
    "the families": (lambda root: project.change_params(root, {"families": ["xgboost"]}), {"fit"}),
    "an out": (
        lambda root: (root / "data/folds.parquet").write_bytes(b"other"),
        {"split", "tune@linear", "tune@hist_gradient", "tune@xgboost"},
    ),
}


@pytest.fixture
def edited(kept: Path, line: Path) -> Iterator[Path]:
    """Give the copy that tests share, and put back what they change in it."""
    yield kept
    project.git(kept, "checkout", "--quiet", "--", ".")
    shutil.copy(line / "data/folds.parquet", kept / "data/folds.parquet")


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_makes_stale_what_depends_on_it_and_dvc_agrees(
    edit: str, edited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, expected = EDITS[edit]

    change(edited)

    first_look = {
        found.stage
        for found in graph.stale(edited)
        if any(not reason.startswith("waits for") for reason in found.reasons)
    }
    assert first_look == expected
    assert stale_by_dvc(edited, monkeypatch) == expected


def stale_by_dvc(root: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    from dvc.repo import Repo

    for name, value in project.environment().items():
        monkeypatch.setenv(name, value)
    with Repo(str(root)) as repo:
        return {name.rpartition("dvc.yaml:")[2] for name in repo.status()}


def test_what_waits_for_a_stale_stage_says_so(copied: Path) -> None:
    project.change_params(copied, {"split": {"folds": 3}})

    said = project.said(project.lockstep(copied, "status"))

    assert "split: params.yaml: split.folds changed" in said
    assert "featurize: waits for split" in said
    assert "package: waits for" in said
    assert "ingest" not in said

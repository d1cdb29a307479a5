import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lockstep import digest, release
from lockstep.errors import IntegrityError, ReleaseError
from lockstep.release import Release
from lockstep.service import released
from lockstep.service.released import Found


@pytest.fixture(scope="module")
def built(root: Path) -> Release:
    return release.build(root)


@pytest.fixture
def folder(built: Release, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built.folder, tmp_path / "release", copy_function=shutil.copyfile))


def test_a_verified_release_loads_the_predictor_that_was_evaluated(built: Release) -> None:
    assert released.load(released.verify(built.folder, built.pointer)).digest == built.predictor


@pytest.mark.parametrize("shift", [1e-3, float("nan")])
def test_a_machine_that_answers_golden_rows_otherwise_does_not_serve(
    built: Release, folder: Path, shift: float
) -> None:
    golden = json.loads((folder / released.GOLDEN).read_text())
    golden["expected"][4]["probabilities"]["yes"] += shift
    (folder / released.GOLDEN).write_text(json.dumps(golden))
    with pytest.raises(IntegrityError, match="must answer golden row 4 with"):
        released.load(Found(built.identity, folder))


def test_a_release_that_was_sealed_anew_is_not_the_one_that_is_pointed_to(built: Release, folder: Path) -> None:
    (folder / released.GOLDEN).write_text("{}")
    digest.seal(folder)
    with pytest.raises(IntegrityError, match=r"is damaged: release/manifest.json must have digest"):
        released.verify(folder, built.pointer)


def test_a_folder_that_holds_another_release_is_refused(built: Release, folder: Path) -> None:
    (folder / released.IDENTITY).write_text(replace(built.identity, lock="0" * 64).dumps())
    pointer = replace(built.pointer, manifest=digest.seal(folder))
    with pytest.raises(IntegrityError, match=f"must hold release {built.digest}; found"):
        released.verify(folder, pointer)


def test_an_identity_of_another_version_is_refused(built: Release, folder: Path) -> None:
    (folder / released.IDENTITY).write_text('{"name": "churn"}')
    with pytest.raises(IntegrityError, match=r"identity.json is not one that this code reads"):
        released.verify(folder, replace(built.pointer, manifest=digest.seal(folder)))


def test_a_release_that_is_gone_says_how_to_make_it_again(built: Release, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="make it again with `make run`, or promote another"):
        released.verify(tmp_path / "absent", built.pointer)


def test_the_code_digest_covers_what_is_shipped_and_nothing_else(root: Path, tmp_path: Path) -> None:
    package = Path(shutil.copytree(root / "src" / "lockstep", tmp_path / "lockstep"))
    before = released.code_digest(package)
    (package / "release.py").write_text("")
    (package / "families" / "notes.txt").write_text("")
    assert released.code_digest(package) == before
    (package / "families" / "mine.py").write_text("")
    assert released.code_digest(package) != before

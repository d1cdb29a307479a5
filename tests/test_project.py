import importlib.metadata
import re
import shutil
from pathlib import Path

import pytest

from lockstep import project
from lockstep.errors import ProjectError

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "src" / "lockstep").mkdir(parents=True)
    (tmp_path / "dvc.yaml").touch()
    shutil.copy(REPOSITORY / "requirements.lock", tmp_path / "requirements.lock")
    return tmp_path


def test_a_project_is_found_upwards(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root / "src" / "lockstep")

    assert project.find() == root
    assert project.find(root / "src") == root


def test_a_folder_with_dvc_alone_is_no_project(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").touch()

    with pytest.raises(
        ProjectError, match=r"is not inside a project \(a folder with dvc.yaml and src/lockstep\); .*`lockstep new`"
    ):
        project.find(tmp_path)


def test_state_lies_in_the_project(root: Path) -> None:
    assert project.state(root) == root / ".lockstep"


def test_this_environment_is_that_of_this_project(root: Path) -> None:
    assert project.differences(root) == []
    project.check_environment(root)


def test_the_lock_is_read_by_name_version_and_marker(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text(
        "Some.Package_Name==1.2.3 \\\n    --hash=sha256:0\n"
        "other==2.0 ; python_version >= '3.0' \\\n    --hash=sha256:0\n"
        "never==3.0 ; sys_platform == 'never' \\\n    --hash=sha256:0\n"
        "# comment==4.0\n"
    )

    assert project.locked(tmp_path) == {"some-package-name": "1.2.3", "other": "2.0"}


@pytest.mark.parametrize("version", ["0.0.1", None])
def test_a_package_of_another_version_or_none_is_named(version: str | None, root: Path) -> None:
    path = root / "requirements.lock"
    installed = importlib.metadata.version("numpy")
    text = path.read_text()
    assert f"numpy=={installed}" in text
    path.write_text(
        text.replace(f"numpy=={installed}", "numpy==0.0.1") if version else text + "\nno-such-package==1.0\n"
    )
    said = f"numpy must be 0.0.1; found {installed}" if version else "no-such-package must be 1.0; found none"

    assert project.differences(root) == [said]
    with pytest.raises(ProjectError, match=rf"is not this project's environment: {re.escape(said)}\. Run `make env`"):
        project.check_environment(root)


def test_several_differences_are_counted(root: Path) -> None:
    with (root / "requirements.lock").open("a") as file:
        file.write("\nno-such-package==1.0\nnor-this==2.0\n")

    with pytest.raises(ProjectError, match=r"\(and 1 more\)"):
        project.check_environment(root)


def test_a_missing_lock_is_named(root: Path) -> None:
    (root / "requirements.lock").unlink()

    with pytest.raises(ProjectError, match=r"requirements.lock is missing from .*; take it from git"):
        project.locked(root)

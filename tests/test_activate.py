"""What happens at every start of Python; that the tools take it up is held by tests/pipeline/test_tools.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lockstep import activate


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start as a new shell does; what is set is put back."""
    stores = ("BENTOML_HOME", "PREFECT_HOME", *(name for name in os.environ if name.startswith("MLFLOW_")))
    for name in (*activate.TELEMETRY_OFF, *stores, "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setenv("PATH", "/usr/bin")


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "main"
    (root / "below" / "project").mkdir(parents=True)
    (root / "below" / "project" / "dvc.yaml").touch()
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "one")
    return root


def test_stores_telemetry_and_path_are_set(clean: None, tmp_path: Path) -> None:
    activate.activate(str(tmp_path))

    assert os.environ["BENTOML_HOME"] == f"{tmp_path}/.lockstep/bento"
    assert os.environ["PREFECT_HOME"] == f"{tmp_path}/.lockstep/prefect"
    assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/.lockstep/mlflow.db"
    assert os.environ["MLFLOW_BACKEND_STORE_URI"] == os.environ["MLFLOW_TRACKING_URI"], "of plain `mlflow server`"
    assert os.environ["MLFLOW_ARTIFACTS_DESTINATION"] == f"{tmp_path}/.lockstep/mlartifacts"
    assert {name: os.environ[name] for name in activate.TELEMETRY_OFF} == activate.TELEMETRY_OFF
    assert sys.path[0] == f"{tmp_path}/src"
    assert os.environ["PATH"].split(":")[0] == f"{sys.prefix}/bin"
    assert not (tmp_path / ".lockstep").exists(), "looking makes nothing"


def test_twice_is_as_once(clean: None, tmp_path: Path) -> None:
    activate.activate(str(tmp_path))
    before = dict(os.environ), list(sys.path)

    activate.activate(str(tmp_path))

    assert (dict(os.environ), list(sys.path)) == before


def test_what_is_set_already_stays(clean: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENTOML_HOME", "/elsewhere")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "")

    activate.activate(str(tmp_path))

    assert os.environ["BENTOML_HOME"] == "/elsewhere"
    assert os.environ["DVC_NO_ANALYTICS"] == ""


@pytest.mark.parametrize("low", [True, False])
def test_on_a_disk_that_is_nearly_full_python_writes_no_bytecode(
    low: bool, clean: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activate, "LOW_DISK_BYTES", 1 << 60 if low else 0)

    activate.activate(str(tmp_path))

    assert sys.dont_write_bytecode is low


def test_state_lies_beside_the_project_without_git_and_in_a_repository(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()

    assert activate.state_folder(str(tmp_path / "alone")) == str(tmp_path / "alone" / ".lockstep")
    assert activate.state_folder(str(repository)) == str(repository / ".lockstep")
    assert activate.state_folder(str(repository / "below" / "project")) == str(repository / "below/project/.lockstep")


@pytest.mark.parametrize("place", [".", "below/project"])
def test_a_worktree_shares_the_state_of_the_main_checkout(place: str, repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", str(tmp_path / "tree"), "-b", "other")

    found = activate.state_folder(str((tmp_path / "tree" / place).resolve()))

    assert Path(found) == (repository / place / ".lockstep").resolve()


def test_a_submodule_keeps_its_own_state(repository: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "--quiet")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", str(repository), "inner")

    assert activate.state_folder(str(outer / "inner")) == str(outer / "inner" / ".lockstep")


def test_the_line_for_site_finds_the_project_upwards_and_nothing_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "project" / "src" / "lockstep" / "deep").mkdir(parents=True)
    (tmp_path / "project" / "dvc.yaml").touch()
    (tmp_path / "project" / "src/lockstep/activate.py").write_text("def activate(root):\n    print('found', root)\n")

    def start(folder: Path) -> str:
        command = [sys.executable, "-S", "-c", activate.PTH]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout

    assert start(tmp_path / "project" / "src" / "lockstep" / "deep") == f"found {tmp_path}/project\n"
    assert start(tmp_path) == ""
    assert activate.PTH.count("\n") == 1
    assert activate.PTH.startswith("import ")


def test_installing_writes_the_line_and_a_command_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sysconfig

    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))

    activate.install()

    assert (tmp_path / "lockstep.pth").read_text() == activate.PTH
    command = tmp_path / "lockstep"
    asked = subprocess.run([command, "--help"], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert asked.returncode == 0, asked.stderr
    assert "Usage: lockstep" in asked.stdout

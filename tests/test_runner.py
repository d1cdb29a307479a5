"""How a stage is run; what each makes is held by tests/pipeline."""

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lockstep import runner
from lockstep.errors import ParamsError, UnknownName

REPOSITORY = Path(__file__).parents[1]
main = importlib.import_module("lockstep.__main__")


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back what the entry does to the path."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_a_misspelt_stage_is_answered_with_the_list_and_the_near_match() -> None:
    with pytest.raises(
        UnknownName, match=r"no stage 'evalute'; expected one of \['evaluate', .*Did you mean 'evaluate'\?"
    ):
        runner.run_stage(REPOSITORY, ["evalute"])


def test_every_stage_has_its_module() -> None:
    folder = REPOSITORY / "src" / "lockstep" / "stages"

    assert [name for name in runner.STAGES if not (folder / f"{name}.py").is_file()] == []


def test_an_error_of_ours_is_one_line_that_names_the_stage(
    path: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["src/lockstep", "nothing"])

    assert main.main() == 1
    assert capsys.readouterr().err.startswith("lockstep nothing: no stage 'nothing'; expected one of [")


def test_without_a_stage_it_says_which_there_are(
    path: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["src/lockstep"])

    assert main.main() == 1
    assert "'validate'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (OSError(28, "nothing written", "data/raw.parquet"), "No space left on device: data/raw.parquet. Make room"),
        (ParamsError("params.yaml: no."), "params.yaml: no."),
    ],
)
def test_what_a_stage_meets_is_one_line(
    raised: Exception, said: str, path: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(root: Path, words: list[str]) -> None:
        raise raised

    monkeypatch.setattr(runner, "run_stage", fail)
    monkeypatch.setattr(sys, "argv", ["src/lockstep", "ingest"])

    assert main.main() == 1
    assert capsys.readouterr().err.startswith(f"lockstep ingest: {said}")


def test_an_error_that_we_do_not_know_is_shown_whole(path: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(root: Path, words: list[str]) -> None:
        raise OSError("only words")

    monkeypatch.setattr(runner, "run_stage", fail)
    monkeypatch.setattr(sys, "argv", ["src/lockstep", "ingest"])

    with pytest.raises(OSError, match="only words"):
        main.main()


def test_a_python_that_is_too_old_is_told_so(
    path: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    monkeypatch.setattr(sys, "argv", ["src/lockstep", "ingest"])

    assert main.main() == 1
    assert "stages need Python 3.11 or later" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent ended")
def test_a_process_tied_to_its_parent_ends_with_it() -> None:
    child = (
        "from lockstep import runner; runner.die_with_parent(); print('tied', flush=True); import time; time.sleep(600)"
    )
    parent = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=subprocess.PIPE, "
        "text=True); child.stdout.readline(); print(child.pid, flush=True); child.wait()"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    started = subprocess.Popen(
        [sys.executable, "-c", parent, child], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert started.stdout
    tied = psutil.Process(int(started.stdout.readline()))

    started.send_signal(signal.SIGKILL)
    started.communicate()

    _, alive = psutil.wait_procs([tied], timeout=10)
    assert alive == []

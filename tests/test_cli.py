import sys
from pathlib import Path

import pytest

from lockstep import cli
from lockstep.errors import explain

REPOSITORY = Path(__file__).parents[1]


def call(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["lockstep", *words])
    return cli.main()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["statsu"], 2, "lockstep: No such command 'statsu'."),
        (["predict"], 2, "lockstep: Missing argument 'table'. See `lockstep --help`."),
        (["status", "--loud"], 2, "lockstep: No such option: --loud"),
        ([], 2, "Usage: lockstep"),
        (["contract"], 2, "Usage: lockstep contract"),
        (["status"], 1, "is not inside a project"),
        (["doctor"], 1, "is not inside a project"),
        (["contract", "show"], 1, "is not inside a project"),
    ],
)
def test_a_wrong_call_is_one_line_and_a_status(
    words: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)

    assert call(*words, monkeypatch=monkeypatch) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("words", [["check"], ["contract", "show"], ["contract", "check"], ["--help"]])
def test_a_right_call_ends_with_0(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(REPOSITORY)

    assert call(*words, monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out


def test_a_doctor_who_finds_something_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "src" / "lockstep").mkdir(parents=True)
    (tmp_path / "dvc.yaml").write_text("stages: {}")
    monkeypatch.chdir(tmp_path)

    assert call("doctor", monkeypatch=monkeypatch) == 1
    assert "FAIL  params       params.yaml is missing" in capsys.readouterr().out


def test_what_the_system_refuses_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "src" / "lockstep").mkdir(parents=True)
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "params.yaml").mkdir()
    monkeypatch.chdir(tmp_path)

    assert call("check", monkeypatch=monkeypatch) == 1
    assert capsys.readouterr().err == f"lockstep: Is a directory: {tmp_path}/params.yaml. Mend that, and run again.\n"


def test_an_error_that_says_nothing_is_not_explained() -> None:
    assert explain(OSError("only words")) == ""
    assert explain(PermissionError(13, "no", "x")) == "Permission denied: x. Mend its owner or its mode, and run again."

"""What a user meets at the command line: parameters, passwords, environments that are not those of the project."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import project
import pytest

KEYS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a misspelt key": ({"tune": {"trails": 3}}, ["params.yaml: unknown key 'tune.trails'", "Did you mean 'trials'?"]),
    "a misspelt block": ({"tuen": {"trials": 3}}, ["params.yaml: unknown key 'tuen'", "Did you mean 'tune'?"]),
    "a key out of range": ({"tune": {"trials": 0}}, ["params.yaml: tune.trials must be at least 1; got 0."]),
    "another type": ({"split": {"folds": "five"}}, ["params.yaml: split.folds must be", "'five'"]),
    "a misspelt choice": ({"split": {"kind": "randon"}}, ["split.kind 'randon'", "Did you mean 'random'?"]),
    "a misspelt family": (
        {"families": ["linear", "xgbost"]},
        ["no family named 'xgbost'", "'hist_gradient', 'linear'", "Did you mean 'xgboost'?"],
    ),
    "a misspelt problem": ({"problem": "binray"}, ["no problem named 'binray'", "Did you mean 'binary'?"]),
    "a misspelt source": (
        {"source": {"kind": "simulat"}},
        ["no source named 'simulat'", "['file', 'simulate']", "Did you mean 'simulate'?"],
    ),
    "a family twice": ({"families": ["linear", "linear"]}, ["families must name each family once"]),
}


@pytest.mark.parametrize("case", KEYS)
def test_params_that_make_no_sense_are_named_before_anything_runs(case: str, edited: Path) -> None:
    change, parts = KEYS[case]
    project.change_params(edited, change)

    project.refused(project.lockstep(edited, "check"), *parts)


@pytest.mark.parametrize("case", ["a key out of range", "a misspelt problem", "a misspelt source"])
def test_dvc_repro_shows_the_same_line_and_keeps_what_was_made(case: str, copied: Path) -> None:
    change, parts = KEYS[case]
    project.change_params(copied, change)
    before = (copied / "dvc.lock").read_bytes()

    project.refused(project.repro(copied), *parts)

    assert (copied / "dvc.lock").read_bytes() == before
    project.git(copied, "checkout", "--quiet", "params.yaml")
    again = project.repro(copied, "package")
    assert project.said(again)
    assert project.stages_run(again) == []


def test_dvc_names_the_file_of_a_misspelt_family(copied: Path) -> None:
    project.change_params(copied, {"families": ["linear", "xgbost"]})

    asked = project.repro(copied)

    assert asked.returncode != 0
    assert re.search(r"ERROR: failed to reproduce 'tune@xgbost': .*src/lockstep/families/xgbost.py", asked.stderr)


def test_a_password_in_a_url_is_refused_and_written_nowhere(copied: Path) -> None:
    address = "https://reader:hunter2hunter2@example.org/table.csv"
    project.change_params(copied, {"source": None})
    project.change_params(copied, {"source": {"kind": "file", "path": address}})

    asked = [
        project.repro(copied),
        project.lockstep(copied, "refresh"),
        project.lockstep(copied, "status"),
        project.lockstep(copied, "doctor"),
        project.stage(copied, "ingest"),
    ]

    assert all(run.returncode for run in asked)
    project.refused(asked[0], "source holds a URL with a password", "environment variable")
    assert "hunter2" not in "".join(run.stdout + run.stderr for run in asked)
    holders = [path for path in copied.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert holders == [copied / "params.yaml"]


def test_a_python_without_the_packages_is_told_how_to_get_them(kept: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)

    asked = project.run(kept, str(tmp_path / "bare" / "bin" / "python"), "src/lockstep", "ingest")

    project.refused(
        asked,
        "lockstep ingest:",
        "has no package 'packaging': the environment is not active",
        "Run `make env`, then `source .venv/bin/activate`.",
    )


def test_the_environment_of_another_project_is_refused(edited: Path) -> None:
    lock_file = edited / "requirements.lock"
    text = lock_file.read_text("utf-8")
    pinned = re.search(r"^optuna==(\S+)", text, flags=re.MULTILINE)
    assert pinned
    lock_file.write_text(text.replace(f"optuna=={pinned[1]}", "optuna==3.6.0"))

    project.refused(
        project.stage(edited, "validate"),
        "is not this project's environment",
        f"optuna must be 3.6.0; found {pinned[1]}",
        "Run `make env`",
    )


def test_a_stage_runs_its_own_code_whatever_the_path_says(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "lockstep").mkdir()
    (tmp_path / "lockstep" / "__init__.py").write_text("raise RuntimeError('another lockstep')")

    project.said(project.stage(kept, "ingest", PYTHONPATH=str(tmp_path)))


def test_a_command_outside_a_project_says_so(tmp_path: Path) -> None:
    project.refused(project.lockstep(tmp_path, "status"), "is not inside a project", "lockstep new")

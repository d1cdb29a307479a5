"""Real tables, from `lockstep new` to a packaged winner that answers."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import project
import pytest

from lockstep.activate import COMMAND

SMALL = {"tune": {"trials": 1}, "families": ["linear", "hist_gradient"], "split": {"folds": 2}}

CASES = {
    "penguins": ("penguins/penguins.csv", "species", "multiclass", "accuracy", 0.9),
    "titanic": ("titanic/titanic.csv", "survived", "binary", "roc_auc", 0.8),
    "telco churn": ("telco_churn/Telco-Customer-Churn.csv", "Churn", "binary", "roc_auc", 0.8),
    "housing": ("california_housing/housing.csv", "median_house_value", "regression", "r2", 0.6),
}


@pytest.mark.parametrize("case", CASES)
def test_a_table_becomes_a_winner_that_answers_without_an_edit(
    case: str, table: Callable[[str], Path], tmp_path: Path
) -> None:
    name, target, problem, metric, least = CASES[case]
    rows = pd.read_csv(table(name), dtype="str", keep_default_na=False)
    rows.sample(min(len(rows), 3000), random_state=1).to_csv(tmp_path / "table.csv", index=False)
    root = tmp_path / case
    made = project.run(
        project.REPOSITORY, "lockstep", "new", str(root), "--table", f"{tmp_path}/table.csv", "--target", target
    )
    project.said(made)
    project.change_params(root, SMALL)
    project.said(project.repro(root))
    scores = json.loads((root / "reports" / "metrics.json").read_text())
    verdict = json.loads((root / "reports" / "verdict.json").read_text())
    assert verdict["problem"] == problem
    assert verdict["accepted"]
    assert scores[metric] > least
    assert json.loads((root / "reports" / "validation.json").read_text())["n_quarantined"] == 0
    said = project.said(project.lockstep(root, "predict", f"{tmp_path}/table.csv", "--to", f"{tmp_path}/out.csv"))
    assert f"{min(len(rows), 3000)} rows answered" in said
    assert ", 0 of them refused" in said


def test_an_environment_in_a_folder_with_a_blank_has_a_command_that_runs(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / ".venv").symlink_to(project.PROGRAMS.parent)
    command = folder / "lockstep"
    command.write_text(COMMAND.format(python=folder / ".venv" / "bin" / "python"))
    command.chmod(0o755)
    asked = subprocess.run([command, "--help"], cwd=project.REPOSITORY, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    assert "Usage" in asked.stdout


def test_a_table_without_a_header_is_predicted_with_and_without_its_target(
    table: Callable[[str], Path], tmp_path: Path
) -> None:
    lines = table("wine_quality/winequality-red.csv").read_text().splitlines()[:400]
    (tmp_path / "wine.csv").write_text("\n".join(lines))
    (tmp_path / "new.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines))
    root = tmp_path / "wine"
    words = ("--table", f"{tmp_path}/wine.csv", "--target", "column_12")
    project.said(project.run(project.REPOSITORY, "lockstep", "new", str(root), *words))
    project.change_params(root, {**SMALL, "families": ["linear"]})
    project.said(project.repro(root))
    for name in ("wine", "new"):
        project.said(project.lockstep(root, "predict", f"{tmp_path}/{name}.csv", "--to", f"{tmp_path}/{name}.parquet"))
    assert pd.read_parquet(tmp_path / "wine.parquet").equals(pd.read_parquet(tmp_path / "new.parquet"))
    same = project.lockstep(root, "predict", f"{tmp_path}/new.csv", "--to", f"{tmp_path}/new.csv")
    project.refused(same, "--to must be another file")


def test_a_table_where_a_stage_writes_is_refused(table: Callable[[str], Path], tmp_path: Path) -> None:
    place = tmp_path / "own" / "data" / "train.parquet"
    place.parent.mkdir(parents=True)
    pd.read_csv(table("penguins/penguins.csv")).to_parquet(place)
    words = ("--table", str(place), "--target", "species")
    asked = project.run(project.REPOSITORY, "lockstep", "new", str(tmp_path / "own"), *words)
    project.refused(asked, "which a stage writes", "Move it elsewhere")
    assert place.is_file()

"""Plain dvc, bentoml, mlflow and prefect, in a new shell with the environment on PATH, use the project's stores."""

import csv
import io
import json
import re
from pathlib import Path

import project
import pytest

from lockstep.activate import TELEMETRY_OFF
from lockstep.digest import read_object

HEAVY = ("pandas", "numpy", "sklearn", "xgboost", "optuna", "great_expectations", "mlflow", "prefect", "bentoml", "dvc")
WHERE = "import json, os, sys; print(json.dumps([dict(os.environ), sys.path]))"


def seen(folder: Path, **more: str) -> tuple[dict[str, str], list[str]]:
    """Return the environment and the path of a Python that starts in a folder."""
    variables, path = json.loads(project.said(project.run(folder, "python", "-c", WHERE, **more)))
    return variables, path


@pytest.fixture(scope="module")
def worktree(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worktree") / "tree"
    project.git(kept, "worktree", "add", "--quiet", str(folder), "-b", "other")
    return folder


@pytest.mark.parametrize("place", ["project", "subfolder", "worktree"])
def test_every_store_is_the_main_checkouts_wherever_one_stands(place: str, kept: Path, worktree: Path) -> None:
    folder = {"project": kept, "subfolder": kept / "src" / "lockstep", "worktree": worktree}[place]

    variables, path = seen(folder)

    assert variables["BENTOML_HOME"] == f"{kept}/.lockstep/bento"
    assert variables["PREFECT_HOME"] == f"{kept}/.lockstep/prefect"
    assert variables["MLFLOW_TRACKING_URI"] == f"sqlite:///{kept}/.lockstep/mlflow.db"
    assert str((worktree if place == "worktree" else kept) / "src") in path, "the code is that of the checkout itself"


@pytest.mark.parametrize("place", ["subfolder", "worktree"])
def test_bentoml_lists_what_was_packaged(place: str, kept: Path, worktree: Path) -> None:
    folder = kept / "reports" if place == "subfolder" else worktree

    assert read_object(kept / "models" / "bento.json")["bento"] in project.said(project.run(folder, "bentoml", "list"))


def test_a_worktree_follows_the_pointer_of_the_main_checkout(kept: Path, worktree: Path) -> None:
    live = read_object(kept / ".lockstep" / "live.json")["bento"]

    assert f"live      {live}" in project.said(project.lockstep(worktree, "status"))
    assert not (worktree / ".lockstep").exists()


def test_mlflow_and_prefect_take_their_stores_from_the_project(kept: Path) -> None:
    listed = project.said(project.run(kept, "mlflow", "experiments", "search"))
    shown = project.said(project.run(kept, "prefect", "config", "view"))

    assert "Default" in listed
    assert (kept / ".lockstep" / "mlflow.db").is_file()
    assert f"PREFECT_HOME='{kept}/.lockstep/prefect'" in shown
    assert "PREFECT_SERVER_ANALYTICS_ENABLED='false'" in shown


def test_no_tool_reports_home(kept: Path) -> None:
    variables, _ = seen(kept)

    assert {name: variables[name] for name in TELEMETRY_OFF} == TELEMETRY_OFF


def test_what_the_user_set_wins(kept: Path) -> None:
    own = {"BENTOML_HOME": "/elsewhere/bento", "MLFLOW_TRACKING_URI": "http://localhost:5000", "DO_NOT_TRACK": "0"}

    variables, _ = seen(kept, **own)

    assert {name: variables[name] for name in own} == own


def test_outside_a_project_nothing_is_set(tmp_path: Path) -> None:
    variables, path = seen(tmp_path)

    assert not {"BENTOML_HOME", "MLFLOW_TRACKING_URI", "PREFECT_HOME"} & variables.keys()
    assert not any(entry.endswith("/src") for entry in path)


def test_dvc_finds_the_environments_python_without_activation(kept: Path) -> None:
    dvc = str(project.PROGRAMS / "dvc")

    asked = project.run(kept, dvc, "repro", "--force", "--single-item", "ingest", PATH="/usr/bin:/bin")

    assert project.said(asked)
    assert project.stages_run(asked) == ["ingest"]


def test_the_help_lists_the_commands_and_loads_nothing_heavy(kept: Path) -> None:
    code = f"""
import sys
from lockstep.cli import main
sys.argv = ["lockstep", "--help"]
code = main()
assert code == 0
print("loaded", [name for name in {HEAVY!r} if name in sys.modules])
"""
    said = project.said(project.run(kept, "python", "-c", code))

    assert "loaded []" in said
    for command in ("new", "refresh", "status", "doctor", "summary", "rebuild", "predict", "contract"):
        assert re.search(rf"^\W*{command}\s", said, flags=re.MULTILINE), f"{command} is not listed"


# DVC's own ways to look, and to try.


@pytest.fixture(scope="module")
def tried(line: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project in which an experiment was run."""
    root = project.copy(line, tmp_path_factory.mktemp("tried") / "project")
    asked = project.run(root, "dvc", "exp", "run", "-S", "tune.trials=3", "-S", "families=[hist_gradient]", timeout=300)
    assert project.said(asked)
    assert project.stages_run(asked) == ["tune@hist_gradient", "fit", "evaluate", "package"]
    return root


def dvc(root: Path, *words: str) -> str:
    return project.said(project.run(root, "dvc", *words))


def test_dvc_dag_shows_every_stage(kept: Path) -> None:
    drawn = dvc(kept, "dag")

    for stage in ("ingest", "validate", "split", "featurize", "tune@xgboost", "fit", "evaluate", "package"):
        assert f"| {stage} |" in drawn


def test_dvc_shows_what_an_experiment_changed(tried: Path) -> None:
    assert re.search(r"params.yaml\s+tune.trials\s+2\s+3", dvc(tried, "params", "diff"))
    assert re.search(r"reports/metrics.json\s+roc_auc\s+0\.\d+\s+0\.\d+\s+-?0\.\d+", dvc(tried, "metrics", "diff"))


def test_dvc_exp_show_compares_scores_and_parameters(tried: Path) -> None:
    header, *lines = csv.reader(io.StringIO(dvc(tried, "exp", "show", "--csv")))
    rows = [dict(zip(header, cells, strict=True)) for cells in lines]

    assert [row["rev"] for row in rows[:2]] == ["workspace", "main"], "the workspace, the commit, then the experiment"
    _, main, experiment = rows
    assert (main["tune.trials"], experiment["tune.trials"]) == ("2", "3")
    assert float(main["roc_auc"]) != float(experiment["roc_auc"])


def test_dvc_plots_are_drawn_with_their_titles(tried: Path) -> None:
    for words in (["plots", "show"], ["plots", "diff"]):
        address = dvc(tried, *words).strip()
        page = Path(address.removeprefix("file://")).read_text("utf-8")
        for title in (
            "ROC curve",
            "Precision and recall",
            "Calibration",
            "Confusion",
            "Importance of columns",
            "Search",
        ):
            assert title in page, f"{title} is not in dvc {' '.join(words)}"


def test_every_plot_is_also_an_svg_and_both_pages_need_no_network(tried: Path) -> None:
    tables = {file.stem for file in (tried / "reports" / "plots").glob("*.csv")}
    pictures = {file.stem for file in (tried / "reports" / "plots").glob("*.svg")}

    assert {"roc", "precision_recall", "calibration", "importance", "search"} <= pictures
    assert {"roc", "precision_recall", "calibration", "importance", "search"} <= tables
    for name in ("index.html", "validation.html"):
        page = (tried / "reports" / name).read_text("utf-8")
        assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//|@import|url\(\s*["']?http""", page), name
    assert "<svg" in (tried / "reports" / "index.html").read_text("utf-8")


def test_summary_shows_the_winner_beside_the_baselines_and_what_to_do_next(kept: Path) -> None:
    said = project.said(project.lockstep(kept, "summary"))
    scores = read_object(kept / "reports" / "metrics.json")

    assert re.search(r"winner\s+xgboost, accepted, on \d+ test rows", said)
    assert re.search(rf"roc_auc \(\+\)\s+{scores['roc_auc']:.5g}\s.*{scores['linear_roc_auc']:.5g}\s+0.5", said)
    for words in ("reports/index.html", "bentoml serve", "lockstep predict TABLE --to OUT", "dvc exp run"):
        assert words in said

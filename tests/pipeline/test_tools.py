"""Plain tools, in a new shell in which only PATH was changed, use the project's stores and report to nobody."""

import json
from pathlib import Path

import project
import pytest

from lockstep.activate import TELEMETRY_OFF

STORES = """
import json, os
print(json.dumps({name: os.environ.get(name, "") for name in
                  ["BENTOML_HOME", "PREFECT_HOME", "MLFLOW_TRACKING_URI", %s]}))
"""


def stores(where: Path, **more: str) -> dict[str, str]:
    code = STORES % ", ".join(map(repr, TELEMETRY_OFF))
    return dict(json.loads(project.said(project.run(where, "python", "-c", code, **more))))


def test_bentoml_lists_the_bento_that_the_line_packaged(kept: Path) -> None:
    packaged = json.loads((kept / "models" / "bento.json").read_text())["bento"]
    listed = json.loads(project.said(project.run(kept, "bentoml", "list", "--output", "json")))
    assert [bento["tag"] for bento in listed] == [packaged]


def test_mlflow_and_prefect_are_pointed_at_the_state_folder(kept: Path) -> None:
    asked = project.run(kept, "python", "-c", "import mlflow; print(mlflow.get_tracking_uri())")
    assert project.said(asked).split()[-1] == f"sqlite:///{kept}/.lockstep/mlflow.db"
    assert f"PREFECT_HOME='{kept}/.lockstep/prefect'" in project.said(project.run(kept, "prefect", "config", "view"))


def test_mlflow_searches_the_store_of_the_project(kept: Path) -> None:
    assert "Default" in project.said(project.run(kept, "mlflow", "experiments", "search"))
    assert (kept / ".lockstep" / "mlflow.db").is_file()


def test_the_stores_are_found_from_a_subfolder(kept: Path) -> None:
    assert stores(kept / "src" / "lockstep") == stores(kept)


def test_a_worktree_shares_the_state_of_the_main_checkout(copied: Path, tmp_path: Path) -> None:
    project.git(copied, "worktree", "add", "--quiet", str(tmp_path / "tree"))
    assert stores(tmp_path / "tree") == stores(copied)
    code = "import lockstep; print(lockstep.__file__)"
    found = project.said(project.run(tmp_path / "tree", "python", "-c", code)).strip()
    assert found == str(tmp_path / "tree" / "src" / "lockstep" / "__init__.py"), "the code is the worktree's own"


def test_every_telemetry_switch_is_set_unless_the_user_set_it(kept: Path) -> None:
    found = stores(kept)
    assert {name: found[name] for name in TELEMETRY_OFF} == TELEMETRY_OFF
    assert stores(kept, BENTOML_HOME="/elsewhere")["BENTOML_HOME"] == "/elsewhere"


def test_outside_a_project_nothing_is_touched(tmp_path: Path) -> None:
    assert stores(tmp_path)["BENTOML_HOME"] == ""


def test_the_environments_programs_come_first_though_it_is_not_active(kept: Path) -> None:
    asked = project.run(kept, f"{project.PROGRAMS}/dvc", "status", PATH="/usr/bin:/bin")
    assert "up to date" in project.said(asked)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("dag",), "tune@xgboost"),
        (("metrics", "show"), "roc_auc"),
        (("params", "diff", "--all"), "tune.trials"),
        (("status",), "up to date"),
    ],
)
def test_dvc_says_something_useful(words: tuple[str, ...], shown: str, kept: Path) -> None:
    assert shown in project.said(project.run(kept, "dvc", *words))


def test_dvc_draws_every_plot_of_the_problem(copied: Path) -> None:
    shown = project.run(copied, "dvc", "plots", "show")
    page = (copied / "dvc_plots" / "index.html").read_text()
    project.said(shown)
    assert "failed" not in shown.stdout + shown.stderr
    for title in ("ROC curve", "Calibration", "Confusion", "Importance of columns", "Search, least loss so far"):
        assert title in page


def test_an_experiment_is_run_shown_and_compared(copied: Path) -> None:
    project.said(project.run(copied, "dvc", "exp", "run", "--name", "more", "-S", "tune.trials=3", timeout=300))
    shown = project.said(project.run(copied, "dvc", "exp", "show", "--csv"))
    assert "more" in shown
    assert "roc_auc" in shown
    changed = project.said(project.run(copied, "dvc", "params", "diff"))
    assert "tune.trials" in changed
    assert "roc_auc" in project.said(project.run(copied, "dvc", "metrics", "diff", "--all"))
    assert "file://" in project.said(project.run(copied, "dvc", "plots", "diff", "HEAD"))

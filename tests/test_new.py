import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from lockstep import blank, contract, new, params
from lockstep.errors import FitError, ParamsError, ProjectError, SourceError, UnknownName
from lockstep.features import load as load_features
from lockstep.sources import file
from lockstep.steps import lock

N = 120


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give git an identity and nothing of this machine's settings."""
    settings = tmp_path_factory.mktemp("home") / "gitconfig"
    settings.write_text("[user]\n\tname = Ann\n\temail = ann@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    rows = pd.DataFrame(
        {
            "customerID": [f"C-{i}" for i in range(N)],
            "visits": rng.integers(0, 20, N),
            "town": rng.choice(["north", "south"], N),
            "left": rng.choice(["no", "yes"], N),
        }
    )
    rows.to_csv(tmp_path / "shop.csv", index=False)
    return tmp_path / "shop.csv"


def git(folder: Path, *command: str) -> str:
    return subprocess.run(["git", "-C", folder, *command], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def without_git(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Take git away, which also makes a project faster."""
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty")))


def test_a_project_is_written_that_is_whole_committed_and_its_own(shop: Path, tmp_path: Path) -> None:
    report = new.create(tmp_path / "My Shop", table=shop, target="left")
    root = tmp_path / "My Shop"
    assert git(root, "status", "--porcelain") == ""
    assert git(root, "log", "--format=%an %s") == "Ann Begin a project that predicts left from shop.csv\n"
    known = git(root, "ls-files").splitlines()
    assert {
        "params.yaml",
        "expectations/rows.json",
        "src/features.py",
        "data/source.lock",
        "README.md",
        "dvc.yaml",
        ".dvc/config",
        ".dvcignore",
        ".gitignore",
        "src/lockstep/new.py",
        "src/lockstep/cli.py",
    } <= set(known)
    assert not [name for name in known if name.startswith(("docs/", ".venv", "models/")) or ".pyc" in name]
    values = params.load(root)
    assert (values.problem, values.split.kind) == ("binary", "random")
    assert values.families == ("linear", "hist_gradient", "xgboost")
    assert values.source == {"kind": "file", "path": str(shop)}
    assert contract.load(root).role("id") == ("customerID",)
    assert yaml.safe_load((root / "bentofile.yaml").read_text())["name"] == "my-shop"
    assert load_features((root / "src" / "features.py").read_text(), contract.load(root)).names == ()
    lock.check(root, values)
    text = new.describe(report)
    assert re.search(r"customerID +id +unique", text)
    assert "make run" in text


def test_the_written_code_finds_its_own_project(shop: Path, tmp_path: Path, without_git: None) -> None:
    new.create(tmp_path / "p", table=shop, target="left")
    script = "from lockstep import project, params; root = project.find(); print(root, params.load(root).problem)"
    asked = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path / "p",
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "p" / "src")},
    )
    assert asked.stdout.strip() == f"{(tmp_path / 'p').resolve()} binary"


def test_a_table_that_changed_is_noticed_and_taken_up_by_a_refresh(
    shop: Path, tmp_path: Path, without_git: None
) -> None:
    root = tmp_path / "p"
    new.create(root, table=shop, target="left")
    values = params.load(root)
    shop.write_text(shop.read_text() + "C-x,3,north,no\n")
    with pytest.raises(SourceError, match=r"sha256 was .* is .*lockstep refresh"):
        lock.check(root, values)
    assert "bytes was" in lock.write(root, values)
    lock.check(root, values)
    (root / lock.FILE).unlink()
    with pytest.raises(SourceError, match=r"data/source\.lock is missing"):
        lock.check(root, values)


def test_every_setting_of_the_file_is_in_the_lock_as_json(tmp_path: Path, without_git: None) -> None:
    (tmp_path / "t.data").write_text("\n".join(f"{i % 7}.5, {'ab'[i % 2]}" for i in range(N)))
    report = new.create(tmp_path / "p", table=tmp_path / "t.data", target="kind", names=["size", "kind"])
    values = params.load(tmp_path / "p")
    assert values.source["names"] == ["size", "kind"]
    assert values.source["header"] is False
    assert json.loads((tmp_path / "p" / lock.FILE).read_text())["names"] == ["size", "kind"]
    lock.check(tmp_path / "p", values)
    assert any("the first row is data" in note for note in report.notes)


def test_a_table_within_the_project_is_named_relative_and_ignored_by_git(shop: Path, tmp_path: Path) -> None:
    root = tmp_path / "p"
    (root / "tables").mkdir(parents=True)
    shutil.move(shop, root / "tables" / "shop.csv")
    new.create(root, table=root / "tables" / "shop.csv", target="left")
    assert params.load(root).source["path"] == "tables/shop.csv"
    assert "tables/shop.csv" not in git(root, "ls-files").splitlines()
    assert git(root, "status", "--porcelain") == ""
    shutil.move(root, tmp_path / "elsewhere")
    lock.check(tmp_path / "elsewhere", params.load(tmp_path / "elsewhere"))


def test_within_another_repository_that_one_is_used_and_nothing_is_committed(shop: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "--quiet")
    (outer / "theirs.txt").write_text("theirs")
    report = new.create(outer / "p", table=shop, target="left")
    assert not (outer / "p" / ".git").exists()
    assert (outer / "p" / ".dvc" / "config").is_file()
    assert subprocess.run(["git", "-C", outer, "log"], capture_output=True, check=False).returncode != 0
    assert "?? theirs.txt" in git(outer, "status", "--porcelain")
    assert any("which is used" in note for note in report.notes)


def test_without_an_identity_the_project_is_made_and_the_commit_is_left_with_a_word(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for name in [name for name in os.environ if name.startswith(("GIT_AUTHOR", "GIT_COMMITTER")) or name == "EMAIL"]:
        monkeypatch.delenv(name)
    report = new.create(tmp_path / "p", table=shop, target="left")
    assert any("git does not know who you are" in note and "user.email" in note for note in report.notes)
    assert (tmp_path / "p" / "data" / "source.lock").is_file()


def test_without_git_a_project_is_made_and_that_is_said(shop: Path, tmp_path: Path, without_git: None) -> None:
    report = new.create(tmp_path / "p", table=shop, target="left")
    assert not (tmp_path / "p" / ".git").exists()
    assert any("git is not installed" in note for note in report.notes)


def test_a_folder_that_holds_something_is_refused_and_left_alone(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "mine.txt").write_text("mine")
    with pytest.raises(ProjectError, match=r"must be empty, but for the table, or not exist; it holds mine\.txt"):
        new.create(tmp_path / "p", table=shop, target="left")
    with pytest.raises(ProjectError, match="it is a file"):
        new.create(shop, table=shop, target="left")
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("wishes", "error", "message"),
    [
        ({"target": "lef"}, UnknownName, "Did you mean 'left'"),
        ({"target": "customerID"}, FitError, "at most 100 classes; found 120"),
        ({"target": "left", "problem": "regression"}, FitError, "must be a number"),
        ({"target": "left", "names": ["a"]}, SourceError, r"source\.names has 1"),
    ],
)
def test_what_cannot_be_made_leaves_nothing_behind(
    shop: Path, tmp_path: Path, wishes: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        new.create(tmp_path / "p", table=shop, **wishes)  # type: ignore[arg-type]
    assert not (tmp_path / "p").exists()


def test_a_failure_half_way_takes_back_what_was_written_and_spares_the_table(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_git: None
) -> None:
    root = tmp_path / "p"
    root.mkdir()
    shutil.move(shop, root / "shop.csv")
    monkeypatch.setattr(blank, "PARAMS", blank.PARAMS + "surprise: 1\n")
    with pytest.raises(ParamsError, match="unknown key 'surprise'"):
        new.create(root, table=root / "shop.csv", target="left")
    assert [path.name for path in root.iterdir()] == ["shop.csv"]


def test_a_table_of_texts_alone_gets_features_that_keep_their_promise(
    table: Callable[[str], Path], tmp_path: Path, without_git: None
) -> None:
    root, path = tmp_path / "spam", table("sms_spam/sms.tsv")
    report = new.create(root, table=path, target="kind", names=["kind", "message"])
    assert any("only texts are there" in note for note in report.notes)
    features = load_features((root / "src" / "features.py").read_text(), contract.load(root))
    settings = params.parse(file.Settings, params.load(root).source)
    rows = file.read(settings, root)
    assert len(rows) == 5_574
    features.check(rows)
    assert "message_digits" in features.names


@pytest.mark.parametrize(("name", "slug"), [("My Shop", "my-shop"), ("Größe_2", "gr-e-2"), ("---", "my-project")])
def test_the_bento_is_called_after_the_folder(name: str, slug: str) -> None:
    assert blank.bento_name(name) == slug


def test_remotes_of_the_other_project_are_not_taken_over() -> None:
    given = "[core]\n    remote = store\n    autostage = true\n['remote \"store\"']\n    url = s3://bucket\n"
    assert blank.dvc_config(given) == "[core]\n    autostage = true\n"


def test_params_hold_what_was_found(shop: Path, tmp_path: Path, without_git: None) -> None:
    rows = pd.read_csv(shop).assign(day=pd.date_range("2024-01-01", periods=N).strftime("%d/%m/%Y"))
    rows.loc[:20, "left"] = None
    rows.to_csv(shop, index=False)
    new.create(tmp_path / "p", table=shop, target="left", ignore=["town"])
    values = params.load(tmp_path / "p")
    assert values.split.kind == "time"
    assert values.validate_.max_quarantine > 21 / N
    assert contract.load(tmp_path / "p").columns["town"].role == "ignored"
    assert "| `town` | ignored | as asked |" in (tmp_path / "p" / "README.md").read_text()

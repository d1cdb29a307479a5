import json
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from lockstep import alive, ledger, project

BEGAN = datetime(2026, 5, 1, 12, tzinfo=UTC)
GRAPH = """
stages:
  make:
    cmd: python make.py
    params: [seed]
    deps: [rows.csv]
    outs: [one.txt, folder]
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    (tmp_path / "params.yaml").write_text("seed: 7\n")
    (tmp_path / "requirements.lock").write_text("pyyaml==6.0.2\n")
    (tmp_path / "rows.csv").write_text("a\n1\n")
    (tmp_path / "one.txt").write_text("1")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "two.txt").write_text("2")
    (tmp_path / ".gitignore").write_text(".lockstep/\none.txt\nfolder/\n")
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "first"]):
        git(tmp_path, *words)
    return tmp_path


def git(root, *words):
    who = ["-c", "user.name=A. Person", "-c", "user.email=person@example.org"]
    done = subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def write(root, began=BEGAN):
    return ledger.write(root, "make", began, 1.5)


def test_an_entry_says_what_was_made_when_from_what_and_by_whom(root):
    entry = write(root)

    assert entry["stage"] == "make"
    assert entry["outs"].keys() == {"one.txt", "folder"}
    assert entry["outs"]["folder"].endswith(".dir")
    assert entry["deps"].keys() == {"rows.csv"}
    assert (entry["began"], entry["seconds"]) == ("2026-05-01T12:00:00.000+00:00", 1.5)
    assert alive.read(entry["owner"]) == alive.me()
    assert entry["packages"] == {"pyyaml": "6.0.2"}


def test_an_entry_is_found_by_the_bytes_that_lie_here(root):
    entry = write(root)
    assert ledger.current(root, "make") == entry

    (root / "folder" / "two.txt").write_text("other")
    assert ledger.current(root, "make") is None

    (root / "folder" / "two.txt").write_text("2")
    assert ledger.current(root, "make") == entry


def test_of_missing_outs_nothing_is_known(root):
    write(root)
    (root / "one.txt").unlink()

    assert ledger.current(root, "make") is None


def test_the_first_maker_of_equal_bytes_stays_on_record(root):
    first = write(root)

    assert write(root, BEGAN + timedelta(days=1)) == first


def test_a_clean_tree_is_its_commit(root):
    entry = write(root)

    assert entry["commit"] == git(root, "rev-parse", "HEAD")
    assert (entry["dirty"], entry["patch"], entry["untracked"]) == (False, None, [])


def test_uncommitted_changes_are_kept_as_a_patch(root):
    (root / "rows.csv").write_text("a\n2\n")
    entry = write(root)

    patch = root / ".lockstep" / "ledger" / "patches" / f"{entry['patch']}.patch"
    git(root, "checkout", "--", "rows.csv")
    subprocess.run(["git", "apply", str(patch)], cwd=root, check=True)

    assert entry["dirty"]
    assert (root / "rows.csv").read_text() == "a\n2\n"


def test_a_new_file_makes_the_tree_dirty_and_is_named(root):
    (root / "new.py").write_text("")

    entry = write(root)

    assert (entry["dirty"], entry["untracked"]) == (True, ["new.py"])


def test_the_lock_that_runs_write_makes_no_tree_dirty(root):
    (root / "dvc.lock").write_text("stages: {}\n")

    assert not write(root)["dirty"]


def test_outside_of_git_there_is_no_commit(root, tmp_path_factory):
    bare = tmp_path_factory.mktemp("bare")
    subprocess.run(f"cp -r {root}/. {bare} && rm -rf {bare}/.git", shell=True, check=True)

    entry = write(bare)

    assert (entry["commit"], entry["dirty"], entry["patch"]) == (None, None, None)


def test_where_git_fails_nobody_knows_whether_the_tree_is_dirty(root):
    (root / ".git" / "index").write_bytes(b"no index")

    entry = write(root)

    assert (entry["commit"], entry["dirty"]) == (git(root, "rev-parse", "HEAD"), None)


def test_an_entry_is_json_that_a_person_can_read(root):
    entry = write(root)
    path = project.state(root) / "ledger" / "make" / f"{entry['digest']}.json"

    assert json.loads(path.read_text()) == entry
    assert path.read_text().count("\n") > 10

"""A commit checked out beside the user's checkout, in a small repository."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lockstep import ledger, project, worktree
from lockstep.errors import ProjectError

GRAPH = "stages:\n  make:\n    cmd: python make.py\n    outs: [made.txt]\n"
IDENTITY = ("-c", "user.name=A. Person", "-c", "user.email=person@example.org")
HELD = """
import os, signal, sys
from pathlib import Path
from lockstep import worktree
with worktree.at(Path(sys.argv[1]), "HEAD"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *IDENTITY, *words], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def fill(root: Path) -> Path:
    """Write a project of which a stage has run."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "dvc.yaml").write_text(GRAPH)
    (root / "params.yaml").write_text("seed: 7\n")
    (root / "requirements.lock").write_text("pyyaml==6.0.2\n")
    (root / ".gitignore").write_text(".lockstep/\nmade.txt\n")
    (root / "made.txt").write_text("made")
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    return committed(fill(tmp_path))


def committed(root: Path) -> Path:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first")
    return root


def listed(root: Path) -> list[str]:
    return git(root, "worktree", "list", "--porcelain").split("\n\n")


def test_it_holds_the_commit_while_the_checkout_goes_its_own_way(root: Path) -> None:
    (root / "params.yaml").write_text("seed: 8\n")
    (root / "new.py").write_text("")
    before = git(root, "status", "--short"), (root / ".git" / "index").read_bytes()

    with worktree.at(root, "HEAD") as tree:
        assert (tree / "params.yaml").read_text() == "seed: 7\n"
        assert not (tree / "new.py").exists()
        assert not (tree / "made.txt").exists()
        assert tree.is_relative_to(root / ".lockstep")
        assert project.state(tree) == tree / ".lockstep"

    assert (root / "params.yaml").read_text() == "seed: 8\n"
    assert (git(root, "status", "--short"), (root / ".git" / "index").read_bytes()) == before
    assert not tree.exists()
    assert len(listed(root)) == 1


def test_of_a_project_within_a_repository_it_is_that_folder_with_a_state_of_its_own(root: Path) -> None:
    below = committed(fill(root / "teams" / "churn"))

    with worktree.at(below, "HEAD") as tree:
        assert tree.parts[-2:] == ("teams", "churn")
        assert (tree / "dvc.yaml").is_file()
        assert project.state(tree) == tree / ".lockstep"

    assert len(listed(root)) == 1


def test_no_hook_runs(root: Path) -> None:
    hook = root / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)

    with worktree.at(root, "HEAD") as tree:
        assert not (tree / "ran").exists()


@pytest.mark.parametrize(
    "setting", ["diff.noprefix", "diff.mnemonicPrefix", "diff.relative", "color.ui", "core.autocrlf"]
)
def test_a_patch_of_the_ledger_gives_back_the_very_bytes_whatever_a_person_has_set(setting: str, root: Path) -> None:
    """Line ends of another system, letters that are not UTF-8, bytes that are no text, a file added, one removed."""
    below = fill(root / "churn")
    contents = {"crlf.csv": b"a\r\n1\r\n", "latin.txt": b"caf\xe9\n", "bytes.bin": bytes(range(256))}
    for name, content in contents.items():
        (below / name).write_bytes(content)
    (below / "gone.txt").write_text("gone\n")
    git(root, "config", "core.autocrlf", "false")
    committed(root)
    git(root, "config", setting, {"color.ui": "always", "core.autocrlf": "false"}.get(setting, "true"))
    changed = {name: content + content for name, content in contents.items()} | {"added.csv": b"b\r\n\xff\r\n"}
    for name, content in changed.items():
        (below / name).write_bytes(content)
    (below / "gone.txt").unlink()
    git(root, "add", "--all")

    entry = ledger.write(below, "make", datetime.now(UTC), 1.0)
    patch = below / ".lockstep" / "ledger" / "patches" / f"{entry['patch']}.patch"

    with worktree.at(below, entry["commit"], patch) as tree:
        assert {name: (tree / name).read_bytes() for name in changed} == changed
        assert not (tree / "gone.txt").exists()


def test_a_patch_that_does_not_fit_is_one_line_and_leaves_nothing(root: Path, tmp_path: Path) -> None:
    patch = root / ".lockstep" / "wrong.patch"
    patch.parent.mkdir()
    patch.write_text("--- a/params.yaml\n+++ b/params.yaml\n@@ -1 +1 @@\n-seed: 9\n+seed: 8\n")

    with pytest.raises(ProjectError, match=r"git failed: error: patch failed: params.yaml:1 .*does not apply"):
        worktree.at(root, "HEAD", patch).__enter__()

    assert len(listed(root)) == 1
    assert not list((root / ".lockstep" / "tmp").iterdir())


def test_a_commit_that_git_does_not_know_is_one_line(root: Path) -> None:
    with pytest.raises(ProjectError, match="git failed: fatal: invalid reference: 0123"):
        worktree.at(root, "0123456789" * 4).__enter__()

    assert len(listed(root)) == 1


def test_what_a_killed_process_left_is_removed_by_the_next_and_nothing_of_anybody_else(
    root: Path, tmp_path: Path
) -> None:
    """A worktree of the user whose folder is away, as on a disk that is not mounted, is not ours to forget."""
    away = tmp_path.parent / f"{tmp_path.name}-away"
    git(root, "worktree", "add", "--quiet", "--detach", str(away))
    away.rename(away.with_suffix(".unmounted"))
    environment = {**os.environ, "PYTHONPATH": str(Path(worktree.__file__).parents[1])}
    killed = subprocess.run([sys.executable, "-c", HELD, str(root)], env=environment, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert len(listed(root)) == 3

    with worktree.at(root, "HEAD"):
        assert len(list((root / ".lockstep" / "tmp").iterdir())) == 1
        assert len(listed(root)) == 3

    assert len(listed(root)) == 2
    assert str(away) in listed(root)[1]

"""Put a new project under git and DVC."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from lockstep.errors import ProjectError

GIT_PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY")
IDENTITY = 'git config --global user.name "..." and git config --global user.email "..."'


def begin(root: Path) -> str:
    """Make git and DVC ready in a new project, before its files are written; return what to say of it.

    Within another git repository that one is used, and only DVC is set up below it.

    Raises
    ------
    ProjectError
        git or DVC refused.
    """
    if shutil.which("git") is None:
        _dvc(root, "--no-scm")
        return "git is not installed: nothing is under version control, and `lockstep` cannot say which code made what"
    outer = _git(root, "rev-parse", "--show-toplevel", check=False).strip()
    if outer:
        _dvc(root, "--subdir")
        return f"the project lies in the git repository {outer}, which is used; nothing is committed: that is yours"
    _git(root, "init", "--quiet", "--initial-branch", "main")
    _dvc(root)
    return ""


def commit(root: Path, message: str) -> str:
    """Commit everything in a repository of the project's own; return why it could not be done, empty if it was."""
    if not (root / ".git").exists():
        return ""
    if not _git(root, "-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT", check=False):
        return f"nothing is committed yet: git does not know who you are. Set it by {IDENTITY}, then add and commit all"
    _git(root, "add", "--all")
    asked = _run(root, "git", "commit", "--quiet", "--message", message)
    said = _last_line(asked.stderr or asked.stdout)
    return f"nothing is committed yet: git commit said {said!r}" if asked.returncode else ""


def tracked(root: Path) -> list[str]:
    """Return the files that git knows or would add below ``root``, relative to it; none without git."""
    if shutil.which("git") is None:
        return []
    listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", check=False)
    return sorted({name for name in listed.split("\0") if name and (root / name).is_file()})


def _dvc(root: Path, *options: str) -> None:
    asked = _run(root, sys.executable, "-m", "dvc", "init", "--quiet", *options)
    if asked.returncode:
        raise ProjectError(f"dvc init in {root} failed: {_last_line(asked.stderr)}")


def _git(root: Path, *command: str, check: bool = True) -> str:
    asked = _run(root, "git", *command)
    if check and asked.returncode:
        raise ProjectError(f"git {command[0]} in {root} failed: {_last_line(asked.stderr)}")
    return "" if asked.returncode else asked.stdout


def _run(root: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    # A hook that calls us would hand down its own repository.
    kept = {key: value for key, value in os.environ.items() if key not in GIT_PLACES}
    return subprocess.run(
        command, cwd=root, env=kept | {"DVC_NO_ANALYTICS": "1"}, capture_output=True, text=True, check=False
    )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason was given"

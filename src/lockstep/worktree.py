"""Check a commit out beside the user's checkout, for as long as it is needed.

Git's own worktree, so that its filters write the files as they write the user's; without hooks, which may reach for the
user's checkout. The folder lies in ``.lockstep/tmp``, on the project's disk. Its link to the repository is taken away
once it is complete: a project in a worktree shares the state of the main checkout, and this one must not.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lockstep import project, scratch
from lockstep.errors import ProjectError
from lockstep.repository import GIT_PLACES

LINK = ".git"


@contextlib.contextmanager
def at(root: Path, commit: str, patch: Path | None = None) -> Iterator[Path]:
    """Give the project as it was at a commit, a patch laid over it, in a folder that is removed after.

    Nothing of the checkout at ``root`` changes, and nothing below the folder leads back to it.

    Raises
    ------
    ProjectError
        Git does not know the commit, or the patch does not fit it.
    """
    with scratch.folder(project.state(root)) as own:
        _forget(root)
        tree = own / "tree"
        try:
            _git(root, "-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--detach", str(tree), commit)
            if patch:
                _git(tree, "apply", "--whitespace=nowarn", str(patch))
            (tree / LINK).unlink()
            yield tree / _git(root, "rev-parse", "--show-prefix").strip()
        finally:
            with contextlib.suppress(FileNotFoundError):
                tree.rename(own / "over")  # removed with the folder; git is to find it gone
            _forget(root)


def _forget(root: Path) -> None:
    """Have git forget those of our worktrees that are gone, also where their process was killed; nobody else's."""
    ours = f"worktree {project.state(root).resolve() / scratch.FOLDER}{os.sep}"
    for line in _git(root, "worktree", "list", "--porcelain").splitlines():
        if line.startswith(ours) and not Path(path := line.removeprefix("worktree ")).exists():
            _git(root, "worktree", "remove", "--force", path)


def _git(folder: Path, *words: str) -> str:
    # A hook that calls us would hand down its own repository.
    kept = {name: value for name, value in os.environ.items() if name not in GIT_PLACES}
    done = subprocess.run(
        ["git", *words], cwd=folder, env=kept, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise ProjectError(f"git failed: {' '.join(done.stderr.split())}")
    return done.stdout

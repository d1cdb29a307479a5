"""Find the project, its state, and whether this is its environment."""

import re
import sys
from pathlib import Path

from lockstep.activate import state_folder
from lockstep.errors import ProjectError

LOCK = "requirements.lock"


def find(start: Path | None = None) -> Path:
    """Return the project that holds ``start`` (the working directory): ``dvc.yaml`` beside ``src/lockstep``.

    Raises
    ------
    ProjectError
        No folder upwards is one.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "dvc.yaml").is_file() and (folder / "src" / "lockstep").is_dir():
            return folder
    raise ProjectError(
        f"{start} is not inside a project (a folder with dvc.yaml and src/lockstep); "
        "go into one, or make one with `lockstep new`."
    )


def state(root: Path) -> Path:
    """Return the ``.lockstep`` folder of the main checkout, which every git worktree of it shares."""
    return Path(state_folder(str(root)))


def check_environment(root: Path) -> None:
    """Refuse to run a stage with packages other than those that ``requirements.lock`` names.

    Compares names and versions of what is installed, without importing any of it.

    Raises
    ------
    ProjectError
        Naming the first package that differs.
    """
    wrong = differences(root)
    if wrong:
        raise ProjectError(
            f"the Python at {sys.prefix} is not this project's environment: {wrong[0]}"
            f"{f' (and {len(wrong) - 1} more)' if len(wrong) > 1 else ''}. Run `make env`, then "
            "`source .venv/bin/activate`."
        )


def differences(root: Path) -> list[str]:
    """Return a line for each locked package that is absent or of another version."""
    installed = {_normal(name): version for name, version in _installed()}
    return [
        f"{name} must be {version}; found {installed.get(name, 'none')}"
        for name, version in locked(root).items()
        if installed.get(name) != version
    ]


def locked(root: Path) -> dict[str, str]:
    """Return the pinned versions that ``requirements.lock`` asks for on this Python and platform."""
    from packaging.markers import Marker

    try:
        text = (root / LOCK).read_text("utf-8")
    except FileNotFoundError:
        raise ProjectError(f"{LOCK} is missing from {root}; take it from git.") from None
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?:\s*;\s*([^\\\n]+))?", text, flags=re.MULTILINE)
    return {_normal(name): version for name, version, marker in pins if not marker or Marker(marker).evaluate()}


def _installed() -> list[tuple[str, str]]:
    found = []
    for folder in map(Path, sys.path):
        for info in folder.glob("*.dist-info") if folder.is_dir() else ():
            name, _, version = info.name.removesuffix(".dist-info").partition("-")
            found.append((name, version))
    return found[::-1]  # earlier folders win


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

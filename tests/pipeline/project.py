"""A copy of this project that is small enough to run as a whole, and what tests do to it."""

import atexit
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.prefix) / "bin"
LEFT_OUT = ("tests/", "docs/", "benchmarks/", ".ci/", "dvc.lock")
SMALL = {
    "source": {"rows": 1500},
    "tune": {"trials": 2},
    "families": ["linear", "hist_gradient", "xgboost"],
    "split": {"folds": 2},
    "evaluate": {"resamples": 50},
    "package": {"replay_rows": 20},
}
PASSED_ON = ("LANG", "LC_ALL", "TMPDIR", "OPENBLAS_CORETYPE")
"""The last decides the bits of a linear model; the tests' own process may have it set."""
IDENTITY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "A. Person"), ("EMAIL", "person@example.org"))
}


def make(root: Path, settings: Mapping[str, Any] = SMALL) -> Path:
    """Copy what git tracks, or would, make it small, and commit it to a repository of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in set(listed.split("\0")) - {""}:
        if not name.startswith(LEFT_OUT) and (REPOSITORY / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, root / name)
    change_params(root, settings)
    said(lockstep(root, "refresh"))
    git(root, "init", "--quiet", "--initial-branch", "main")
    commit(root, "A small project")
    return root


@functools.cache
def home() -> Path:
    """Return an empty home folder, so that no setting of whoever runs the tests matters."""
    folder = tempfile.mkdtemp(prefix="lockstep-home-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def commit(root: Path, message: str) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", message)


def copy(root: Path, to: Path) -> Path:
    """Copy a project with all that was made in it, caches and state included."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(root), str(to)], check=True)
    return to


def environment(**more: str) -> dict[str, str]:
    """Return what a new shell has in which nothing but PATH was changed."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {
        **kept,
        **IDENTITY,
        "HOME": str(home()),
        "DVC_SITE_CACHE_DIR": str(home() / "dvc"),
        "PATH": f"{PROGRAMS}:/usr/local/bin:/usr/bin:/bin",
        **more,
    }


def run(root: Path, *command: str, timeout: float = 120, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in a new shell; it may fail."""
    return subprocess.run(
        command,
        cwd=root,
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def repro(root: Path, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return run(root, "dvc", "repro", *words, timeout=300, **more)


def stage(root: Path, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a stage as ``dvc.yaml`` does, without DVC."""
    return run(root, "python", "src/lockstep", *words, **more)


def lockstep(root: Path, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return run(root, "lockstep", *words, **more)


def git(root: Path, *words: str) -> str:
    return said(run(root, "git", *words))


def said(asked: "subprocess.CompletedProcess[str]") -> str:
    """Return the output of a command that must have gone well."""
    assert asked.returncode == 0, f"{asked.args} ended with {asked.returncode}:\n{asked.stdout}\n{asked.stderr}"
    return asked.stdout


def change_params(root: Path, settings: Mapping[str, Any]) -> None:
    """Lay ``settings`` over params.yaml."""
    path = root / "params.yaml"
    path.write_text(yaml.safe_dump(_laid_over(yaml.safe_load(path.read_text("utf-8")), settings), sort_keys=False))


def change_contract(root: Path, change: Any) -> None:
    """Apply ``change(suite)`` to the contract's JSON."""
    path = root / "expectations" / "rows.json"
    suite = json.loads(path.read_text("utf-8"))
    change(suite)
    path.write_text(json.dumps(suite, indent=2))


def append(path: Path, text: str) -> None:
    """Add to a file."""
    path.write_text(path.read_text("utf-8") + text)


def stages_run(asked: "subprocess.CompletedProcess[str]") -> list[str]:
    """Return the stages that a ``dvc repro`` ran, in order."""
    return re.findall(r"^Running stage '([^']+)'", asked.stdout, flags=re.MULTILINE)


def lock_of(root: Path) -> dict[str, Any]:
    """Return the entries of ``dvc.lock`` by stage."""
    return dict(yaml.safe_load((root / "dvc.lock").read_text("utf-8"))["stages"])


def outs(root: Path) -> list[Path]:
    """Return every file that the stages made."""
    found = [root / out["path"] for entry in lock_of(root).values() for out in entry["outs"]]
    return [
        file for out in found for file in ([out] if out.is_file() else sorted(p for p in out.rglob("*") if p.is_file()))
    ]


def _laid_over(below: Any, above: Any) -> Any:
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {
        key: _laid_over(below.get(key), above[key]) if key in above else below[key]
        for key in [*below, *(key for key in above if key not in below)]
    }


def refused(asked: "subprocess.CompletedProcess[str]", *parts: str) -> str:
    """Return what a refused command said: one line of ours that holds every part, and no traceback."""
    text = asked.stdout + asked.stderr
    assert asked.returncode != 0, f"{asked.args} was not refused:\n{text}"
    assert "Traceback" not in text, text
    lines = [line for line in asked.stderr.splitlines() if line.startswith("lockstep")]
    assert len(lines) == 1, f"{asked.args} must say one line:\n{text}"
    absent = [part for part in parts if part not in lines[0]]
    assert not absent, f"{absent} not in: {lines[0]}"
    return lines[0]

"""DVC's cache of a project: which objects an out needs, where they lie, and how to damage them."""

import json
import shutil
from pathlib import Path
from typing import Any

import project
from sites import Site

DAMAGES = ("altered", "altered with another mode", "truncated", "missing")


def outs_of(root: Path, stage: str) -> dict[str, str]:
    """Return the names of the objects of a stage's outs, by path."""
    return {out["path"]: out["md5"] for out in project.lock_of(root)[stage]["outs"]}


def files_of(root: Path, named: str) -> list[str]:
    """Return the names of the objects of a folder's files; none for a file."""
    listed: list[dict[str, Any]] = json.loads(place(root, named).read_text()) if named.endswith(".dir") else []
    return sorted({file["md5"] for file in listed})


def place(root: Path, named: str) -> Path:
    """Return where an object lies."""
    return root / ".dvc" / "cache" / "files" / "md5" / named[:2] / named[2:]


def damage(path: Path, how: str) -> None:
    """Damage an object in one of the ways of ``DAMAGES``; DVC takes one of mode 0444 for intact."""
    content = path.read_bytes()
    path.chmod(0o644)
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    if how in ("altered", "truncated"):
        path.chmod(0o444)


def lose(site: Site, stage: str) -> None:
    """Make a stage run again, and lose the objects that only it needs: it must bring all of them into the cache."""
    every = {name: set(everything(site.root, name)) for name in project.lock_of(site.root)}
    others = set().union(*(objects for name, objects in every.items() if name != stage))
    for named in every[stage] - others:
        remove(place(site.root, named))
    site.forget(stage)


def everything(root: Path, stage: str) -> list[str]:
    """Return the names of all objects that a stage's outs need."""
    outs = outs_of(root, stage).values()
    return [*outs, *(file for named in outs for file in files_of(root, named))]


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

"""Read what the stages made, and by whom; only what is whole, which is what ``dvc.lock`` records."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lockstep import alive, digest, graph, ledger


@dataclass(frozen=True)
class Made:
    """A stage's entry in ``dvc.lock``: digests by path, parameters by key."""

    name: str
    deps: Mapping[str, str]
    outs: Mapping[str, str]
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Maker:
    """Who made a stage's outs, when, and from which code."""

    tags: Mapping[str, str]
    began: int | None
    """Milliseconds since 1970, where the ledger knows."""
    ended: int | None


def load(root: Path) -> dict[str, Made]:
    """Return the entries of ``dvc.lock`` by stage."""
    return {name: _made(name, entry) for name, entry in graph.recorded(root).items()}


def maker(root: Path, made: Made) -> Maker:
    """Return who made the outs of a stage that lie here now."""
    files = {path: md5 for path, md5 in made.deps.items() if path.startswith("src/")}
    tags = {"lockstep.code": digest.of_bytes(json.dumps(files, sort_keys=True).encode())}
    for name, path in (("contract", "expectations/rows.json"), ("packages", "requirements.lock")):
        if path in made.deps:
            tags[f"lockstep.{name}"] = made.deps[path]
    entry = ledger.current(root, made.name)
    if entry is None:
        return Maker(tags, None, None)
    if entry["commit"]:
        tags |= {"lockstep.commit": entry["commit"], "mlflow.source.git.commit": entry["commit"]}
        tags["lockstep.dirty"] = {True: "yes", False: "no", None: "unknown"}[entry["dirty"]]
    if entry["patch"]:
        tags["lockstep.patch"] = entry["patch"]
    tags |= {"lockstep.made_at": entry["began"], "lockstep.made_on": alive.read(entry["owner"]).host}
    tags["lockstep.python"] = f"{entry['python']} on {entry['platform']}"
    began = round(datetime.fromisoformat(entry["began"]).timestamp() * 1000)
    return Maker(tags, began, began + round(entry["seconds"] * 1000))


def content(root: Path, path: str, recorded: str) -> dict[str, bytes] | None:
    """Return the bytes of a file, or of all files of a folder, by name; None unless they are those recorded."""
    place = root / path
    try:
        if place.is_dir():
            files = sorted(file for file in place.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
            found = {file.relative_to(place).as_posix(): file.read_bytes() for file in files}
            return found if _folder_md5(found) == recorded else None
        found = {place.name: place.read_bytes()}
    except (FileNotFoundError, NotADirectoryError):  # a stage is making it anew
        return None
    return found if _md5(found[place.name]) == recorded else None


def is_whole(root: Path, path: str, recorded: str) -> bool:
    """Say whether a file or a folder is the one recorded, without keeping its bytes."""
    try:
        return graph.digest(root / path) == recorded
    except (FileNotFoundError, NotADirectoryError):
        return False


def _made(name: str, entry: Mapping[str, Any]) -> Made:
    deps, outs = ({item["path"]: item.get("md5", "") for item in entry.get(kind, [])} for kind in ("deps", "outs"))
    return Made(name, deps, outs, dict(entry.get("params", {}).get("params.yaml", {})))


def _folder_md5(files: Mapping[str, bytes]) -> str:
    """Return DVC's digest of a folder."""
    entries = [{"md5": _md5(content), "relpath": name} for name, content in files.items()]
    entries.sort(key=lambda entry: tuple(entry["relpath"].split("/")))
    return _md5(json.dumps(entries, sort_keys=True).encode()) + ".dir"


def _md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()

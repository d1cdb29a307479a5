"""Read ``dvc.yaml`` and ``dvc.lock``: what is made from what, what is stale, and why.

A first look in milliseconds, without importing DVC, which stays the authority. Stages are named as DVC names them;
one of a matrix is ``tune@xgboost``.
"""

import functools
import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lockstep.errors import IntegrityError, ParamsError, ProjectError, StageFailed, UnknownName, expected_one_of

CHUNK = 1 << 20
LOCK = "dvc.lock"
WRITTEN_WITHIN_S = 2.0
POLL_S = 0.02


@dataclass(frozen=True)
class Stage:
    """One stage, its names resolved."""

    name: str
    command: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: tuple[str, ...]


@dataclass(frozen=True)
class Staleness:
    """A stage and why it would run again; no reasons where it would not."""

    stage: str
    reasons: tuple[str, ...]


def load(root: Path) -> list[Stage]:
    """Return the stages in an order in which they can run.

    Raises
    ------
    ProjectError
        ``dvc.yaml`` or ``params.yaml`` is broken, or asks for a key that is not there.
    """
    values = _read_yaml(root / "params.yaml")
    stages = [
        stage
        for name, block in _read_yaml(root / "dvc.yaml").get("stages", {}).items()
        for stage in _expand(name, block, values)
    ]
    return list(_ordered(stages))


def stage(root: Path, name: str) -> Stage:
    """Return one stage.

    Raises
    ------
    UnknownName
        ``dvc.yaml`` has none of that name.
    """
    stages = {one.name: one for one in load(root)}
    if name not in stages:
        raise UnknownName(f"dvc.yaml has no stage {name!r}; {expected_one_of(name, stages)}")
    return stages[name]


def stale(root: Path) -> list[Staleness]:
    """Compare every stage with ``dvc.lock``; files by their MD5, as DVC does."""
    stages, entries, values = load(root), recorded(root), _read_yaml(root / "params.yaml")
    found: list[Staleness] = []
    made_by = {out: stage.name for stage in stages for out in stage.outs}
    for stage in stages:
        own = _reasons(root, stage, entries.get(stage.name), values)
        waiting = {made_by[out] for dep in stage.deps for out in made_by if _within(out, dep) or _within(dep, out)}
        late = sorted(before.stage for before in found if before.reasons and before.stage in waiting)
        found.append(Staleness(stage.name, (*own, *(f"waits for {name}" for name in late))))
    return found


def reasons(root: Path, stage: Stage) -> tuple[str, ...]:
    """Say why a stage would run again, as its own command, files and parameters show; empty where it would not."""
    return tuple(_reasons(root, stage, recorded(root).get(stage.name), _read_yaml(root / "params.yaml")))


def recorded(root: Path) -> dict[str, Any]:
    """Return the entries of ``dvc.lock`` by stage; while another process writes it, wait.

    Raises
    ------
    IntegrityError
        It was cut off, as by a kill while DVC wrote it.
    ProjectError
        It holds the marks of a merge.
    """
    end = time.monotonic() + WRITTEN_WITHIN_S
    while (entries := _entries(root / LOCK)) is None:
        if time.monotonic() > end:
            raise IntegrityError(
                f"{LOCK} is cut off, as by a kill while DVC wrote it. Remove it and run `dvc repro`: what was made "
                "before is taken from DVC's cache."
            )
        time.sleep(POLL_S)
    return entries


def producers(stages: list[Stage]) -> dict[str, list[str]]:
    """Return, for each stage, the stages that make what it reads."""
    return {
        stage.name: [
            other.name
            for other in stages
            if any(_within(out, dep) or _within(dep, out) for out in other.outs for dep in stage.deps)
        ]
        for stage in stages
    }


def inputs(root: Path, stage: Stage) -> dict[str, Any]:
    """Return what a stage reads now: its dependencies by digest (null where missing), its parameters by value.

    Of a folder that holds other stages' outs, these outs: what a stage of an earlier graph left there is not read.
    """
    values = _read_yaml(root / "params.yaml")
    outs = [out for other in load(root) for out in other.outs]
    paths = [path for dep in stage.deps for path in ([out for out in outs if _within(out, dep)] or [dep])]
    files = {path: _digest_now(root / path) for path in paths}
    return {**files, **{f"params.yaml: {key}": _value(values, key) for key in stage.params}}


def check_unchanged(root: Path, stage: Stage, read: Mapping[str, Any]) -> None:
    """Stop if what a stage reads is no longer what it was, by :func:`inputs`, when the stage began.

    Raises
    ------
    StageFailed
        With what changed; trying again can help.
    """
    changed = sorted(key for key, value in inputs(root, stage).items() if read.get(key) != value)
    if changed:
        raise StageFailed(f"{changed[0]} was changed while it ran; what it made is not recorded", passing=True)


def check_inputs(root: Path, name: str) -> None:
    """Stop if a file that another stage made is not the one recorded, as when an object of DVC's cache was damaged.

    Raises
    ------
    IntegrityError
        With the file's name; DVC itself trusts an object's file mode, not its bytes.
    """
    entries, reads = recorded(root), stage(root, name).deps
    made = {out["path"]: out.get("md5") for entry in entries.values() for out in entry.get("outs", [])}
    for path in (path for path in made if any(_within(path, dep) or _within(dep, path) for dep in reads)):
        if (root / path).exists() and digest(root / path) != made[path]:
            raise IntegrityError(
                f"{path} must have MD5 {made[path]}, as dvc.lock records; its bytes are others. DVC's cache may hold a "
                "damaged object: run `lockstep verify`, then `dvc repro`."
            )


def digest(path: Path) -> str:
    """Return DVC's MD5 of a file or of a folder."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
        entries = [{"md5": md5(file), "relpath": file.relative_to(path).as_posix()} for file in files]
        entries.sort(key=lambda entry: tuple(entry["relpath"].split("/")))
        return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"
    return md5(path)


def _digest_now(path: Path) -> str | None:
    """Return DVC's MD5, or None where nothing is, or another run takes it away just then."""
    try:
        return digest(path)
    except FileNotFoundError:
        return None


def _entries(path: Path) -> dict[str, Any] | None:
    """Return what the lock holds, or None where it was cut off: no end of its last line, or of its last entry."""
    try:
        text = path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return {}
    if "\n<<<<<<< " in f"\n{text}":
        raise ProjectError(f"{LOCK} holds the marks of a merge; take one side, and run `dvc repro`.")
    try:
        entries = _parse_yaml(path, text).get("stages", {})
    except ParamsError:
        return None
    whole = text.endswith("\n") and isinstance(entries, dict) and all(map(_is_whole, [*entries.values()][-1:]))
    return entries if whole else None


def _is_whole(entry: Any) -> bool:
    if not isinstance(entry, dict) or None in entry.values() or None in entry.get("params", {}).values():
        return False
    items = [*entry.get("deps", []), *entry.get("outs", [])]
    return all(isinstance(item, dict) and ("hash" not in item or _has_digest(item)) for item in items)


def _has_digest(item: Mapping[str, Any]) -> bool:
    return "size" in item and ("nfiles" in item or not str(item.get(item["hash"], ".dir")).endswith(".dir"))


def _reasons(root: Path, stage: Stage, entry: Mapping[str, Any] | None, values: Mapping[str, Any]) -> Iterator[str]:
    if entry is None:
        yield "never run"
        return
    if entry["cmd"] != stage.command:
        yield "its command changed"
    for kind, paths in (("deps", stage.deps), ("outs", stage.outs)):
        known = {item["path"]: item["md5"] for item in entry.get(kind, []) if "md5" in item}
        for path in paths:
            if path not in known:
                yield f"{path} is new in dvc.yaml"
            elif (found := _digest_now(root / path)) is None:
                yield f"{path} is missing"
            elif found != known[path]:
                yield f"{path} changed"
        yield from (f"{path} left dvc.yaml" for path in known if path not in paths)
    used = entry.get("params", {}).get("params.yaml", {})
    for key in stage.params:
        if key not in used or used[key] != _value(values, key):
            yield f"params.yaml: {_changed_key(key, used.get(key), _value(values, key))} changed"


def _changed_key(key: str, before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted({*before, *now}):
            if before.get(name) != now.get(name):
                return _changed_key(f"{key}.{name}", before.get(name), now.get(name))
    return key


def _expand(name: str, block: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Stage]:
    matrix = block.get("matrix")
    if not matrix:
        yield _stage(name, block, values)
        return
    ((key, wanted),) = matrix.items()
    items = _value(values, wanted[2:-1]) if isinstance(wanted, str) else wanted
    if not isinstance(items, list):
        raise ParamsError(f"params.yaml: {wanted[2:-1]} must be a list; dvc.yaml makes a stage of each.")
    for item in items:
        yield _stage(f"{name}@{item}", block, {**values, "item": {key: item}})


def _stage(name: str, block: Mapping[str, Any], values: Mapping[str, Any]) -> Stage:
    def paths(key: str) -> tuple[str, ...]:
        return tuple(_fill(next(iter(item)) if isinstance(item, dict) else item, values) for item in block.get(key, []))

    return Stage(
        name,
        _fill(block["cmd"], values),
        paths("deps"),
        (*paths("outs"), *paths("metrics")),
        tuple(block.get("params", [])),
    )


def _fill(text: str, values: Mapping[str, Any]) -> str:
    return re.sub(r"\$\{([^}]+)\}", lambda match: str(_value(values, match[1])), text)


def _value(values: Mapping[str, Any], key: str) -> Any:
    value: Any = values
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise ParamsError(f"params.yaml: {key} is missing; dvc.yaml asks for it.")
        value = value[part]
    return value


def _ordered(stages: list[Stage]) -> Iterator[Stage]:
    """Yield producers before consumers, else in the order of the file."""
    made: set[str] = set()
    left = list(stages)
    while left:
        outs = {out for stage in left for out in stage.outs}
        ready = next(
            (
                stage
                for stage in left
                if not any(_within(out, dep) or _within(dep, out) for dep in stage.deps for out in outs - made)
            ),
            None,
        )
        if ready is None:
            raise ProjectError(f"dvc.yaml has a cycle among {[stage.name for stage in left]}.")
        left.remove(ready)
        made |= set(ready.outs)
        yield ready


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def md5(path: Path) -> str:
    """Return the MD5 of a file in hex; of one that was not touched since, without reading it again."""
    known = path.stat()
    return _md5(path, known.st_ino, known.st_size, known.st_mtime_ns, known.st_ctime_ns)


@functools.lru_cache(maxsize=4096)
def _md5(path: Path, *_: int) -> str:
    content = hashlib.md5()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            content.update(piece)
    return content.hexdigest()


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        return _parse_yaml(path, path.read_text("utf-8"))
    except FileNotFoundError:
        raise ProjectError(f"{path.name} is missing from {path.parent}.") from None
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path.name} must be YAML; {error}.") from error


def _parse_yaml(path: Path, text: str) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        values = yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        raise ParamsError(f"{path.name} must be YAML; {' '.join(str(error).split())[:200]}.") from error
    if not isinstance(values, dict):
        raise ParamsError(f"{path.name} must hold keys and values; found {type(values).__name__}.")
    return values

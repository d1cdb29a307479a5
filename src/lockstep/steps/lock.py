"""Hold the source to what was locked: ``data/source.lock`` says which table the project was made from."""

from pathlib import Path
from typing import Any

from lockstep import digest, plugins
from lockstep.errors import SourceError
from lockstep.params import Params, parse

FILE = "data/source.lock"


def current(root: Path, params: Params) -> dict[str, Any]:
    """Return what the lock would say now."""
    source = plugins.load("sources", params.source["kind"])
    locked: dict[str, Any] = source.lock(parse(source.Settings, params.source, where="source"), root)
    return locked


def write(root: Path, params: Params) -> str:
    """Write the lock anew; return what changed."""
    now, path = current(root, params), root / FILE
    before = digest.read_object(path) if path.exists() else {}
    digest.write_atomic(path, digest.dump_json(now))
    changed = _differences(before, now)
    return f"{FILE}: {'; '.join(changed)}" if changed else f"{FILE} is unchanged"


def check(root: Path, params: Params) -> None:
    """Stop if the source is not the locked one.

    Raises
    ------
    SourceError
        With what differs; `lockstep refresh` takes it up.
    """
    path = root / FILE
    if not path.exists():
        raise SourceError(f"{FILE} is missing; write it by `lockstep refresh`, and commit it.")
    changed = _differences(digest.read_object(path), current(root, params))
    if changed:
        raise SourceError(
            f"the source must be the locked one; {'; '.join(changed)}. If that is meant, take it up by "
            f"`lockstep refresh`, and commit {FILE}."
        )


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [
        f"{key} was {_brief(before.get(key))}, is {_brief(now.get(key))}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]


def _brief(value: Any) -> str:
    return value[:12] if isinstance(value, str) and len(value) == 64 else repr(value)

"""Check the objects of DVC's cache by their bytes: DVC itself trusts an object's file mode."""

import json
from collections.abc import Iterator
from pathlib import Path

from lockstep import graph

DIRECTORY = ".dir"


def faults(cache: Path, named: str) -> Iterator[tuple[Path, str]]:
    """Yield the objects that an out needs and that cannot be used, each ``missing`` or ``damaged``.

    ``named`` is the out's digest as ``dvc.lock`` writes it; a folder's ends in ``.dir`` and lists its files.
    """
    path = place(cache, named)
    if not path.is_file():
        yield path, "missing"
    elif graph.md5(path) != named.removesuffix(DIRECTORY):
        yield path, "damaged"
    elif named.endswith(DIRECTORY):
        for entry in json.loads(path.read_text("utf-8")):
            yield from faults(cache, entry["md5"])


def place(cache: Path, named: str) -> Path:
    """Return where an object lies; ``cache`` is the folder ``files/md5`` of DVC's cache."""
    return cache / named[:2] / named[2:]


def remove(path: Path) -> None:
    """Remove a damaged object, so that nobody takes it for what its name says."""
    path.chmod(0o644)
    path.unlink()

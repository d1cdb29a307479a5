"""Keep who made what, when, and from which code, beside the outs, which may not hold it.

``.lockstep/ledger/<stage>/<digest>.json``: the digest names the bytes of all the stage's outs, so what DVC takes from
its cache finds the entry of the run that made it. A patch of uncommitted changes lies in ``.lockstep/ledger/patches/``.
"""

import hashlib
import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lockstep import alive, digest, graph, project

FOLDER = "ledger"
MAX_PATCH_BYTES = 4 << 20


def write(root: Path, name: str, began: datetime, seconds: float) -> dict[str, Any]:
    """Record that a stage has just made its outs; the first maker of equal bytes stays on record.

    ``seconds`` is what the stage took.

    Raises
    ------
    OSError
        The state folder cannot be written.
    """
    stage = graph.stage(root, name)
    outs = {path: graph.digest(root / path) for path in stage.outs}
    path = _place(root, name, digest_of(outs))
    if path.exists():
        return digest.read_object(path)
    entry = {
        "stage": name,
        "digest": path.stem,
        "outs": outs,
        "deps": {path: graph.digest(root / path) for path in stage.deps},
        "began": began.astimezone(UTC).isoformat(timespec="milliseconds"),
        "seconds": round(seconds, 3),
        **_code(root),
        "owner": alive.me().as_json(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": project.locked(root),
        "blas": _blas(),
    }
    digest.write_atomic(path, digest.dump_json(entry))
    return entry


def current(root: Path, name: str) -> dict[str, Any] | None:
    """Return the entry of the outs that lie here now, or None where they are missing or nobody recorded them."""
    outs = {path: root / path for path in graph.stage(root, name).outs}
    if not all(path.exists() for path in outs.values()):
        return None
    place = _place(root, name, digest_of({name: graph.digest(path) for name, path in outs.items()}))
    return digest.read_object(place) if place.exists() else None


def digest_of(outs: dict[str, str]) -> str:
    """Return the digest that names a set of outs, from the MD5 of each."""
    return hashlib.sha256(json.dumps(outs, sort_keys=True).encode()).hexdigest()


def _place(root: Path, name: str, named: str) -> Path:
    return project.state(root) / FOLDER / name / f"{named}.json"


def _code(root: Path) -> dict[str, Any]:
    """Return commit, whether files differ from it, and the patch; nulls outside of git, or where it does not tell."""
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return {"commit": None, "dirty": None, "patch": None}
    # What stages make is no change of the code, and the lock is written while they run.
    # Not refreshing the index: a kill while git writes it would leave a lock that stops every later commit.
    # Whatever a person has set for what they read, this is to be applied again.
    plain = ("--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")
    diff = ("-c", "diff.autoRefreshIndex=false", "-c", "diff.relative=false", "diff", "HEAD", *plain)
    patch = _git_bytes(root, *diff, "--", ".", ":!dvc.lock", ":!models", ":!reports")
    new = _git(root, "ls-files", "--others", "--exclude-standard", "--", ".", ":!dvc.lock")
    dirty = True if patch or new else None if patch is None or new is None else False
    untracked = (new or "").splitlines()[:100]
    return {"commit": commit.strip(), "dirty": dirty, "patch": _keep(root, patch or b""), "untracked": untracked}


def _keep(root: Path, content: bytes) -> str | None:
    if not content or len(content) > MAX_PATCH_BYTES:
        return None
    named = digest.of_bytes(content)
    path = project.state(root) / FOLDER / "patches" / f"{named}.patch"
    if not path.exists():
        digest.write_atomic(path, content)
    return named


def _git(root: Path, *words: str) -> str | None:
    said = _git_bytes(root, *words)
    return None if said is None else said.decode("utf-8", "replace")


def _git_bytes(root: Path, *words: str) -> bytes | None:
    """Return what git says, or None where it fails."""
    try:
        asked = subprocess.run(["git", *words], cwd=root, capture_output=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout if asked.returncode == 0 else None


def _blas() -> list[str]:
    """Return the BLAS kernels that this process loaded; what they compute may differ in the last bit."""
    if "threadpoolctl" not in sys.modules:
        return []
    import threadpoolctl

    return sorted(
        {f"{one['internal_api']} {one.get('architecture', '')}".strip() for one in threadpoolctl.threadpool_info()}
    )

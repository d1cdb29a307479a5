"""Name bytes by their digest, write them whole, and verify them before they are parsed."""

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lockstep.errors import IntegrityError

MANIFEST = "manifest.json"


def of_bytes(content: bytes) -> str:
    """Return the SHA-256 of ``content`` in hex."""
    return hashlib.sha256(content).hexdigest()


def of_file(path: Path) -> str:
    """Return the SHA-256 of a file in hex, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def dump_json(value: Any) -> str:
    """Return JSON that is equal for equal values: sorted keys, two spaces, a line end."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object that the project wrote itself.

    Raises
    ------
    IntegrityError
        It is missing, or is none.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise IntegrityError(f"{path.name} is missing from {path.parent}; run `make run`, or `dvc pull`.") from None
    except ValueError as error:
        raise IntegrityError(f"{path} is damaged ({error}); remove it and run `make run`.") from error
    if not isinstance(value, dict):
        raise IntegrityError(f"{path} must hold an object; remove it and run `make run`.")
    return value


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace ``path`` as a whole: a new file beside it, fsync, rename, fsync of the folder.

    The new file always has the same name and is locked while it is written: what a killed process left of one is
    written over by the next.
    """
    content = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    while not _replace(path, new, content):
        pass
    make_durable(path.parent)


def make_durable(path: Path) -> None:
    """Have the disk hold what a file says, or which files a folder holds, so that a power cut cannot take it back."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(opened)


def _replace(path: Path, new: Path, content: bytes) -> bool:
    """Write ``new`` and rename it; false where another process has just renamed the file that this one waited for."""
    with new.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not (new.exists() and os.path.samestat(os.fstat(file.fileno()), new.stat())):
            return False
        try:
            file.truncate(0)
            file.write(content)
            file.flush()
            make_durable(new)
            new.chmod(0o644)
            new.replace(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    return True


def seal(folder: Path) -> str:
    """Write ``manifest.json``, the digest of every file below ``folder``; return the manifest's own digest."""
    names = sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST
    )
    content = dump_json({"files": {name: of_file(folder / name) for name in names}}).encode()
    (folder / MANIFEST).write_bytes(content)
    return of_bytes(content)


def verify(folder: Path, digest: str | None = None) -> str:
    """Check every byte below ``folder`` against its manifest, and the manifest against ``digest`` if given.

    Raises
    ------
    IntegrityError
        A byte changed, or a file is missing or extra; named.
    """
    try:
        content = (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        raise IntegrityError(f"{folder.name}/{MANIFEST} is missing; run `dvc repro`, or `dvc checkout`.") from None
    found = of_bytes(content)
    if digest is not None and found != digest:
        raise IntegrityError(f"{folder.name}/{MANIFEST} must have digest {digest}; found {found}.")
    _verify_files(folder, _listed(folder, content))
    return found


def _listed(folder: Path, content: bytes) -> Mapping[str, str]:
    try:
        return dict(json.loads(content)["files"])
    except (ValueError, KeyError, TypeError):
        raise IntegrityError(f"{folder.name}/{MANIFEST} is not a manifest; its bytes were changed.") from None


def _verify_files(folder: Path, listed: Mapping[str, str]) -> None:
    present = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    for name in sorted(set(listed) ^ present):
        state = "is missing from" if name in listed else "does not belong into"
        raise IntegrityError(f"{name} {state} {folder.name}/; take it up again with `dvc checkout`.")
    for name, digest in listed.items():
        if of_file(folder / name) != digest:
            raise IntegrityError(
                f"{folder.name}/{name} was changed: its bytes are not those recorded in {MANIFEST}; "
                "remove it and run `dvc checkout`, or `dvc repro`."
            )

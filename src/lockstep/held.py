"""Files that one process holds, writes for good, and replaces as a whole.

The lock is the kernel's (``flock``), which frees it with the process, however that ends; so no lock is ever stale. It
belongs to the file, not to its name: a file that takes the place of another is locked before it takes the name, and
who waited for the old one looks again.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

NEW = ".new"
"""Ending of a file that is to take the place of another."""


@contextlib.contextmanager
def hold(path: Path, waiting: Callable[[bytes], None]) -> Iterator[Any]:
    """Give the file of that name, locked; empty if there was none.

    ``waiting`` is told what stands in the file before it waits for another process to let go of it.
    """
    while True:
        with path.open("a+b", buffering=0) as file:
            file.seek(0)
            if not _try_lock(file):
                waiting(file.read())
                fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(0)
            if _is_at(file, path):
                yield file
                return


def put(path: Path, content: bytes) -> Any:
    """Put a file in the place of one that this process holds, whole or not at all; return it open and locked."""
    new = path.with_suffix(NEW)
    file = new.open("wb", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        append(file, content)
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        file.close()
        raise
    return file


def append(file: Any, content: bytes) -> None:
    """Write all of ``content`` to an unbuffered file; it is on the disk when this returns."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]
    os.fsync(file.fileno())


def remove(path: Path, unwanted: Callable[[bytes], bool]) -> bool:
    """Remove a file that is unwanted by what stands in it, if no process holds it; say whether it was removed."""
    with contextlib.suppress(FileNotFoundError), path.open("r+b", buffering=0) as file:
        if unwanted(file.read()) and _try_lock(file) and _is_at(file, path):
            path.unlink()
            return True
    return False


def _try_lock(file: Any) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(file: Any, path: Path) -> bool:
    """Say whether ``path`` still names this very file; who replaced or removed it held the lock before."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False

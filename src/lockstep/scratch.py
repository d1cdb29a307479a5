"""Give a process a folder for what only it needs, and remove the folders of those that were killed."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

FOLDER = "tmp"


@contextlib.contextmanager
def folder(state: Path) -> Iterator[Path]:
    """Make a folder in ``.lockstep/tmp`` where all of this process finds its temporary files; remove it after.

    A process holds its folder by the kernel's lock, which ends with it, however that ends. So what nobody holds was
    left by one that was killed, and is removed first.
    """
    place = state / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        with _locked(place):
            _sweep(place)
            own = Path(tempfile.mkdtemp(prefix="", dir=place))
            held.enter_context(_locked(own))
        earlier, tempfile.tempdir = tempfile.tempdir, str(own)
        try:
            yield own
        finally:
            tempfile.tempdir = earlier
            shutil.rmtree(own, ignore_errors=True)


def _sweep(place: Path) -> None:
    for left in place.iterdir():
        with contextlib.suppress(BlockingIOError, FileNotFoundError), _locked(left, fcntl.LOCK_NB):
            shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _locked(place: Path, more: int = 0) -> Iterator[None]:
    """Lock a folder; wait for it, unless told otherwise by ``LOCK_NB``."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | more)
        yield
    finally:
        os.close(descriptor)

"""Wait for others, but not for ever."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lockstep.errors import Unavailable

AGAIN = "`lockstep publish` goes on from there"
TURN_S = 0.05


@dataclass(frozen=True)
class Clock:
    """Knows how many seconds are left."""

    seconds: float
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds until the end; never negative."""
        return max(0.0, self.began + self.seconds - time.monotonic())

    def check(self) -> None:
        """Stop when no time is left.

        Raises
        ------
        Unavailable
            None is.
        """
        if not self.left:
            raise Unavailable(f"publishing took longer than {self.seconds:g} s; {AGAIN}.")


@contextlib.contextmanager
def hold(file: Path, clock: Clock, otherwise: str) -> Iterator[None]:
    """Hold a lock that ends with this process; wait for it as long as the clock allows.

    Raises
    ------
    Unavailable
        Saying ``otherwise``.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not clock.left:
                    raise Unavailable(f"{otherwise}, for longer than {clock.seconds:g} s; {AGAIN}.") from None
                time.sleep(TURN_S)
        yield

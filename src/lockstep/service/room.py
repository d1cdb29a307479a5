"""Bound what is in work at once: requests, and the bytes of their bodies."""

from types import TracebackType

from lockstep.service.body import RefusedError

MAX_REQUESTS = 256
"""Requests that may wait for their body or their turn; more are answered 429."""
MAX_BYTES = 32 * 1024 * 1024
"""Bytes of bodies, of all requests together."""


class Room:
    """What a worker has in work."""

    def __init__(self) -> None:
        self.n_requests = self.n_bytes = 0

    def place(self) -> "Place":
        """Return a place for a request, to be entered."""
        return Place(self)


class Place:
    """One request's part of the room."""

    __slots__ = ("_n_bytes", "_room")

    def __init__(self, room: Room) -> None:
        self._room, self._n_bytes = room, 0

    def __enter__(self) -> "Place":
        if self._room.n_requests >= MAX_REQUESTS:
            raise _full()
        self._room.n_requests += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._room.n_requests -= 1
        self._room.n_bytes -= self._n_bytes

    def hold(self, n_bytes: int) -> None:
        """Keep that many bytes more, or refuse the request."""
        if self._room.n_bytes + n_bytes > MAX_BYTES:
            raise _full()
        self._room.n_bytes += n_bytes
        self._n_bytes += n_bytes


def _full() -> RefusedError:
    return RefusedError(429, {"error": "too much is asked at once; try again in a second."}, ((b"retry-after", b"1"),))

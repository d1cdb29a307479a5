"""Bound what is in work at once: requests, and the bytes of their bodies."""

from types import TracebackType

from lockstep.service.body import RefusedError

MAX_REQUESTS = 256
"""Requests that may wait for their body or their turn; more are answered 429."""
MAX_BYTES = 32 * 1024 * 1024
"""Bytes of bodies, of all requests together, beyond what each may hold anyhow."""
FREE_BYTES = 64 * 1024
"""What a request holds of itself, so that large ones which stall stop no small one."""


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
            raise busy()
        self._room.n_requests += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._room.n_requests -= 1
        self._room.n_bytes -= max(0, self._n_bytes - FREE_BYTES)

    def hold(self, n_bytes: int) -> None:
        """Keep that many bytes more, or refuse the request."""
        beyond = max(0, self._n_bytes + n_bytes - FREE_BYTES) - max(0, self._n_bytes - FREE_BYTES)
        if self._room.n_bytes + beyond > MAX_BYTES:
            raise busy()
        self._room.n_bytes += beyond
        self._n_bytes += n_bytes


def busy() -> RefusedError:
    """Return what refuses a request for the moment."""
    return RefusedError(429, {"error": "too much is asked at once; try again in a second."}, ((b"retry-after", b"1"),))

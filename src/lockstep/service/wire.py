"""Speak HTTP within limits: uvicorn's protocol, and what it leaves open.

A head and a body must arrive within their deadlines, an answer must be read within its own; a head has a largest size,
and only so many connections stand open. What goes beyond is answered shortly and closed. The application is asked
directly: nothing of BentoML's stands between it and the wire.
"""

import asyncio
import logging
import math
import re
import resource
import socket
from http import HTTPStatus
from typing import Any

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

LOOK_EVERY_S = 0.5
LINGER_S = 0.2
"""How long an idle connection stays open when the service ends, for a request that is on its way."""
LEAVE_WITHIN_S = 1.0
"""For the client of a refused request to close."""
MAX_HEAD_BYTES = 16 * 1024
"""Of a head, and of what follows a body, or stands between its pieces."""
MAX_AHEAD = 16
"""Requests that a client may send on a connection before the first is answered."""
MAX_CONNECTIONS = 1_000
UPGRADE = re.compile(rb"(?i)(?<=\n)upgrade(?=[ \t]*:)")
MAX_LISTENERS = 32
SPARE_FILES = 64
"""File descriptors left for all else but listeners, and connections that are being refused."""

log = logging.getLogger(__name__)
log.setLevel(logging.ERROR)  # what a client does wrong is told to the client; it could fill a disk


def max_listeners() -> int:
    """Return how many listeners take connections: 32, or fewer where the process may open fewer than 1,024 files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_LISTENERS if files == resource.RLIM_INFINITY else max(1, min(MAX_LISTENERS, files // 32))


def max_connections() -> int:
    """Return how many connections may be open: 1,000, or fewer where the process may open fewer files.

    A connection that is refused is closed three rounds after it was taken, and each listener takes one a round.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = files - SPARE_FILES - 4 * max_listeners()
    return MAX_CONNECTIONS if files == resource.RLIM_INFINITY else max(1, min(MAX_CONNECTIONS, most))


class Server(uvicorn.Server):
    """Take new connections in their turn, however busy the others keep it.

    Of each listener libuv takes one connection between two rounds of requests, of hundreds of clients at worst; so a
    newcomer, or a probe, would wait for seconds.
    """

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve by many listeners for each socket."""
        twins = [each.dup() for each in sockets or () for _ in range(max_listeners() - 1)]
        super().run(sockets and [*sockets, *twins])


class Protocol(HttpToolsProtocol):
    """One connection; a subclass sets ``answer``, the ASGI application."""

    answer: Any
    most = max_connections()
    head_within_s = 5.0
    """From the first byte of a request, or from the connection, to the last of its head."""
    body_within_s = 20.0
    """From there to the last byte of its body."""
    read_within_s = 20.0
    """For the client to take an answer."""

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.app, self.ws_protocol_class, self.logger = self.answer, None, log
        self._arrive_by = self._taken_by = math.inf
        self._n_left = 0
        self._n_around, self._in_head, self._is_refused = 0, True, False
        self._at_work: RequestResponseCycle | None = None
        self._look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock, or refuse one connection too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections are open; try again in a moment.")
            return
        self._expect(self.head_within_s)
        self._look = self.loop.call_later(LOOK_EVERY_S, self._watch)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        if self._look:
            self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; a head may not grow without end, even where it is one line, nor may what is no body after it."""
        if self._is_refused:
            return
        if self._in_head and not self._n_around:
            self._expect(self.head_within_s)
        self._n_around += len(data)
        super().data_received(_without_upgrade(data) if self._in_head else data)
        if self._n_around > MAX_HEAD_BYTES and not self._is_refused:
            self._refuse_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one that follows the body is none."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, unless its head is too large, or too many wait before it."""
        self._in_head, self._n_around = False, 0
        if self._is_refused:
            return
        if self.parser.should_upgrade():  # what follows such a head is read otherwise by others
            self._refuse(HTTPStatus.BAD_REQUEST, "no other protocol is spoken here; ask without Upgrade.")
            return
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            self._refuse_head()
        elif len(self.pipeline) >= MAX_AHEAD:
            self._refuse(HTTPStatus.TOO_MANY_REQUESTS, f"at most {MAX_AHEAD} requests may be sent ahead.")
        else:
            self._expect(self.body_within_s)
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body, unless the request was refused."""
        self._n_around = 0
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Leave the time from here on to the application."""
        if not self._is_refused:
            self._arrive_by, self._n_around, self._in_head = math.inf, 0, True
            super().on_message_complete()

    def shutdown(self) -> None:
        """End when what is asked is answered; where nothing is, a moment later, for a request on its way."""
        self.loop.call_later(LINGER_S, super().shutdown)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP in JSON too."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._at_work = cycle
        super()._start_asgi_task(cycle, app)

    def _unsupported_upgrade_warning(self) -> None:
        """Take a request as it is; no other protocol is spoken here."""

    def _expect(self, within_s: float) -> None:
        self._arrive_by = self.loop.time() + within_s

    def _watch(self) -> None:
        self._see_how_much_is_left()
        is_late = self.loop.time() >= self._arrive_by
        if self.loop.time() >= self._taken_by or (is_late and (self._is_refused or self._is_answered_early())):
            self.transport.abort()
            return
        if is_late:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request must arrive faster.")
        self._look = self.loop.call_later(LOOK_EVERY_S, self._watch)

    def _see_how_much_is_left(self) -> None:
        """Start the clock of a client that takes nothing of what waits for it."""
        n_left = self.transport.get_write_buffer_size()
        if not n_left or n_left != self._n_left:
            self._taken_by = self.loop.time() + self.read_within_s if n_left else math.inf
        self._n_left = n_left

    def _is_answered_early(self) -> bool:
        """Say whether an answer was begun before all of its request came."""
        return not self._in_head and self.cycle is self._at_work and self.cycle.response_started

    def _refuse_head(self) -> None:
        reason = f"the head must be at most {MAX_HEAD_BYTES:,} bytes."
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, reason)

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        """Answer without asking the application, and close."""
        body = orjson.dumps({"error": reason})
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self._is_refused = True
        if self._at_work and self._at_work.response_started and not self._at_work.response_complete:
            self.transport.abort()  # in the middle of an answer nothing else can be said
            return
        self.transport.write(head.encode() + body)
        self.pipeline.clear()
        for cycle in (self._at_work, self.cycle):
            if cycle and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self._leave()

    def _leave(self) -> None:
        """Close; where there is room, read on for a moment, since bytes left unread would take the answer back."""
        if len(self.connections) > self.most or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self._expect(LEAVE_WITHIN_S)


def _without_upgrade(data: bytes) -> bytes:
    """Take the offer of another protocol out of a head, as Java's client makes it; uvicorn would skip the body then."""
    if b"pgrade" not in data and b"PGRADE" not in data:
        return data
    head, end, rest = data.partition(b"\r\n\r\n")
    return UPGRADE.sub(b"ignored", head) + end + rest

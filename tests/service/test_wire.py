"""The limits of a connection, on a real uvicorn over real sockets."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from lockstep.service import wire

LARGE = b"x" * (32 << 20)
WITHIN_S = 10.0


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the body's length, or with much; never wait for a body that is refused."""
    n_bytes, more = 0, scope["path"] != "/refused"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        n_bytes, more = n_bytes + len(message["body"]), message["more_body"]
    body = {"/large": LARGE, "/some": LARGE[: 40 << 10]}.get(scope["path"], b"%d" % n_bytes)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


class Quick(wire.Protocol):
    answer = staticmethod(echo)
    most = 5
    head_within_s = body_within_s = read_within_s = 0.8


@contextlib.contextmanager
def running(*listeners: socket.socket) -> Iterator[uvicorn.Server]:
    server = uvicorn.Server(uvicorn.Config(lambda: None, http=Quick, port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, args=(list(listeners) or None,))
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(WITHIN_S)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def server() -> Iterator[uvicorn.Server]:
    with running() as server:
        yield server


@pytest.fixture
def port(server: uvicorn.Server) -> Iterator[int]:
    yield int(server.servers[0].sockets[0].getsockname()[1])
    wait_until(lambda: not server.server_state.connections)


def wait_until(holds: Any) -> None:
    end = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S)


def read_all(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    found = b""
    with connection:
        while piece := connection.recv(1 << 16):
            found += piece
    return found


def told(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    return int(head.split()[1]), json.loads(body)["error"]


def post(n_bytes: int, path: str = "/", *more: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {n_bytes}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def ask(connection: socket.socket, content: bytes = b"abc") -> bytes:
    connection.sendall(post(len(content)) + content)
    return connection.recv(1 << 16).rpartition(b"\r\n")[2]


def test_one_connection_is_answered_many_times(port: int) -> None:
    with connect(port) as connection:
        assert [ask(connection) for _ in range(3)] == [b"3"] * 3


@pytest.mark.parametrize("begun", [b"", b"P", b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\nx-a:", b"\r\n"])
def test_a_head_that_does_not_come_is_answered_with_408(port: int, begun: bytes) -> None:
    connection, began = connect(port), time.monotonic()
    connection.sendall(begun)
    assert told(read_all(connection)) == (408, "the request must arrive faster.")
    assert 0.7 < time.monotonic() - began < 3


def test_a_head_that_trickles_is_answered_with_408_all_the_same(port: int) -> None:
    connection, began = connect(port), time.monotonic()
    for byte in post(0):
        connection.send(bytes([byte]))
        if connection_has_answer(connection, 0.1):
            break
    assert told(read_all(connection))[0] == 408
    assert time.monotonic() - began < 3


def connection_has_answer(connection: socket.socket, within_s: float) -> bool:
    connection.settimeout(within_s)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False
    finally:
        connection.settimeout(WITHIN_S)


def test_a_client_that_stays_after_a_refusal_is_dropped(port: int) -> None:
    with connect(port) as connection:
        assert told(connection.recv(1 << 16))[0] == 408
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            send_for_ever(connection)


def test_a_second_head_on_a_connection_has_its_own_deadline(port: int) -> None:
    connection = connect(port)
    assert ask(connection) == b"3"
    connection.sendall(b"POST / HT")
    assert told(read_all(connection))[0] == 408


def test_a_body_that_does_not_come_is_answered_with_408(port: int) -> None:
    connection = connect(port)
    connection.sendall(post(10) + b"abc")
    assert told(read_all(connection))[0] == 408


def test_a_body_that_was_refused_is_not_read_for_ever(port: int) -> None:
    connection = connect(port)
    connection.sendall(post(10**9, "/refused"))
    began = time.monotonic()
    with connection, pytest.raises(OSError, match=r"reset|Broken pipe"):
        send_for_ever(connection)
    assert time.monotonic() - began < 3


def send_for_ever(connection: socket.socket) -> None:
    end = time.monotonic() + WITHIN_S
    while time.monotonic() < end:
        connection.sendall(b"x" * 1000)


@pytest.mark.parametrize(
    "head",
    [post(0, "/", "x-long: " + "a" * 17_000), post(0, "/" + "a" * 17_000), b"GET / HTTP/1.1\r\nx: " + b"a" * 400_000],
)
def test_a_head_too_large_is_answered_with_431(port: int, head: bytes) -> None:
    connection = connect(port)
    connection.sendall(head)
    assert told(read_all(connection)) == (431, "the head must be at most 16,384 bytes.")


def test_a_large_body_in_the_same_bytes_is_no_large_head(port: int) -> None:
    with connect(port) as connection:
        assert ask(connection, b"x" * 100_000) == b"100000"


def test_what_is_no_http_is_answered_with_400(port: int) -> None:
    connection = connect(port)
    connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
    assert told(read_all(connection))[0] == 400


def test_one_connection_too_many_is_told_so_and_the_others_live(port: int) -> None:
    first = [connect(port) for _ in range(5)]
    assert [ask(one) for one in first] == [b"3"] * 5
    assert told(read_all(connect(port))) == (503, "too many connections are open; try again in a moment.")
    assert [ask(one) for one in first] == [b"3"] * 5
    for one in first:
        one.close()


def test_a_client_that_does_not_read_is_dropped(port: int) -> None:
    connection = connect(port)
    connection.sendall(post(0, "/large"))
    assert connection.recv(1) == b"H"
    time.sleep(2)
    assert len(read_all(connection)) < len(LARGE)


def test_a_slow_reader_who_reads_gets_all(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(post(0, "/large", "connection: close"))
        assert read_all(connection).endswith(b"x" * 100)


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
def test_an_upgrade_is_an_ordinary_request(port: int, protocol: str) -> None:
    with connect(port) as connection:
        connection.sendall(post(3, "/", "Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}") + b"abc")
        answer = connection.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"\r\n\r\n3")
        assert ask(connection) == b"3"


@pytest.mark.parametrize("end", range(20, 110, 7))
def test_an_upgrade_in_pieces_smuggles_no_second_request(port: int, end: int) -> None:
    inner = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
    request = post(len(inner), "/", "Connection: Upgrade", "Upgrade: h2c") + inner
    with connect(port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request[:end])
        assert not connection_has_answer(connection, 0.05)
        connection.sendall(request[end:])
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400"))


def test_a_client_that_falls_silent_with_little_left_to_take_is_dropped() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # what it takes connections with has it too
        with running(listener) as server, socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.connect(listener.getsockname())
            connection.sendall(post(0, "/some", "connection: close"))
            assert connection.recv(1) == b"H"
            (held,) = server.server_state.connections
            assert 0 < held.transport.get_write_buffer_size() < 64 << 10
            wait_until(lambda: not server.server_state.connections)


def test_what_follows_a_body_is_no_header_and_has_an_end(port: int) -> None:
    head = post(0, "/").replace(b"content-length: 0", b"transfer-encoding: chunked")
    with connect(port) as connection:
        connection.sendall(head + b"3\r\nabc\r\n0\r\nx-trailer: 1\r\n\r\n")
        assert connection.recv(1 << 16).endswith(b"\r\n\r\n3")
    connection = connect(port)
    connection.sendall(head + b"3\r\nabc\r\n0\r\nx-trailer: " + b"a" * 300_000)
    assert told(read_all(connection))[0] == 431


def test_a_few_requests_may_be_sent_ahead_and_not_many(port: int) -> None:
    with connect(port) as connection:
        connection.sendall((post(3) + b"abc") * 16)
        answers = b""
        while answers.count(b"HTTP/1.1 200") < 16:
            piece = connection.recv(1 << 16)
            assert piece, answers
            answers += piece
    connection = connect(port)
    connection.sendall((post(3) + b"abc") * 1000)
    assert told(read_all(connection)) == (429, "at most 16 requests may be sent ahead.")


def test_reading_an_answer_gives_the_next_body_no_more_time(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(post(0, "/large"))
        assert connection.recv(1) == b"H"
        connection.sendall(post(10))
        left = len(LARGE)
        while left > 0:
            piece = connection.recv(1 << 20)
            assert piece, f"{left} bytes never came"
            left -= len(piece)
        assert b"HTTP/1.1 408" in connection.recv(1 << 16) + read_all(connection)


def test_fewer_files_allow_fewer_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    for files, expected in ((256, 160), (10, 1), (10**6, 1000), (wire.resource.RLIM_INFINITY, 1000)):
        monkeypatch.setattr(wire.resource, "getrlimit", lambda _, files=files: (files, files))
        assert wire.max_connections() == expected

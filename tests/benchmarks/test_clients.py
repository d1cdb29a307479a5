"""The clients that load a service, against a server that answers as it is told."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

CLIENTS = Path(__file__).resolve().parents[2] / "benchmarks" / "clients.py"
Answer = Callable[[BaseHTTPRequestHandler, int], None]


class Server(ThreadingHTTPServer):
    """Answers by ``answer``, and keeps what was asked."""

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.asked, self.lock = answer, list[tuple[str, bytes, str | None]](), threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.asked.append((self.path, body, self.headers["Authorization"]))
            number = len(self.server.asked)
        self.server.answer(self, number)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def well(handler: BaseHTTPRequestHandler, _: int) -> None:
    tell(handler, 200, b'{"predictions": []}')


def tell(handler: BaseHTTPRequestHandler, status: int, content: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def tell_in_pieces(handler: BaseHTTPRequestHandler, _: int) -> None:
    """Answer with more than one packet holds, so that it arrives in pieces."""
    tell(handler, 200, b"[" + b" " * 3_000_000 + b"]")


def refuse_the_third(handler: BaseHTTPRequestHandler, number: int) -> None:
    tell(handler, *((422, b"the third is refused") if number == 3 else (200, b"{}")))


def hang_up_on_the_third(handler: BaseHTTPRequestHandler, number: int) -> None:
    handler.close_connection = number == 3
    if number != 3:
        tell(handler, 200, b"{}")


@pytest.fixture
def bodies(tmp_path: Path) -> Path:
    path = tmp_path / "bodies.jsonl"
    path.write_text('{"rows": [1]}\n{"rows": [2]}\n')
    return path


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], Server]]:
    started: list[tuple[Server, threading.Thread]] = []

    def start(answer: Answer) -> Server:
        server = Server(answer)
        started.append((server, threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})))
        started[-1][1].start()
        return server

    yield start
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()


def load(server: Server, bodies: Path, *options: str, token: str = "") -> dict[str, Any]:
    ended = subprocess.run(
        [sys.executable, str(CLIENTS), str(server.server_port), "/predict", str(bodies), *options],
        env={"LOCKSTEP_TOKEN": token},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_as_many_are_asked_as_wanted_and_each_body_in_its_turn(serve: Callable[[Answer], Server], bodies: Path) -> None:
    server = serve(well)
    found = load(server, bodies, "--clients=3", "--requests=40", token="a token of some length")
    assert (found["n"], found["n_failed"], found["failure"]) == (40, 0, "")
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["largest_ms"]
    assert sorted(body for _, body, _ in server.asked) == [b'{"rows": [1]}'] * 20 + [b'{"rows": [2]}'] * 20
    assert {(path, token) for path, _, token in server.asked} == {("/predict", "Bearer a token of some length")}


def test_a_load_ends_after_its_seconds(serve: Callable[[Answer], Server], bodies: Path) -> None:
    server = serve(well)
    found = load(server, bodies, "--clients=2", "--seconds=0.2")
    assert found["n"] == len(server.asked) > 2
    assert found["n"] / found["rate"] >= 0.2  # the last answer comes after the end
    assert {token for _, _, token in server.asked} == {None}


def test_an_answer_in_pieces_is_one_answer(serve: Callable[[Answer], Server], bodies: Path) -> None:
    found = load(serve(tell_in_pieces), bodies, "--requests=3")
    assert (found["n"], found["n_failed"]) == (3, 0)


def test_any_other_status_is_a_failure_and_told(serve: Callable[[Answer], Server], bodies: Path) -> None:
    found = load(serve(refuse_the_third), bodies, "--requests=5")
    assert (found["n"], found["n_failed"]) == (5, 1)
    assert found["failure"].startswith("HTTP/1.1 422")
    assert found["failure"].endswith("the third is refused")


def test_a_connection_closed_instead_of_an_answer_is_a_failure(serve: Callable[[Answer], Server], bodies: Path) -> None:
    found = load(serve(hang_up_on_the_third), bodies, "--requests=5")
    assert (found["n"], found["n_failed"]) == (2, 1)
    assert "closed instead of an answer" in found["failure"]

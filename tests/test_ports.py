import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from lockstep import ports
from lockstep.errors import Unavailable


@pytest.fixture
def taken() -> Iterator[int]:
    """Return a port on which this process listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_on_which_somebody_listens_is_not_free(taken: int) -> None:
    assert not ports.is_free(taken)


def test_a_port_that_another_listens_on_at_every_address_is_not_free() -> None:
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        server.listen()
        assert not ports.is_free(server.getsockname()[1])


def test_a_port_whose_server_is_gone_is_free(taken: int) -> None:
    with socket.create_connection(("127.0.0.1", taken)):
        pass
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        free = other.getsockname()[1]

    assert ports.is_free(free)


def test_the_holder_is_told_by_process_and_program(taken: int) -> None:
    assert ports.holder(taken).startswith(f"process {os.getpid()}, python")


def test_of_a_holder_no_word_is_told_that_may_hold_a_password() -> None:
    program = "import socket, sys; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); "
    program += "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", program, "--password=secret"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    said = ports.holder(int(child.stdout.readline()))
    child.communicate(timeout=10)

    assert said.startswith(f"process {child.pid}, python")
    assert "secret" not in said


def test_a_holder_that_cannot_be_seen_is_somebody_elses(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", refuse)

    assert ports.holder(taken) == "a process of another user"


def test_free_ports_are_the_next_ones_and_none_twice(taken: int) -> None:
    chosen = ports.choose({"a": taken, "b": taken, "c": taken + 1})

    assert chosen["a"] > taken + 1, "another name wants the next one"
    assert chosen["c"] == taken + 1 or not ports.is_free(taken + 1)
    assert len(set(chosen.values())) == 3
    assert all(map(ports.is_free, chosen.values()))


def test_free_ports_that_were_asked_for_stay_as_they_are() -> None:
    wanted = ports.choose({"a": 20_000, "b": 21_000})

    assert ports.choose(wanted) == wanted


def test_that_no_port_is_free_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _port: False)

    with pytest.raises(Unavailable, match="no port from 65530 on is free"):
        ports.next_free(65_530)

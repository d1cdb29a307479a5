from pathlib import Path
from typing import Any

import pytest

from lockstep.errors import AccessError
from lockstep.service import access
from lockstep.service.body import RefusedError

TOKEN = "0123456789abcdef-secret"


@pytest.fixture(autouse=True)
def none_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(access.TOKEN, raising=False)
    monkeypatch.delenv(access.TOKEN_FILE, raising=False)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    monkeypatch.setenv(access.TOKEN_FILE, str(path))
    return path


def scope(*headers: tuple[bytes, bytes], server: str = "127.0.0.1") -> dict[str, Any]:
    return {"headers": list(headers), "server": (server, 3000)}


def status(scope: dict[str, Any], wanted: bytes | None) -> int:
    try:
        access.check(scope, wanted)
    except RefusedError as refusal:
        return refusal.status
    return 200


def test_a_token_comes_from_the_environment_or_from_a_file_of_ones_own(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert access.token() == TOKEN.encode()
    monkeypatch.delenv(access.TOKEN_FILE)
    assert access.token() is None
    monkeypatch.setenv(access.TOKEN, TOKEN)
    assert access.token() == TOKEN.encode()


def test_a_file_that_others_can_read_is_refused(file: Path) -> None:
    for mode in (0o640, 0o604, 0o660):
        file.chmod(mode)
        with pytest.raises(AccessError, match=f"owner alone, mode 0600; found {mode:04o}"):
            access.token()


def test_a_file_that_is_not_there_is_refused(file: Path) -> None:
    file.unlink()
    with pytest.raises(AccessError, match=r"must name a file that holds the token.*FileNotFoundError"):
        access.token()


def test_both_at_once_are_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(access.TOKEN, TOKEN)
    with pytest.raises(AccessError, match="one of LOCKSTEP_TOKEN and LOCKSTEP_TOKEN_FILE may be set; found both"):
        access.token()


@pytest.mark.parametrize(
    "value", ["", "short", "with a space in it", "no\nline of its own", "nöt-ascii-but-long-enough"]
)
def test_what_is_no_token_is_refused_without_being_told(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(access.TOKEN, value)
    with pytest.raises(AccessError, match="must be at least 16 printable ASCII") as caught:
        access.token()
    assert not value or value not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", ""])
def test_beyond_the_loopback_a_token_is_asked_for(host: str) -> None:
    with pytest.raises(AccessError, match="only with a token"):
        access.check_host(host, None)
    access.check_host(host, TOKEN.encode())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_the_loopback_needs_none(host: str) -> None:
    access.check_host(host, None)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(b"authorization", b"Bearer " + TOKEN.encode())], 200),
        ([(b"authorization", b"bearer  " + TOKEN.encode())], 200),
        ([], 401),
        ([(b"authorization", TOKEN.encode())], 401),
        ([(b"authorization", b"Basic " + TOKEN.encode())], 401),
        ([(b"authorization", b"Bearer ")], 401),
        ([(b"authorization", b"Bearer " + TOKEN.encode()[:-1])], 401),
        ([(b"authorization", b"Bearer " + TOKEN.encode() + b"x")], 401),
        ([(b"authorization", b"Bearer \xff\xfe")], 401),
        ([(b"authorization", b"Bearer " + TOKEN.encode())] * 2, 401),
        ([(b"authorization", b"Bearer " + TOKEN.encode()), (b"authorization", b"Bearer x")], 401),
        ([(b"x-token", TOKEN.encode())], 401),
    ],
)
def test_a_request_brings_the_token_once(headers: list[tuple[bytes, bytes]], expected: int) -> None:
    assert status(scope(*headers, server="10.0.0.1"), TOKEN.encode()) == expected


@pytest.mark.parametrize(
    ("server", "name", "expected"),
    [
        ("127.0.0.1", b"127.0.0.1:3000", 200),
        ("127.0.0.1", b"LocalHost:3000", 200),
        ("::1", b"[::1]:3000", 200),
        ("10.0.0.1", b"127.0.0.1", 403),
        ("127.0.0.1", b"evil.example", 403),
        ("127.0.0.1", b"evil.example:3000", 403),
        ("127.0.0.1", b"127.0.0.1.evil.example", 403),
        ("127.0.0.1", b"[::1", 403),
        ("127.0.0.1", b"[::1]evil.example", 403),
        ("127.0.0.1", b"", 403),
    ],
)
def test_without_a_token_the_loopback_alone_is_answered_by_its_name(server: str, name: bytes, expected: int) -> None:
    assert status(scope((b"host", name), server=server), None) == expected

import fcntl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lockstep import held

HOLD = """
import sys
from pathlib import Path
from lockstep import held
with held.hold(Path(sys.argv[1]), lambda content: None):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> "subprocess.Popen[str]":
    """Start a process that holds a file until its standard input is closed."""
    program = [sys.executable, "-c", HOLD, str(path)]
    src = str(Path(__file__).parents[1] / "src")
    process = subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": src}
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def is_held(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_a_file_that_is_not_there_is_held_empty(tmp_path):
    with held.hold(tmp_path / "a", print) as file:
        assert file.read() == b""
        assert is_held(tmp_path / "a")
    assert not is_held(tmp_path / "a")


def test_what_takes_the_place_of_a_file_is_held_from_the_start(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"before")
    with held.hold(path, print) as file:
        assert file.read() == b"before"
        new = held.put(path, b"after ")
    assert is_held(path), "the old one was let go, the new one was not"
    held.append(new, b"more")
    new.close()
    assert path.read_bytes() == b"after more"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    assert not is_held(path)


@pytest.mark.parametrize("end", ["kill", "close"])
def test_who_waits_gets_the_file_when_its_holder_ends_however_that_is(end, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"theirs")
    other, told = holder(path), []

    def go_on(content: bytes) -> None:
        told.append(content)
        other.kill() if end == "kill" else other.communicate()

    with held.hold(path, go_on) as file:
        assert file.read() == b"theirs"
    assert told == [b"theirs"]
    other.communicate(timeout=30)


def test_who_waited_for_a_file_that_was_replaced_gets_the_new_one(tmp_path):
    path, got, waits = tmp_path / "a", [], threading.Event()

    def wait() -> None:
        with held.hold(path, lambda content: waits.set()) as file:
            got.append(file.read())

    with held.hold(path, print):
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert waits.wait(30)
        new = held.put(path, b"new")
    new.close()
    waiter.join(30)
    assert got == [b"new"]


def test_who_waited_for_a_file_that_was_removed_gets_one_of_that_name(tmp_path):
    path, got, waits = tmp_path / "a", [], threading.Event()

    def wait() -> None:
        with held.hold(path, lambda content: waits.set()) as file:
            got.append((file.read(), path.exists(), is_held(path)))

    with held.hold(path, print):
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert waits.wait(30)
        path.unlink()
    waiter.join(30)
    assert got == [(b"", True, True)]


def test_only_what_is_unwanted_and_nobody_holds_is_removed(tmp_path):
    for name in ("wanted", "unwanted", "in use"):
        (tmp_path / name).write_text(name)
    other = holder(tmp_path / "in use")
    removed = {path.name for path in tmp_path.iterdir() if held.remove(path, lambda content: content != b"wanted")}
    other.communicate(timeout=30)
    assert removed == {"unwanted"}
    assert {path.name for path in tmp_path.iterdir()} == {"wanted", "in use"}
    assert not held.remove(tmp_path / "nowhere", lambda content: True)

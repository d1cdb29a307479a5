"""More than the service can take: too many clients, too many connections, no room to record."""

import contextlib
import json
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from conftest import GROWTH_MB, TOKEN, check_log
from crowd import Crowd, Seen, asking
from served import Built, Service, Setting, serving, wait_until
from wires import CLOSED, post, read

LOAD_S, RECOVERED_WITHIN_S = 30.0, 5.0
FILES = 256
PAGE = 4096


def p99(seen: list[Seen]) -> float:
    return sorted(one.took_ms for one in seen)[int(len(seen) * 0.99)]


def check_all(crowd: Crowd, *statuses: int) -> Counter[int]:
    """Demand whole answers with one of these statuses, right where there is a prediction; return how many of each."""
    assert [one for one in crowd.seen if one.status not in statuses or (one.status == 200 and one.told)] == []
    return Counter(one.status for one in crowd.seen)


@pytest.mark.usefixtures("alone")
def test_ten_times_the_load_is_borne_and_forgotten_within_5_s(service: Service, tmp_path: Path) -> None:
    """32 clients are usual, each as fast as it can; then 320 ask for 30 s, every second one by new connections."""
    with asking(service, tmp_path, clients=32, every_s=0.0) as usual:
        time.sleep(5)
    check_all(usual, 200)
    before = service.memory()
    with (
        asking(service, tmp_path, clients=160, every_s=0.0) as keeping,
        asking(service, tmp_path, clients=160, every_s=0.0, keep=False) as coming,
    ):
        time.sleep(LOAD_S)
    counts = check_all(keeping, 200, 429, 503) + check_all(coming, 200, 429, 503)
    slowest = max(one.took_ms for one in keeping.seen + coming.seen)
    began = time.monotonic()
    with asking(service, tmp_path, clients=32, every_s=0.0) as after:
        time.sleep(RECOVERED_WITHIN_S + 3)
    check_all(after, 200)
    recovered = after.between(began + RECOVERED_WITHIN_S, began + RECOVERED_WITHIN_S + 3)
    usual_ms, after_ms = (median(one.took_ms for one in seen) for seen in (usual.seen, recovered))
    grown = service.memory() - before
    print(
        f"{len(usual.seen) / 5:.0f} requests/s, p50 {usual_ms:.1f} ms, p99 {p99(usual.seen):.1f} ms; {dict(counts)} in "
        f"{LOAD_S:g} s of ten times the load, the slowest {slowest:.0f} ms; p50 {after_ms:.1f} ms, p99 "
        f"{p99(recovered):.1f} ms after; {grown:+.0f} MB"
    )
    assert counts[200] > 0.5 * LOAD_S * len(usual.seen) / 5, "the load takes little of what can be done"
    assert after_ms < 1.5 * usual_ms
    assert grown < GROWTH_MB
    check_log(service)


@pytest.fixture
def narrow(built: Built, tmp_path: Path) -> Iterator[Service]:
    """Give a service whose processes may each have 256 file descriptors."""
    with serving(built, Setting(token=TOKEN, files=FILES, records=tmp_path / "records"), tmp_path / "run") as started:
        yield started


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "all at once"])
def test_connections_beyond_the_descriptors_are_refused_and_the_others_live(narrow: Service, at_once: bool) -> None:
    request = post(json.dumps({"rows": narrow.built.rows[:1]}).encode(), narrow.headers)
    with contextlib.ExitStack() as stack:
        old, new = ([stack.enter_context(socket.socket()) for _ in range(n)] for n in (10, 2 * FILES))
        for each in old + new:
            each.settimeout(10)
        for each in old:
            each.connect(("127.0.0.1", narrow.port))
        assert [exchange(each, request) for each in old] == [200] * len(old)
        for each in new:
            each.setblocking(not at_once)
            each.connect_ex(("127.0.0.1", narrow.port))
        for each in new:
            each.settimeout(10)
        found = Counter(exchange(each, request) for each in new)
        assert set(found) == {200, 503}
        assert found[200] > FILES / 2
        assert [exchange(each, request) for each in old] == [200] * len(old)
    began = time.monotonic()
    wait_until(lambda: narrow.predict(narrow.built.rows)[0] == 200, RECOVERED_WITHIN_S)
    assert time.monotonic() - began < RECOVERED_WITHIN_S
    check_log(narrow)


def exchange(connection: socket.socket, request: bytes) -> int:
    with contextlib.suppress(*CLOSED):
        connection.sendall(request)
    return read(connection)[0]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    asked = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True)
    if asked.returncode:
        pytest.skip(f"no small disk can be mounted here: {asked.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_stops_the_records_alone_and_they_go_on_when_there_is_room(
    built: Built, disk: Path, tmp_path: Path
) -> None:
    with serving(built, Setting(token=TOKEN, records=disk / "records"), tmp_path / "run") as service:
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * PAGE)
        with asking(service, tmp_path) as full:
            wait_until(lambda: service.figure("lockstep_unwritten_predictions") > 100, 20)
            time.sleep(1)
        check_all(full, 200)
        lost = {name for one in full.seen for name in one.ids}
        filler.unlink()
        wait_until(lambda: service.predict(built.rows[:1])[0] == 200 and recorded(disk / "records") - lost, 10)
        n_unwritten = service.figure("lockstep_unwritten_predictions")
        with asking(service, tmp_path) as room:
            time.sleep(2)
        check_all(room, 200)
        kept = {name for one in room.seen for name in one.ids}
        wait_until(lambda: kept <= recorded(disk / "records"), 10)
        written = recorded(disk / "records") & lost
        assert service.figure("lockstep_unwritten_predictions") == n_unwritten
        assert n_unwritten == len(lost) - len(written), "what is lost is counted, to the last one"
        check_log(service)


def recorded(folder: Path) -> set[str]:
    """Return the ids in the records; every line is whole."""
    lines = [line for path in folder.glob("*.jsonl") for line in path.read_bytes().splitlines(keepends=True)]
    return {str(json.loads(line)["id"]) for line in lines if line.endswith(b"\n")}

"""Processes killed, or asked to end, under load: what was accepted is answered, what was answered is recorded."""

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from conftest import TOKEN, check_log
from crowd import Crowd, Seen, asking
from served import Built, Service, Setting, serving, wait_until
from wires import post, read_all, sending

BACK_WITHIN_S = 30.0
"""The keeper of the worker looks every 10 s; then it has to start."""
GONE_WITHIN_S = 5.0
LOAD = {"clients": 8, "every_s": 0.005}


@pytest.fixture
def own(built: Built, tmp_path: Path) -> Iterator[Service]:
    """Give a service of its own to a test."""
    setting = Setting(token=TOKEN, records=tmp_path / "records")
    with serving(built, setting, tmp_path / "run") as started:
        yield started


def answered(crowd: Crowd) -> list[Seen]:
    """Return the requests that were answered; all of them rightly."""
    found = [one for one in crowd.seen if one.status]
    assert len(found) > 100
    assert [one for one in found if one.status != 200 or one.told] == []
    return found


def unrecorded(service: Service, seen: list[Seen]) -> set[str]:
    """Return the predictions that were answered and stand in no record."""
    folder = service.setting.records
    assert folder is not None
    lines = [line for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    return {name for one in seen for name in one.ids} - {json.loads(line)["id"] for line in lines}


def wait_until_gone(service: Service, within_s: float = GONE_WITHIN_S) -> None:
    """Wait until no process is left, and nobody holds the port."""
    wait_until(lambda: is_closed(service.port) and not service.processes(), within_s, service.log)


def is_closed(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # closed in the middle of it
        return False
    return False


def load_for_a_while(crowd: Crowd) -> None:
    """Let the load go on."""
    began = time.monotonic()
    wait_until(lambda: time.monotonic() > began + 1.5, 5)


def test_a_worker_killed_under_load_comes_back_and_answers_rightly(own: Service, tmp_path: Path) -> None:
    first = own.worker()
    with asking(own, tmp_path, **LOAD) as crowd:
        load_for_a_while(crowd)
        killed = time.monotonic()
        first.kill()
        wait_until(lambda: not first.is_running() or first.status() == psutil.STATUS_ZOMBIE, 5)
        own.wait_until_ready(BACK_WITHIN_S)
        back = time.monotonic()
        load_for_a_while(crowd)
    seen = answered(crowd)
    assert own.worker() != first
    assert len([one for one in seen if one.began > back]) > 100
    print(f"back {back - killed:.1f} s after the worker was killed")
    lost = unrecorded(own, [one for one in seen if one.began < killed - 1])
    assert not lost, "what was answered a second before is recorded"
    check_log(own)


def test_a_parent_killed_under_load_leaves_nobody_answering(own: Service, tmp_path: Path) -> None:
    with asking(own, tmp_path, **LOAD) as crowd:
        load_for_a_while(crowd)
        killed = time.monotonic()
        os.kill(own.parent.pid, signal.SIGKILL)
        wait_until_gone(own)
    seen = answered(crowd)
    assert max(one.began for one in seen) < killed + GONE_WITHIN_S
    assert not unrecorded(own, seen)


def test_a_parent_killed_while_its_worker_starts_leaves_nobody_either(own: Service) -> None:
    """Else a worker that was on its way would answer for ever, and nobody would watch it."""
    first = own.worker()
    first.kill()
    wait_until(lambda: [one for one in workers(own) if one != first], BACK_WITHIN_S)
    os.kill(own.parent.pid, signal.SIGKILL)
    wait_until_gone(own, 10)


def workers(service: Service) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return [one for one in service.processes() if one.pid != service.parent.pid]
    return []


def end_parent(service: Service) -> None:
    os.kill(service.parent.pid, signal.SIGTERM)


def end_group(service: Service) -> None:
    """End it as Ctrl+C does."""
    os.killpg(service.parent.pid, signal.SIGINT)


def end_all(service: Service) -> None:
    """End it as a manager of services does, which signals every process; that is no second signal."""
    for process in service.processes():
        process.terminate()


@pytest.mark.parametrize("end", [end_parent, end_group, end_all])
def test_a_service_that_is_asked_to_end_answers_what_it_accepted_and_records_it(
    own: Service, tmp_path: Path, end: Callable[[Service], None]
) -> None:
    large = post(json.dumps({"rows": own.built.rows * 100}).encode(), own.headers)
    with asking(own, tmp_path, **LOAD) as crowd, asking(own, tmp_path, keep=False, **LOAD) as coming:
        load_for_a_while(crowd)
        with sending(own.port, large) as slow:
            asked = time.monotonic()
            end(own)
            wait_until(lambda: own.ask("GET", "/readyz")[0] == 503, 0.5)
            unready = time.monotonic()
            told = read_all(slow)
        wait_until_gone(own)
        gone = time.monotonic()
    seen = answered(crowd) + answered(coming)
    assert told.startswith(b"HTTP/1.1 200")
    assert told.count(b'"prediction_id"') == len(own.built.rows) * 100, "the answer is whole"
    last = max(one.began for one in seen)
    print(f"unready after {unready - asked:.2f} s, last answer {last - asked:.2f} s, gone {gone - asked:.2f} s")
    assert last > asked + 0.5, "who does not look at readiness is answered for a while"
    for one in (one for one in crowd.seen + coming.seen if not one.status):
        assert "Refused" in one.told or ("after 0 bytes on a fresh" in one.told and one.began > last - 0.5), one
    assert not unrecorded(own, seen)
    wait_until_gone(own)
    check_log(own)


def test_a_second_signal_ends_at_once(built: Built, tmp_path: Path) -> None:
    patient = Setting(token=TOKEN, records=tmp_path / "records", environment={"LOCKSTEP_DRAIN_S": "60"})
    with serving(built, patient, tmp_path / "run") as service, asking(service, tmp_path, **LOAD) as crowd:
        load_for_a_while(crowd)
        end_parent(service)
        wait_until(lambda: service.ask("GET", "/readyz")[0] == 503, 0.5)
        load_for_a_while(crowd)
        assert service.predict(built.rows)[0] == 200, "it waits, and answers"
        end_parent(service)
        wait_until_gone(service, 3)
    assert not unrecorded(service, answered(crowd))

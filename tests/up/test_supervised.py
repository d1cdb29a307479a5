"""A real supervisord, with programs that start at once in place of servers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from lockstep import marked, servers, supervised
from lockstep.commands import up
from lockstep.errors import Unavailable
from lockstep.servers import Server
from lockstep.supervised import Event, Supervisor

ACTIVATE = Path(__file__).parents[2] / "src" / "lockstep" / "activate.py"
MARK = f"{os.getpid():016x}"
WITHIN_S = 30.0
SLEEP = "import time; print('up', flush=True); time.sleep(300)"
WITH_PYTHON = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}])"
WITH_SHELL = "import subprocess; subprocess.run(['sh', '-c', 'sleep 300 & echo up; wait'])"

Start = Callable[..., Supervisor]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that activates the environment as a project does, and needs quoting in every language."""
    root = tmp_path / 'it\'s 100 % "mine"'
    (root / "src" / "lockstep").mkdir(parents=True)
    (root / ".lockstep").mkdir()
    shutil.copy(ACTIVATE, root / "src" / "lockstep")
    (root / "dvc.yaml").touch()
    monkeypatch.setattr(servers, "TITLES", {name: f"the {name}" for name in ("a", "b")})
    return root


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    """Return what starts programs: by name what Python runs, and whether they are healthy."""
    started: list[Supervisor] = []

    def run(*, healthy: bool = True, **programs: str) -> Supervisor:
        listed = [
            Server(name, (sys.executable, "-c", program), lambda: healthy, stop_s=5)
            for name, program in programs.items()
        ]
        supervisor = Supervisor(root, listed, MARK)
        supervisor.start(dict(os.environ))
        started.append(supervisor)
        return supervisor

    yield run
    for supervisor in started:
        supervisor.stop()
    assert marked.living(MARK) == []


def works(supervisor: Supervisor, name: str) -> object:
    return until(lambda: supervisor.last_words(name).startswith("up "))


def until(holds: Callable[[], object]) -> object:
    end = time.monotonic() + WITHIN_S
    while not (found := holds()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)
    return found


def next_event(supervisor: Supervisor) -> Event:
    found: list[Event] = []
    until(lambda: found.extend(supervisor.events(0.1)) or found)
    return found[0]


def test_one_that_ends_while_it_starts_is_named_with_its_last_words(start: Start, root: Path) -> None:
    supervisor = start(a=SLEEP, b="print('one'); raise OSError('no sqlite://ann:secret@host'); ", healthy=False)

    said = r"the b ended while it started \(exit status 1\): OSError: no sqlite://host \(log: .*logs/b.log\)"
    with pytest.raises(Unavailable, match=said):
        supervisor.wait(WITHIN_S)


def test_one_that_never_becomes_healthy_is_named(start: Start) -> None:
    supervisor = start(a=SLEEP, healthy=False)

    with pytest.raises(Unavailable, match="the a was not healthy within 3 s: up "):
        supervisor.wait(3)


def test_words_of_an_earlier_life_are_not_repeated(start: Start, root: Path) -> None:
    (root / ".lockstep" / "logs").mkdir()
    (root / ".lockstep" / "logs" / "a.log").write_text("ValueError: long ago\n")

    supervisor = start(a=SLEEP)

    assert supervisor.last_words("a").startswith("nothing (log: ")
    assert works(supervisor, "a")


def test_one_that_is_killed_is_started_again_and_nothing_of_it_is_left(start: Start) -> None:
    supervisor = start(a=WITH_SHELL)
    assert works(supervisor, "a")
    until(lambda: {"sh", "sleep"} <= {process.name() for process in marked.living(MARK)})
    before = marked.living(MARK)
    assert list(supervisor.events(0.1)) == []
    next(process for process in before if "python" in process.name()).kill()

    event = next_event(supervisor)
    supervisor.end_orphans()

    assert event == Event("exited", "a", "terminated by SIGKILL")
    assert not {process.pid for process in before} & {process.pid for process in marked.living(MARK)}
    until(lambda: len(marked.living(MARK)) == 3)


def test_one_that_ends_right_after_its_start_is_given_up(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised, "PROGRAM", supervised.PROGRAM.replace("startretries=3", "startretries=1"))
    supervisor = start(a="raise SystemExit(3)")
    events: list[Event] = []

    until(lambda: events.extend(supervisor.events(0.1)) or events[-1:] == [Event("gave up", "a")])

    assert [event.kind for event in events] == ["exited", "exited", "gave up"]


def test_without_its_parent_it_ends_as_by_ctrl_c(start: Start, root: Path) -> None:
    supervisor, nobody = start(a=SLEEP), 0

    with pytest.raises(KeyboardInterrupt):
        up._follow(root / ".lockstep", "", nobody, supervisor, print)


def test_a_parent_that_is_gone_before_it_is_watched_is_noticed() -> None:
    program = "from lockstep import marked; marked.end_with_parent(1 << 30); print('lives')"

    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert (asked.returncode, asked.stdout) == (-signal.SIGTERM, "")


def test_what_went_live_during_the_start_is_said(start: Start, root: Path) -> None:
    supervisor = start(a=SLEEP)
    pointer = {"release": "2" * 64, "bento": "churn:2", "manifest": "3" * 64, "model": "churn:2"}
    (root / ".lockstep" / "live.json").write_text(json.dumps(pointer))

    def say(words: str) -> None:
        raise InterruptedError(words)

    with pytest.raises(InterruptedError, match="churn:2 is live; the service answers by it in a moment"):
        up._follow(root / ".lockstep", "churn:1", os.getppid(), supervisor, say)


def test_with_the_supervisor_all_that_it_runs_is_killed(start: Start) -> None:
    supervisor = start(a=WITH_PYTHON, b=SLEEP)
    assert works(supervisor, "a")
    assert works(supervisor, "b")
    assert len(marked.living(MARK)) == 3
    (daemon,) = [one for one in psutil.Process().children() if "supervisor.supervisord" in one.cmdline()]

    daemon.kill()

    with pytest.raises(Unavailable, match="supervisord ended, and all that it ran with it: status -9"):
        until(lambda: list(supervisor.events(0.1)))
    until(lambda: not marked.living(MARK))


def test_a_file_that_supervisord_refuses_is_told_in_its_words(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised, "HEAD", supervised.HEAD + "logfile_backups=many\n")

    supervisor = start(a=SLEEP, healthy=False)

    with pytest.raises(Unavailable, match=r"supervisord ended, .*: Error: .*'many'\. Start it again"):
        supervisor.wait(WITHIN_S)


def test_an_impatient_second_interrupt_kills(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
    supervisor = start(a=stubborn)
    assert works(supervisor, "a")
    before, handler = time.monotonic(), signal.getsignal(signal.SIGINT)

    def interrupt(_process: object, timeout: float | None = None) -> int:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "wait", interrupt)
    try:
        supervisor.stop()
    finally:
        signal.signal(signal.SIGINT, handler)

    assert time.monotonic() - before < 5, "it would have had 5 s to end by itself"
    assert marked.living(MARK) == []

"""Keep servers running by supervisord: write its file, start it, read what it says, stop it, and leave nothing behind.

Everything ends with its parent. The death of this process asks supervisord to stop what it runs, in order;
supervisord's kills its programs, and theirs whatever they started, since every Python among them asks the kernel for
that at its start (``LOCKSTEP_UP``, see activate.py). What is left all the same is found by that mark.
"""

import os
import re
import selectors
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lockstep import marked, project
from lockstep.errors import Unavailable
from lockstep.servers import Server
from lockstep.tracking.store import without_secrets

CONFIG = "supervisor.conf"
LOGS = "logs"
START_S = 60
"""A program that ends sooner after its start counts as not started."""
RETRIES = 3
"""How often in a row one that does not start is started again."""
MARGIN_S = 10.0
LOOK_EVERY_S = 0.1
ERROR = re.compile(r"(?:ERROR\b.*|[\w.]*(?:Error|Exception|Exit)): ")
EVENT = re.compile(r" (exited|gave up): (\w+)(?: \(([^;)]*))?")
HEAD = f"""\
; Written by `lockstep up` for the supervisord that it runs; there is no control socket.
[supervisord]
nodaemon=true
logfile={LOGS}/supervisor.log
logfile_maxbytes=1MB
logfile_backups=1
pidfile=supervisor.pid
nocleanup=true
"""
PROGRAM = f"""
[program:{{name}}]
command={{command}}
directory={{root}}
environment={marked.NAME}="{{mark}}"
priority={{priority}}
autorestart=true
startsecs={START_S}
startretries={RETRIES}
stopwaitsecs={{stop_s}}
stopasgroup={{group}}
killasgroup=true
redirect_stderr=true
stdout_logfile={LOGS}/{{name}}.log
stdout_logfile_maxbytes=5MB
stdout_logfile_backups=1
"""


@dataclass(frozen=True)
class Event:
    """What supervisord says of a program: ``exited`` or ``gave up``."""

    kind: str
    name: str
    how: str = ""
    """How it ended: ``exit status 1``, ``terminated by SIGKILL``."""


class Supervisor:
    """A supervisord that runs in the state folder, and what it keeps running."""

    def __init__(self, root: Path, listed: Sequence[Server], mark: str) -> None:
        self.servers = {server.name: server for server in listed}
        self._state, self._mark, self._rest = project.state(root), mark, b""
        self.logs = self._state / LOGS
        self.logs.mkdir(parents=True, exist_ok=True)
        (self._state / CONFIG).write_text(config(root, listed, mark), "utf-8")
        self._logs = {name: _Log(self.logs / f"{name}.log") for name in self.servers}
        self._errors = _Log(self.logs / "supervisor.err", began=0)

    def start(self, environment: Mapping[str, str]) -> None:
        """Start it, and so every server."""
        with self._errors.path.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "--configuration", CONFIG],
                cwd=self._state,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for this process alone, which then stops all in order
                preexec_fn=partial(marked.end_with_parent, os.getpid()),
            )
        assert self._process.stdout
        self._output = self._process.stdout
        os.set_blocking(self._output.fileno(), False)

    def wait(self, within_s: float) -> None:
        """Wait until every server is healthy.

        Raises
        ------
        Unavailable
            One ended, or was not healthy in time; named, with its last words.
        """
        deadline, waiting = time.monotonic() + within_s, list(self.servers.values())
        while waiting := [server for server in waiting if not server.is_healthy()]:
            for event in self.events(LOOK_EVERY_S):
                title = self.servers[event.name].title
                raise Unavailable(f"{title} ended while it started ({event.how}): {self.last_words(event.name)}")
            for server in waiting:
                if server.hopeless and self._logs[server.name].holds(server.hopeless):
                    raise Unavailable(f"{server.title} could not start: {self.last_words(server.name)}")
            if time.monotonic() > deadline:
                server = waiting[0]
                raise Unavailable(
                    f"{server.title} was not healthy within {within_s:g} s: {self.last_words(server.name)}"
                )

    def events(self, within_s: float) -> Iterator[Event]:
        """Yield what ended since the last call; wait for up to ``within_s`` seconds if nothing did.

        Raises
        ------
        Unavailable
            It is gone, which nobody asked for, and all that it ran.
        """
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._output, selectors.EVENT_READ)
            waiting.select(within_s)
        *lines, self._rest = (self._rest + (self._output.read() or b"")).split(b"\n")
        yield from filter(None, (parse(line.decode("utf-8", "replace")) for line in lines))
        if (status := self._process.poll()) is not None:
            said = self._errors.last() or f"status {status}"
            raise Unavailable(f"supervisord ended, and all that it ran with it: {said}. Start it again.")

    def end_orphans(self) -> None:
        """Kill what a server that ended left behind."""
        marked.end_orphans(self._mark, self._process.pid)

    def last_words(self, name: str) -> str:
        """Return what a server's log says last since the start, and where it lies."""
        return f"{self._logs[name].last() or 'nothing'} (log: {self.log(name)})"

    def log(self, name: str) -> Path:
        """Return where a server's log lies."""
        return self._logs[name].path

    def stop(self) -> None:
        """Ask it to stop every server in order; kill what takes too long, and whatever is left."""
        within_s = sum(server.stop_s for server in self.servers.values()) + MARGIN_S
        try:
            self._process.terminate()
            self._process.wait(within_s)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._process.kill()  # and with it, by the kernel, all that it runs
            self._process.wait()
        finally:
            marked.sweep(self._mark)


class _Log:
    """A server's log since it was made."""

    def __init__(self, path: Path, began: int | None = None) -> None:
        self.path = path
        self._began = began if began is not None else path.stat().st_size if path.exists() else 0

    def last(self) -> str:
        """Return the last line that names an error, else the last; without secrets, and empty where there is none."""
        lines = [line.strip() for line in self._text().splitlines() if line.strip()]
        named = [line for line in lines if ERROR.match(line)]
        return without_secrets((named or lines or [""])[-1])

    def holds(self, words: str) -> bool:
        """Say whether it holds ``words``."""
        return words in self._text()

    def _text(self) -> str:
        content = self.path.read_bytes() if self.path.exists() else b""
        since = content[self._began :] if len(content) >= self._began else content  # else another was begun meanwhile
        return since.decode("utf-8", "replace")


def config(root: Path, servers: Sequence[Server], mark: str) -> str:
    """Return supervisord's file; it starts programs in their order and stops them in the opposite one."""
    programs = [
        PROGRAM.format(
            name=server.name,
            command=_literal(shlex.join(server.command)),
            root=_literal(str(root)),
            mark=mark,
            priority=priority,
            stop_s=server.stop_s,
            group=str(server.group).lower(),
        )
        for priority, server in enumerate(servers, start=1)
    ]
    return "".join([HEAD, *programs])


def parse(line: str) -> Event | None:
    """Return what a line of supervisord's log says of a program, if anything.

    >>> parse("2026-01-02 03:04:05,678 WARN exited: mlflow (exit status 1; not expected)")
    Event(kind='exited', name='mlflow', how='exit status 1')
    """
    found = EVENT.search(line)
    return Event(found[1], found[2], found[3] or "") if found else None


def _literal(text: str) -> str:
    """Return ``text`` as supervisord's file writes it, where % begins a name."""
    return text.replace("%", "%%")

"""Start a built service as its users do, `bentoml serve TAG`, with what a test wants to do to it at hand."""

import contextlib
import ctypes
import http.client
import json
import os
import resource
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

READY_WITHIN_S = 60.0
END_WITHIN_S = 15.0
PR_SET_PDEATHSIG = 1
MARK = "OF_A_TEST"
"""In the environment of all that a test starts, to find it by."""
TOKEN_FILE = "LOCKSTEP_TOKEN_FILE"
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Built:
    """A bento in a store, and test rows with the answers that evaluate gave."""

    tag: str
    home: Path
    """BentoML's folder, ``BENTOML_HOME``."""
    model: str
    """The predictor's digest."""
    rows: list[dict[str, Any]]
    expected: list[dict[str, Any]]

    def bento(self, home: Path | None = None) -> Path:
        """Return where the bento lies."""
        name, version = self.tag.split(":")
        return (home or self.home) / "bentos" / name / version

    def release(self, home: Path | None = None) -> Path:
        """Return where its release lies, as a model of BentoML's."""
        name, version = self.tag.split(":")
        return (home or self.home) / "models" / name / version / "release"


@dataclass(frozen=True)
class Setting:
    """How a service is started."""

    token: str | None = None
    host: str | None = None
    records: Path | None = None
    """Where predictions are recorded; nowhere if not given."""
    files: int | None = None
    """How many file descriptors each of its processes may have."""
    environment: Mapping[str, str] = field(default_factory=dict)
    home: Path | None = None
    """Another ``BENTOML_HOME`` than the one it was built in."""


class Service:
    """A service that runs; its processes, its log and its answers."""

    def __init__(self, built: Built, setting: Setting, folder: Path, port: int) -> None:
        self.built, self.setting, self.port = built, setting, port
        self.mark = secrets.token_hex(16)
        self._log = folder / "log"
        (folder / "empty").mkdir(parents=True)
        with self._log.open("wb") as log:
            self.parent = subprocess.Popen(
                command(built, setting, port),
                cwd=folder / "empty",
                env={**environment(built, setting), MARK: self.mark, "TMPDIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=prepared(setting.files),
            )

    @property
    def headers(self) -> dict[str, str]:
        """What a request brings."""
        return {**JSON, **({"authorization": f"Bearer {self.setting.token}"} if self.setting.token else {})}

    def log(self) -> str:
        """Return all that it wrote so far."""
        return self._log.read_text("utf-8", errors="replace")

    def processes(self) -> list[psutil.Process]:
        """Return every process of it that lives, whoever its parent is by now."""
        return marked(self.mark)

    def worker(self) -> psutil.Process:
        """Return the process that answers."""
        (found,) = [one for one in self.processes() if "_bentoml_impl.worker.service" in " ".join(one.cmdline())]
        return found

    def memory(self) -> float:
        """Return the resident memory of all its processes in MB."""
        return sum(process.memory_info().rss for process in self.processes()) / 1e6

    def forget_peak(self) -> None:
        """Have the peak of its memory begin anew."""
        for process in self.processes():
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")

    def peak(self) -> float:
        """Return the largest resident memory of each of its processes, summed, in MB."""
        texts = [Path(f"/proc/{process.pid}/status").read_text() for process in self.processes()]
        return sum(int(text.partition("VmHWM:")[2].split()[0]) for text in texts) / 1e3

    def ask(self, method: str, path: str, content: bytes | None = None, within_s: float = 20) -> tuple[int, Any]:
        """Return status and body of an answer; JSON is read."""
        connection = http.client.HTTPConnection(self.setting.host or "127.0.0.1", self.port, timeout=within_s)
        with contextlib.closing(connection):
            connection.request(method, path, content, self.headers if content is not None else self._allowed())
            response = connection.getresponse()
            found = response.read()
        is_json = response.getheader("content-type") == "application/json"
        return response.status, json.loads(found) if is_json else found.decode()

    def predict(self, rows: list[dict[str, Any]]) -> tuple[int, Any]:
        """Ask for predictions."""
        return self.ask("POST", "/predict", json.dumps({"rows": rows}).encode())

    def figure(self, name: str) -> float:
        """Return a figure of ``/metrics``, all its series together."""
        text = str(self.ask("GET", "/metrics")[1])
        return sum(
            float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith((name + "{", name + " "))
        )

    def is_ready(self) -> bool:
        """Say whether it answers that it is ready."""
        try:
            return self.ask("GET", "/readyz", within_s=1)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def wait_until_ready(self, within_s: float = READY_WITHIN_S) -> None:
        """Wait for it; its log is what a failure shows."""
        wait_until(lambda: self.is_ready() or self.parent.poll() is not None, within_s, self.log)
        assert self.parent.poll() is None, self.log()

    def end(self) -> None:
        """End it, and whatever of it is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.parent.pid, signal.SIGTERM)
        _, left = psutil.wait_procs(self.processes(), timeout=END_WITHIN_S)
        while left := [one for one in {*left, *self.processes()} if one.is_running()]:
            for one in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            psutil.wait_procs(left, timeout=END_WITHIN_S)
            left = []
        self.parent.wait()

    def _allowed(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name == "authorization"}


@contextlib.contextmanager
def serving(built: Built, setting: Setting, folder: Path) -> Iterator[Service]:
    """Give a service that is ready; nothing of it is left after."""
    service = Service(built, setting, folder, free_port())
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.end()


def refusal(built: Built, setting: Setting, folder: Path) -> str:
    """Start a service that must refuse to start; return the one line that says why."""
    (folder / "empty").mkdir(parents=True, exist_ok=True)
    mark = secrets.token_hex(16)
    ended = subprocess.run(
        command(built, setting, free_port()),
        cwd=folder / "empty",
        env={**environment(built, setting), MARK: mark, "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=READY_WITHIN_S,
        preexec_fn=prepared(setting.files),
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, said  # not by a signal
    assert "Traceback" not in said, said
    lines = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, said
    assert not marked(mark), "nothing of it is left"
    return lines[0]


def command(built: Built, setting: Setting, port: int) -> list[str]:
    host = ["--host", setting.host] if setting.host else []
    return [sys.executable, "-m", "bentoml", "serve", built.tag, "--port", str(port), *host]


def environment(built: Built, setting: Setting) -> dict[str, str]:
    aside = ("PYTHONPATH", "LOCKSTEP_TOKEN", TOKEN_FILE)
    return {
        **{name: value for name, value in os.environ.items() if name not in aside},
        "BENTOML_HOME": str(setting.home or built.home),
        "BENTOML_DO_NOT_TRACK": "True",
        "LOCKSTEP_PREDICTIONS": str(setting.records or ""),
        **({"LOCKSTEP_TOKEN": setting.token} if setting.token and TOKEN_FILE not in setting.environment else {}),
        **setting.environment,
    }


def prepared(files: int | None) -> Callable[[], None]:
    """Return what a child does first: end with this process, and have few file descriptors."""
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    return prepare


def marked(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(holds: Callable[[], Any], within_s: float, said: Callable[[], Any] = str) -> None:
    """Wait for a condition; fail with what ``said`` gives if it does not come."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, said()
        time.sleep(0.02)

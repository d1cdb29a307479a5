"""A `lockstep up` that a test started, and what can be asked of it."""

import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import project
import psutil

from lockstep import marked, ports, running

WITHIN_S = 120.0


class Up:
    """A `lockstep up` that was started."""

    def __init__(self, root: Path, *, shell: bool = False, **environment: str) -> None:
        first = 23_000 + 100 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        wanted = ports.choose({"prefect": first, "mlflow": first + 30, "service": first + 60})
        options = [f"--{name}-port={port}" for name, port in wanted.items()]
        command = ["lockstep", "up", *options]
        self.root, self.ports, self.said = root, wanted, list[str]()
        self.process = subprocess.Popen(
            ["sh", "-c", f"{' '.join(command)}; true"] if shell else command,
            cwd=root,
            env=project.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        self.until(lambda: self.has_said("all healthy after") or self.process.poll() is not None)
        assert self.has_said("all healthy after"), self.said
        record = running.read(root)
        assert record
        self.record = record

    def _read(self) -> None:
        assert self.process.stdout
        self.said.extend(self.process.stdout)

    def has_said(self, words: str) -> bool:
        return any(words in line for line in self.said)

    def until(self, holds: Callable[[], object]) -> Any:
        end = time.monotonic() + WITHIN_S
        while not (found := holds()):
            assert time.monotonic() < end, f"it did not come true in time; said: {self.said}"
            time.sleep(0.1)
        return found

    def processes(self, *words: str) -> list[psutil.Process]:
        """Return those of its processes in whose commands every word stands."""
        return [one for one in marked.living(self.record.mark) if set(words) <= set(one.cmdline())]

    def end(self, number: signal.Signals = signal.SIGINT, process: psutil.Process | None = None) -> None:
        """Send a signal to it, or another, and wait until nothing of it is left."""
        (process or self.process).send_signal(number)
        self.process.wait(WITHIN_S)
        self._reading.join(WITHIN_S)
        self.until(lambda: not marked.living(self.record.mark) and not self.supervisors())

    def supervisors(self) -> list[psutil.Process]:
        state = str(self.root / ".lockstep")
        return [
            one
            for one in psutil.process_iter(["cmdline", "cwd"])
            if "supervisor.supervisord" in (one.info["cmdline"] or []) and one.info["cwd"] == state
        ]

    def ask(self, name: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Send a request to a server; return status, JSON and headers of the answer."""
        request = urllib.request.Request(
            self.record.addresses[name] + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                content = answer.read()
                return (
                    answer.status,
                    json.loads(content) if content.startswith((b"{", b"[")) else content,
                    answer.headers,
                )
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers

    def prefect(self, method: str, path: str, body: Any = None) -> Any:
        """Ask Prefect's API as its UI does: with a token."""
        client = uuid.uuid4().hex
        token = self.ask("prefect", "GET", f"/api/csrf-token?client={client}")[1]["token"]
        headers = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": client}
        status, found, _ = self.until(lambda: self._unless_busy(method, f"/api{path}", body, headers))
        assert status < 400, found
        return found

    def _unless_busy(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Any:
        """Ask Prefect; None where its database was busy, which its clients take for "again"."""
        answer = self.ask("prefect", method, path, body, **headers)
        return None if answer[0] == 503 else answer

    def deployment(self) -> Mapping[str, Any]:
        return dict(self.prefect("GET", "/deployments/name/train/train"))

    def start_run(self, state: str = "SCHEDULED") -> str:
        path = f"/deployments/{self.deployment()['id']}/create_flow_run"
        return str(self.prefect("POST", path, {"state": {"type": state}})["id"])

    def state_of(self, run: str) -> str:
        return str(self.prefect("GET", f"/flow_runs/{run}")["state_type"])


def state_of(root: Path, run: str) -> str:
    """Read a run's state from the database of a server that is gone."""
    database = sqlite3.connect(f"file:{root / '.lockstep' / 'prefect' / 'prefect.db'}?mode=ro", uri=True)
    (state,) = database.execute("SELECT state_type FROM flow_run WHERE id = ?", (run,)).fetchone()
    return str(state)

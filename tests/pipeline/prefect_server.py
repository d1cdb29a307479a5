"""A Prefect server for tests, and what it knows of the runs."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

WITHIN_S = 90.0


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    home: Path
    process: "subprocess.Popen[bytes]"

    @property
    def environment(self) -> dict[str, str]:
        """What makes a process use it."""
        return {"PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api", "PREFECT_HOME": str(self.home)}

    def ask(self, path: str, **filters: Any) -> list[dict[str, Any]]:
        answer = httpx.post(f"http://127.0.0.1:{self.port}/api/{path}/filter", json=filters, timeout=30)
        answer.raise_for_status()
        return list(answer.json())

    def runs(self) -> list[dict[str, Any]]:
        return self.ask("flow_runs")

    def tasks(self, run: str, at_least: int = 0) -> list[dict[str, Any]]:
        """Return the tasks of a run, once their last events have arrived."""
        end = time.monotonic() + WITHIN_S
        while True:
            found = self.ask("task_runs", flow_runs={"id": {"any_": [run]}})
            if (len(found) >= at_least and all(final(task) for task in found)) or time.monotonic() > end:
                return found
            time.sleep(0.2)

    def artifacts(self, run: str) -> dict[str, str]:
        """Return the newest text of each artifact of a run."""
        found = self.ask("artifacts", artifacts={"flow_run_id": {"any_": [run]}}, sort="CREATED_DESC")
        return {one["key"]: one["data"] for one in reversed(found)}

    def logs(self, run: str, task: str) -> list[str]:
        found = self.ask("logs", logs={"flow_run_id": {"any_": [run]}, "task_run_id": {"any_": [task]}})
        return [one["message"] for one in found]


def final(task: dict[str, Any]) -> bool:
    return (task["state"] or {}).get("type") in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED", "PENDING"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(home: Path, port: int = 0) -> Iterator[Server]:
    """Start a server on what its folder holds, with an empty database at first, and end it."""
    port = port or free_port()
    environment = {**os.environ, "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    environment.pop("PREFECT_API_URL", None)
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [Path(sys.prefix) / "bin" / "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            cwd=home,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _await_health(port, process, home)
        yield Server(port, home, process)
    finally:
        kill(process)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a server with all that it started, unless it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _await_health(port: int, process: "subprocess.Popen[bytes]", home: Path) -> None:
    end = time.monotonic() + WITHIN_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://127.0.0.1:{port}/api/health", timeout=2).status_code == 200:
                return
        time.sleep(0.2)
    raise AssertionError((home / "server.log").read_text())

"""Say what `lockstep up` runs: each server's command, where it is asked for its health, and how it is kept closed.

All settings lie in the environment, where every one of these programs looks for its own; so the supervisor's file
holds no secret.
"""

import http.client
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lockstep import project
from lockstep.ports import LOOPBACK
from lockstep.service import released
from lockstep.tracking import store

PORTS = {"prefect": 4200, "mlflow": 5000, "service": 3000}
TITLES = {
    "prefect": "the Prefect server",
    "mlflow": "the MLflow server",
    "service": "the service",
    "flows": "what starts the flows",
}
SERVED = "flows.ready"
"""In the state folder; written once the deployments can be started."""
ASK_WITHIN_S = 2.0


@dataclass(frozen=True)
class Server:
    """A program that is kept running, by the name of its log."""

    name: str
    command: tuple[str, ...]
    is_healthy: Callable[[], bool]
    hopeless: str = ""
    """What its log says where it goes on without ever becoming healthy."""
    stop_s: int = 10
    """Seconds it has to end when it is asked to."""
    group: bool = True
    """Whether all of its process group is asked to end, not it alone, which then ends in order what it runs."""

    @property
    def title(self) -> str:
        """What a person calls it."""
        return TITLES[self.name]


def listed(root: Path, ports: Mapping[str, int]) -> list[Server]:
    """Return what is run on these ports, in the order of start; no MLflow server where ``ports`` names none."""
    state = project.state(root)
    found = [
        Server(
            "prefect",
            _python("prefect", "server", "start", "--host", LOOPBACK, "--port", str(ports["prefect"])),
            lambda: _answers(ports["prefect"], "/api/health"),
        ),
        Server(
            "service",
            _python("lockstep.serve", "live", str(ports["service"])),
            lambda: not (state / released.LIVE).exists() or _answers(ports["service"], "/readyz"),
            hopeless="Application startup failed",
            group=False,
        ),
        Server("flows", _python("flows.deploy"), (state / SERVED).exists, stop_s=30, group=False),
    ]
    if "mlflow" in ports:
        command = _python("lockstep.serve", "tracking", str(ports["mlflow"]))
        found.insert(1, Server("mlflow", command, lambda: _answers(ports["mlflow"], "/health")))
    return found


def environment(root: Path, ports: Mapping[str, int]) -> dict[str, str]:
    """Return what the programs find in their environment: this process's, and how each is set up and kept closed."""
    prefect, tracked = address(ports["prefect"]), store.find(root)
    direct = ",".join(filter(None, [os.environ.get("no_proxy", os.environ.get("NO_PROXY")), LOOPBACK, "localhost"]))
    own = {
        "PREFECT_API_URL": f"{prefect}/api",
        "PREFECT_SERVER_UI_API_URL": f"{prefect}/api",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(project.state(root) / "prefect" / "ui"),
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{host}" for host in _hosts(ports["prefect"])),
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": direct,
        "no_proxy": direct,
    }
    if "mlflow" in ports:
        own |= {
            "MLFLOW_BACKEND_STORE_URI": tracked.uri,
            "MLFLOW_DEFAULT_ARTIFACT_ROOT": tracked.artifacts.as_uri(),  # so that they are found without a server too
            "MLFLOW_ARTIFACTS_DESTINATION": str(tracked.artifacts),
            "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(_hosts(ports["mlflow"])),
            "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{host}" for host in _hosts(ports["mlflow"])),
            "MLFLOW_ENABLE_AI_GATEWAY": "false",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "False",
        }
    return {**os.environ, **own}


def address(port: int) -> str:
    """Return where a port of the loopback is found."""
    return f"http://{LOOPBACK}:{port}"


def _python(module: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *words)


def _hosts(port: int) -> list[str]:
    return [f"{LOOPBACK}:{port}", f"localhost:{port}"]


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ASK_WITHIN_S)
    try:
        with closing(connection):
            connection.request("GET", path)
            return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False

"""What `benchmarks/serve.py` measures: bentos of ours, and scikit-learn's pipeline in MLflow; made and run alike."""

import contextlib
import http.client
import json
import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import door
import measure
import pandas as pd
import psutil

from lockstep import contract as contracts
from lockstep import ports, processes, release
from lockstep.contract.read import read
from lockstep.steps.suggest import suggest

sys.path.insert(0, str(measure.ROOT / "tests" / "service"))
import small_project

MLFLOW = "mlflow"
N_KEPT, N_ONE, N_MANY, ROWS_A_REQUEST = 200, 500, 4, 1_000
READY_WITHIN_S, POLL_S, ANSWER_WITHIN_S = 60.0, 0.02, 10.0
UNRECORDED = "lockstep_unwritten_predictions "


@dataclass(frozen=True)
class Service:
    """Something to start, and what to ask it."""

    name: str
    command: tuple[str, ...]
    """The port comes after it."""
    path: str
    environment: Mapping[str, str]
    one: Path
    """Bodies of one row, a line each."""
    many: Path
    """Bodies of 1,000 rows."""

    @property
    def headers(self) -> dict[str, str]:
        """What a request brings."""
        token = self.environment.get("LOCKSTEP_TOKEN")
        return {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})


@dataclass(frozen=True)
class Running:
    """A service that answers."""

    service: Service
    port: int
    process: psutil.Process
    log: Path
    first_answer_s: float = 0.0
    """From its start."""

    def memory_mb(self) -> tuple[float, float]:
        """Return the resident memory of parent and workers together, and of the largest worker."""
        workers = [process.memory_info().rss / 2**20 for process in self.process.children(recursive=True)]
        return self.process.memory_info().rss / 2**20 + sum(workers), max(workers)

    def n_unrecorded(self) -> int:
        """Return how many predictions could not be written to the log; MLflow writes none and misses none."""
        if self.service.name == MLFLOW:
            return 0
        lines = self.ask("GET", "/metrics")[1].decode().splitlines()
        return int(float(next(line for line in lines if line.startswith(UNRECORDED)).removeprefix(UNRECORDED)))

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_WITHIN_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, self.service.headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def said(self) -> str:
        """Return the end of what it wrote."""
        return self.log.read_text("utf-8", errors="replace")[-3000:]


def build(families: Sequence[str], folder: Path, *, beside: bool) -> list[Service]:
    """Fit and package every family and, beside them, MLflow's, on the same rows; ask all of them the same."""
    rows = door.draw(door.N_TRAIN + N_KEPT + N_MANY * ROWS_A_REQUEST)
    suite = suggest(rows, "y", problem="binary").contract.encode()
    asked = door.as_requests(rows[door.N_TRAIN + N_KEPT :].drop(columns="y"))
    os.environ["BENTOML_HOME"] = str(folder / "bento")  # before BentoML is imported, which remembers its own
    known = rows[: door.N_TRAIN + N_KEPT]
    made = [_ours(family, known, suite, folder) for family in families]
    made += [_mlflow(known[: door.N_TRAIN], folder)] if beside else []
    return [_with_bodies(service, asked, folder) for service in made]


@contextlib.contextmanager
def running(service: Service) -> Iterator[Running]:
    """Start a service in an empty folder, wait for its first answer, and end every process of it after."""
    with tempfile.TemporaryDirectory(prefix="lockstep-serve-") as folder, (Path(folder) / "log").open("w") as log:
        empty, port = Path(folder) / "empty", ports.next_free(random.randint(20_000, 30_000))
        empty.mkdir()
        environment = {**service.environment, "LOCKSTEP_PREDICTIONS": str(Path(folder) / "predictions")}
        began = time.perf_counter()
        child = subprocess.Popen(
            [*service.command, str(port)],
            cwd=empty,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            started = Running(service, port, psutil.Process(child.pid), Path(log.name))
            _await_answer(started, child)
            yield replace(started, first_answer_s=time.perf_counter() - began)
        finally:
            processes.end(child)


def _ours(family: str, known: pd.DataFrame, suite: bytes, folder: Path) -> Service:
    """Build the bento of a family; checks, prediction log and token are switched on."""
    root, contract = folder / family, contracts.loads(suite)
    for name in ("expectations", "models", "data", "reports"):
        (root / name).mkdir(parents=True)
    (root / contracts.FILE).write_bytes(suite)
    (root / "dvc.yaml").write_text("stages: {}\n", "utf-8")
    shutil.copytree(
        measure.ROOT / "src" / "lockstep", root / "src" / "lockstep", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("bentofile.yaml", "requirements.lock"):
        shutil.copy(measure.ROOT / name, root / name)
    door.door_of(family, known[: door.N_TRAIN], contract, root / "models")
    (root / "models" / family).rename(root / "models" / "predictor")
    known[: door.N_TRAIN].to_parquet(root / "data" / "train.parquet")
    (root / "reports" / "metrics.json").write_text(json.dumps({"n_rows": len(known) - door.N_TRAIN}), "utf-8")
    small_project.evaluate(root, read(known[door.N_TRAIN :], contract).rows)
    built = release.build(root)
    environment = measure.environment(
        BENTOML_HOME=os.environ["BENTOML_HOME"], LOCKSTEP_TOKEN=secrets.token_hex(16), DO_NOT_TRACK="1"
    )
    command = ("bentoml", "serve", built.tag, "--port")
    return Service(family, command, "/predict", environment, folder, folder)


def _mlflow(train: pd.DataFrame, folder: Path) -> Service:
    """Write the pipeline as MLflow takes it, to give probabilities too; one worker, in this environment."""
    import mlflow

    model, inputs = door.fit_pipeline(train), train.drop(columns="y")
    mlflow.sklearn.save_model(
        model,
        folder / MLFLOW,
        serialization_format="cloudpickle",
        pyfunc_predict_fn="predict_proba",
        signature=mlflow.models.infer_signature(inputs, model.predict_proba(inputs)),
        pip_requirements=["scikit-learn", "xgboost"],
    )
    command = ("mlflow", "models", "serve", "--model-uri", str(folder / MLFLOW), "--env-manager", "local")
    environment = measure.environment(MLFLOW_ALLOW_PICKLE_DESERIALIZATION="True")
    one_worker = ("--workers", "1", "--host", "127.0.0.1", "--port")
    return Service(MLFLOW, (*command, *one_worker), "/invocations", environment, folder, folder)


def _with_bodies(service: Service, rows: list[dict[str, Any]], folder: Path) -> Service:
    """Write what is asked of a service, in its own words."""
    written = []
    for name, n_bodies, n_rows in (("one", N_ONE, 1), ("many", N_MANY, ROWS_A_REQUEST)):
        parts = [rows[start : start + n_rows] for start in range(0, n_bodies * n_rows, n_rows)]
        written.append(folder / f"{service.name}-{name}.jsonl")
        written[-1].write_text("".join(json.dumps(_question(service, part)) + "\n" for part in parts), "utf-8")
    return replace(service, one=written[0], many=written[1])


def _question(service: Service, rows: list[dict[str, Any]]) -> dict[str, Any]:
    if service.name != MLFLOW:
        return {"rows": rows}
    return {"dataframe_split": {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}}


def _await_answer(started: Running, child: "subprocess.Popen[bytes]") -> None:
    """Ask for one row, again and again, until it is answered."""
    with started.service.one.open("rb") as bodies:
        body = bodies.readline()
    end = time.monotonic() + READY_WITHIN_S
    status, answer = 0, b""
    while child.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError):
            status, answer = started.ask("POST", started.service.path, body)
        if status == http.HTTPStatus.OK:
            return
        if status not in (0, http.HTTPStatus.SERVICE_UNAVAILABLE):
            break
        time.sleep(POLL_S)
    sys.exit(f"{started.service.name} did not answer; status {status} {answer[:300]!r}; it wrote:\n{started.said()}")

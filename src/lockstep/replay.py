"""Start a built service in a child process, send it test rows, and demand the very answers that evaluate gave."""

import contextlib
import ctypes
import http.client
import json
import os
import re
import secrets
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil  # type: ignore[import-untyped,unused-ignore]

from lockstep import contract as contracts
from lockstep.contract import Contract
from lockstep.errors import ReleaseError
from lockstep.stages.files import read_table

READY_WITHIN_S = 60.0
END_WITHIN_S = 10.0
POLL_S = 0.05
ANSWER_WITHIN_S = 30.0
BATCH = 50
PR_SET_PDEATHSIG = 1
ASIDE = ("warnings", "prediction_id")
"""What an answer holds beside what evaluate recorded."""
MARK = "LOCKSTEP_REPLAY"
"""In the environment of the child and of all that it starts, to find them by."""
KEPT_BACK = {"PYTHONPATH", "LOCKSTEP_TOKEN", "LOCKSTEP_TOKEN_FILE"}
"""Of the environment: the bento must find its own code, and nobody but this process asks it."""
WORKER_FAILED = "Application startup failed"
"""What uvicorn writes where a worker cannot load the release."""


@dataclass(frozen=True)
class Sample:
    """Test rows as a request would bring them, and what evaluate answered."""

    names: list[int]
    """Numbers of the rows in the raw table."""
    rows: list[dict[str, Any]]
    expected: list[dict[str, Any]]


def read_sample(root: Path, n_rows: int) -> Sample:
    """Take ``n_rows`` test rows, evenly spread, with evaluate's answers.

    Raises
    ------
    ReleaseError
        ``reports/predictions.parquet`` is not of these test rows.
    """
    test = read_table(root / "data" / "test.parquet")
    answers = read_table(root / "reports" / "predictions.parquet")
    if not np.array_equal(test.index.to_numpy(), answers["row"].to_numpy()):
        raise ReleaseError(
            "reports/predictions.parquet must answer every row of data/test.parquet in order; it does "
            "not. Run `dvc repro evaluate`."
        )
    taken = np.unique(np.linspace(0, len(test) - 1, min(n_rows, len(test))).astype(int))
    rows = request_rows(test.iloc[taken], contracts.load(root))
    return Sample([int(row) for row in test.index[taken]], rows, _expected(answers.iloc[taken]))


def request_rows(rows: pd.DataFrame, contract: Contract) -> list[dict[str, Any]]:
    """Return rows read by the contract as the JSON rows of a request that would bring them."""
    sent = {
        name: column.kind
        for name, column in contract.columns.items()
        if column.role not in ("target", "ignored") and name in rows
    }
    columns = [[_json_value(value, kind) for value in rows[name].astype(object)] for name, kind in sent.items()]
    return [dict(zip(sent, values, strict=True)) for values in zip(*columns, strict=True)]


@contextlib.contextmanager
def serving(tag: str, *, ready_within_s: float = READY_WITHIN_S) -> Iterator[int]:
    """Run ``bentoml serve tag`` on a free port of the loopback; yield the port, and end every process of it after.

    The child starts in an empty folder and without PYTHONPATH, so that it finds nothing but the bento. Its temporary
    files lie where the child's log does, and go with it.

    Raises
    ------
    ReleaseError
        It ended, or was not ready in time; with the last line that it wrote about an error.
    """
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if name not in KEPT_BACK}
    environment[MARK] = secrets.token_hex(16)
    environment |= {"LOCKSTEP_PREDICTIONS": "", "LOCKSTEP_DRAIN_S": "0"}  # nobody asked; nothing is recorded
    with tempfile.TemporaryDirectory(prefix="lockstep-replay-") as folder, (Path(folder) / "log").open("w+") as log:
        environment["TMPDIR"] = folder
        empty = Path(folder) / "empty"
        empty.mkdir()
        child = subprocess.Popen(
            [sys.executable, "-m", "bentoml", "serve", tag, "--port", str(port)],
            cwd=empty,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_end_with_parent(),
        )
        try:
            _wait_until_ready(child, port, tag, Path(log.name), ready_within_s)
            yield port
        finally:
            _end(child, environment[MARK])


def compare(port: int, sample: Sample, model: str) -> None:
    """Send the rows in batches of 50 and demand evaluate's answers, bit for bit, of the predictor ``model``.

    Raises
    ------
    ReleaseError
        Naming the first row that is refused or answered otherwise.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_WITHIN_S)
    with contextlib.closing(connection):
        for start in range(0, len(sample.rows), BATCH):
            answers = _post(connection, sample.rows[start : start + BATCH], sample.names[start : start + BATCH], model)
            for i, answer in enumerate(answers, start):
                if _bits(answer) != _bits(sample.expected[i]):
                    raise ReleaseError(
                        f"the built service must answer test row {sample.names[i]} as evaluate did, "
                        f"{sample.expected[i]}; got {answer}. Nothing was packaged."
                    )


def _json_value(value: Any, kind: str) -> Any:
    if value is None or value != value:  # NaN and NaT differ from themselves
        return None
    if kind == "boolean":
        return bool(value)
    if kind == "date":
        moment: datetime = value.to_pydatetime()
        return moment.isoformat() if moment.time() != datetime.min.time() else moment.date().isoformat()
    return float(value) if kind == "number" else str(value)


def _expected(answers: pd.DataFrame) -> list[dict[str, Any]]:
    chances = [name for name in answers if str(name).startswith("probability_")]
    classes = [str(name).removeprefix("probability_") for name in chances]
    if not classes:
        return [{"prediction": float(value)} for value in answers["prediction"]]
    return [
        {"prediction": str(value), "probabilities": dict(zip(classes, row, strict=True))}
        for value, row in zip(answers["prediction"], answers[chances].to_numpy().tolist(), strict=True)
    ]


def _post(
    connection: http.client.HTTPConnection, rows: Sequence[Mapping[str, Any]], names: Sequence[int], model: str
) -> list[dict[str, Any]]:
    body = json.dumps({"rows": rows}, allow_nan=False).encode()
    try:
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ReleaseError(
            f"the built service did not answer test rows {names[0]} to {names[-1]}; {type(error).__name__}: {error}."
        ) from error
    if response.status == 422:
        fault = answer["errors"][0]
        raise ReleaseError(
            f"the built service refused test row {names[fault['row']]}: {fault['field']!r} "
            f"{fault['rule']}; found {fault['found']!r}. The two doors of the contract differ."
        )
    if response.status != 200:
        raise ReleaseError(
            f"the built service answered test rows {names[0]} to {names[-1]} with {response.status}: {answer}."
        )
    if answer["model"] != model:  # the port was free a moment ago; somebody else may have taken it
        raise ReleaseError(f"predictor {model[:16]} must answer; predictor {answer['model'][:16]} did. Run it again.")
    return [{key: value for key, value in given.items() if key not in ASIDE} for given in answer["predictions"]]


def _bits(value: Any) -> Any:
    """Return ``value`` with every float as its bytes, so that -0.0 differs from 0.0."""
    if isinstance(value, Mapping):
        return {key: _bits(item) for key, item in value.items()}
    return struct.pack("<d", value) if isinstance(value, float) else value


def _wait_until_ready(child: "subprocess.Popen[bytes]", port: int, tag: str, log: Path, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise ReleaseError(f"`bentoml serve {tag}` ended with status {child.returncode}: {_reason(log)}")
        if WORKER_FAILED in log.read_text("utf-8", errors="replace"):  # BentoML would start it again and again
            raise ReleaseError(f"the worker of `bentoml serve {tag}` did not start: {_reason(log)}")
        if _is_ready(port):
            return
        time.sleep(POLL_S)
    raise ReleaseError(f"`bentoml serve {tag}` was not ready within {within_s:g} s: {_reason(log)}")


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        with contextlib.closing(connection):
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


def _reason(log: Path) -> str:
    """Return why the worker gave up, else the last line that names an error, else the last line."""
    lines = [line.strip() for line in log.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"(?:[\w.]*Error|[\w.]*Exception|lockstep\.errors\.\w+): ", line)]
    given_up = [reason for line in lines if (reason := line.partition(f"{WORKER_FAILED}: ")[2])]
    return (given_up or named or lines or ["it wrote nothing."])[-1]


def _end(child: "subprocess.Popen[bytes]", mark: str) -> None:
    """End the child and all that it started; workers have sessions of their own, so the group is not enough."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    _, alive = psutil.wait_procs(_marked(mark), timeout=END_WITHIN_S)
    while alive := [process for process in {*alive, *_marked(mark)} if process.is_running()]:
        for process in alive:  # one may start another while it ends, so look again until none is left
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=END_WITHIN_S)
        alive = []
    child.wait()


def _marked(mark: str) -> list[psutil.Process]:
    """Return the processes that inherited ``mark``, whoever their parent is by now."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _end_with_parent() -> Any:
    """Return what makes a child end when this process is killed; on Linux alone."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

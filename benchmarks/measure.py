"""What the benchmarks share: clean environments, clocks, projects, and the tables of docs/benchmarks.md."""

import argparse
import contextlib
import datetime
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
VENV = ROOT / ".venv"
TABLES = Path(os.environ.get("LOCKSTEP_TABLES", ROOT.parent / "shared" / "data"))
STORES = (
    "BENTOML_HOME",
    "PREFECT_HOME",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_BACKEND_STORE_URI",
    "MLFLOW_ARTIFACTS_DESTINATION",
)
"""Set at the start of this very process for this project; another project must find its own."""
UNWANTED = (*STORES, "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV", "LOCKSTEP_THREADS", "LOCKSTEP_WORKERS")


@dataclass(frozen=True)
class Ran:
    """A command that came to a good end."""

    seconds: float
    peak_mb: float
    """Largest resident memory of any process in it."""
    output: str


@dataclass(frozen=True)
class Row:
    """One line of a published table."""

    what: str
    wanted: str
    measured: str
    met: bool | None
    """None where nothing is asked."""
    command: str
    note: str = ""


def arguments(about: str) -> argparse.ArgumentParser:
    """Return a parser with the flag that all benchmarks know."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--write", action="store_true", help="also put the table into docs/benchmarks.md")
    return parser


def environment(venv: Path | None = VENV, **more: str) -> dict[str, str]:
    """Return a child's environment with ``venv`` active (None: no environment), as a new shell would have it."""
    kept = {key: value for key, value in os.environ.items() if key not in UNWANTED}
    ours = str(Path(sys.prefix) / "bin")
    places = [place for place in kept.get("PATH", "").split(os.pathsep) if place not in (ours, str(VENV / "bin"))]
    active = {} if venv is None else {"VIRTUAL_ENV": str(venv)}
    return {**kept, **active, **more, "PATH": os.pathsep.join([*([str(venv / "bin")] if venv else []), *places])}


def run(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> Ran:
    """Run a command to its end and say what it took; its output is shown only if it fails.

    The peak is the kernel's (``wait4``), which counts the memory of this process as the child's own start: keep
    this process small.
    """
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        child = subprocess.Popen(command, cwd=folder, env=dict(env), stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode(errors="replace")
    if child.returncode:
        sys.exit(f"{' '.join(command)} ended with {child.returncode}:\n{said[-4000:]}")
    return Ran(seconds, usage.ru_maxrss / 1024, said)


def median_seconds(n: int, command: Sequence[str], folder: Path, env: Mapping[str, str]) -> float:
    """Return the median time of ``n`` runs of a command, after one that is not counted."""
    return statistics.median([run(command, folder, env).seconds for _ in range(n + 1)][1:])


def microseconds(call: Callable[[Any], Any], items: Sequence[Any]) -> list[float]:
    """Return the time that ``call`` takes for each item, after a round over the first tenth."""
    for item in items[: len(items) // 10]:
        call(item)
    taken = []
    for item in items:
        start = time.perf_counter_ns()
        call(item)
        taken.append((time.perf_counter_ns() - start) / 1000)
    return taken


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="lockstep-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clone(folder: Path) -> Path:
    """Clone what is committed here; the benchmarks come as they stand."""
    run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder)], ROOT, environment())
    shutil.copytree(Path(__file__).parent, folder / "benchmarks", dirs_exist_ok=True)
    return folder


def change(root: Path, **blocks: Any) -> None:
    """Change keys of a project's params.yaml; a block is merged, anything else replaced."""
    path = root / "params.yaml"
    values = yaml.safe_load(path.read_text("utf-8"))
    for key, value in blocks.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(values, sort_keys=False), "utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text("utf-8"))


def say(line: str) -> None:
    """Report progress at once."""
    print(line, file=sys.stderr, flush=True)


def publish(section: str, rows: Iterable[Row], *, write: bool) -> None:
    """Print a table, and put it between its markers in docs/benchmarks.md if asked to."""
    lines = [
        f"Measured on {datetime.date.today().isoformat()}: {machine()}.",
        "",
        "| what | asked | measured | met | note | command |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.what} | {row.wanted or '-'} | {row.measured} | {_met(row.met)} | {row.note} | `{row.command}` |"
        for row in rows
    ]
    table = "\n".join(lines)
    print(table)
    if write:
        text = PAGE.read_text("utf-8")
        pattern = rf"(<!-- {section}: begin -->\n).*?(<!-- {section}: end -->)"
        found, n_found = re.subn(pattern, lambda match: f"{match[1]}{table}\n{match[2]}", text, flags=re.DOTALL)
        if n_found != 1:
            sys.exit(f"docs/benchmarks.md must hold the markers of {section!r} once; found {n_found}.")
        PAGE.write_text(found, "utf-8")


def machine() -> str:
    """Return the class of this machine: cores, memory, Python; no name of it."""
    n_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    version = ".".join(map(str, sys.version_info[:3]))
    return f"{len(os.sched_getaffinity(0))} cores, {n_bytes / 2**30:.0f} GB of memory, Python {version}"


def _met(met: bool | None) -> str:
    return "-" if met is None else "yes" if met else "**no**"

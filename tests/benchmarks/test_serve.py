"""The benchmark of the service, as short as it goes: that it still runs, not what it finds."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "benchmarks/serve.py", *options], cwd=ROOT, capture_output=True, text=True, timeout=240
    )


def test_the_benchmark_of_the_service_runs() -> None:
    ended = run("--quick")
    assert ended.returncode == 0, ended.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in ended.stdout.splitlines() if line[:2] == "| "]
    assert [row[0].removeprefix("linear: ") for row in rows] == [
        "what",
        "one row, one client",
        "one row, 32 clients",
        "1,000 rows a request, 2 clients",
        "start to first answer, model verified",
        "memory of parent and worker then",
        "memory of the worker over 400 requests",
        "load average of the machine, before and after",
    ]
    assert {row[3] for row in rows[1:]} == {"-"}, "a run this short judges nothing"
    assert "not recorded" not in ended.stdout


def test_a_run_this_short_is_not_published() -> None:
    ended = run("--quick", "--write")
    assert (ended.returncode, "--write is for the whole measurement" in ended.stderr) == (2, True)

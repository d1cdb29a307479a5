"""Load the packaged service of each family over HTTP, and `mlflow models serve` beside it, in turns.

One worker each, the same rows, 12 numbers and 8 categories, 200 trees; of ours checks, prediction log and token are on.
Ends with status 1 where a target is missed, and at once where a request fails.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import measure
import services
from services import MLFLOW, ROWS_A_REQUEST, Running, Service

P50_MS, P99_MS, RATE, TIMES_MLFLOW, ROWS_A_S, GROWTH, START_S, MEMORY_MB = 1, 5, 1_500, 20, 40_000, 1.2, 6, 400
LONG_RUN = "xgboost"
N_CLIENTS, N_LARGE = 32, 2
"""Clients that ask for one row, and for many rows."""
COMMAND = "make bench-serve"
CLIENTS = str(Path(__file__).with_name("clients.py"))


@dataclass(frozen=True)
class Amount:
    """How much is measured."""

    families: Sequence[str]
    beside: bool
    """Whether MLflow is measured too."""
    n_rounds: int
    seconds: float
    """Of each of the three loads of a round."""
    n_requests: int
    """Between two looks at the memory."""
    n_looks: int


FULL = Amount(
    ("linear", "hist_gradient", LONG_RUN), beside=True, n_rounds=3, seconds=2.5, n_requests=10_000, n_looks=10
)
QUICK = Amount(("linear",), beside=False, n_rounds=1, seconds=0.3, n_requests=200, n_looks=2)


@dataclass(frozen=True)
class Round:
    """What one start of a service gave."""

    first_answer_s: float
    memory_mb: float
    p50_ms: float
    p99_ms: float
    largest_ms: float
    rate: float
    """Requests a second of all clients together; their 99th percentile is the next."""
    crowd_ms: float
    rows_a_s: float
    n_unrecorded: int


def main() -> None:
    """Build everything, load it in turns, and judge."""
    parser = measure.arguments(__doc__)
    parser.add_argument("--quick", action="store_true", help="one family alone, one short round; nothing is judged")
    given = parser.parse_args()
    if given.quick and given.write:
        parser.error("--write is for the whole measurement")
    before = os.getloadavg()[0]
    rows = list(table(QUICK if given.quick else FULL))
    loads = f"{before:.1f}, {os.getloadavg()[0]:.1f}"
    rows.append(measure.Row("load average of the machine, before and after", "", loads, None, COMMAND))
    if given.quick:
        rows = [replace(row, met=None, command="python benchmarks/serve.py --quick") for row in rows]
    measure.publish("serve", rows, write=given.write)
    if missed := [row.what for row in rows if row.met is False]:
        sys.exit(f"not met: {'; '.join(missed)}")


def table(amount: Amount) -> Iterator[measure.Row]:
    """Measure every service in each round, then one of them for long."""
    with measure.scratch() as folder:
        made = services.build(amount.families, folder, beside=amount.beside)
        rounds: dict[str, list[Round]] = {service.name: [] for service in made}
        for _ in range(amount.n_rounds):
            for service in made:
                rounds[service.name].append(load(service, amount.seconds))
        for family in amount.families:
            yield from judge(family, rounds[family], rounds.get(MLFLOW, []))
        yield long_run(next((service for service in made if service.name == LONG_RUN), made[0]), amount)


def load(service: Service, seconds: float) -> Round:
    """Start a service, load it in three ways, and end it."""
    with services.running(service) as found:
        memory_mb, _ = found.memory_mb()
        ask(found, service.one, N_CLIENTS, seconds=min(1.0, seconds))
        alone = ask(found, service.one, 1, seconds=seconds)
        crowd = ask(found, service.one, N_CLIENTS, seconds=seconds)
        large = ask(found, service.many, N_LARGE, seconds=seconds)
        n_unrecorded = found.n_unrecorded()
    measured = Round(
        first_answer_s=found.first_answer_s,
        memory_mb=memory_mb,
        p50_ms=alone["p50_ms"],
        p99_ms=alone["p99_ms"],
        largest_ms=alone["largest_ms"],
        rate=crowd["rate"],
        crowd_ms=crowd["p99_ms"],
        rows_a_s=large["rate"] * ROWS_A_REQUEST,
        n_unrecorded=n_unrecorded,
    )
    measure.say(f"{service.name}: {measured}")
    return measured


def ask(found: Running, bodies: Path, n_clients: int, *, seconds: float = 0, n: int | None = None) -> dict[str, float]:
    """Load a running service from a process of its own; any answer but 200 ends the benchmark."""
    command = [sys.executable, CLIENTS, str(found.port), found.service.path, str(bodies), f"--clients={n_clients}"]
    command += [f"--seconds={seconds}"] if n is None else [f"--requests={n}"]
    ended = subprocess.run(command, env=dict(found.service.environment), capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"the clients of {found.service.name} failed: {ended.stderr[-2000:]}\nIt wrote:\n{found.said()}")
    figures: dict[str, float] = json.loads(ended.stdout)
    if figures["n_failed"] or not figures["n"]:
        sys.exit(f"{found.service.name} must answer every request with 200: {figures}\nIt wrote:\n{found.said()}")
    return figures


def long_run(service: Service, amount: Amount) -> measure.Row:
    """Watch the memory of the worker over 100,000 requests, after a fiftieth of them that does not count."""
    n_all = amount.n_looks * amount.n_requests
    with services.running(service) as found:
        ask(found, service.one, N_CLIENTS, n=n_all // 50)
        seen = [found.memory_mb()[1]]
        for _ in range(amount.n_looks):
            ask(found, service.one, N_CLIENTS, n=amount.n_requests)
            seen.append(found.memory_mb()[1])
        n_unrecorded = found.n_unrecorded()
    growth = max(seen) / min(seen)
    return measure.Row(
        f"{service.name}: memory of the worker over {n_all:,} requests",
        f"within {GROWTH - 1:.0%}",
        f"within {growth - 1:.1%}: {min(seen):.0f} to {max(seen):.0f} MB",
        growth <= GROWTH and not n_unrecorded,
        COMMAND,
        _lost(n_unrecorded),
    )


def judge(family: str, ours: Sequence[Round], theirs: Sequence[Round]) -> Iterator[measure.Row]:
    """Compare the medians of all rounds with what is asked, and with MLflow's."""
    mine, lost = median(ours), _lost(sum(one.n_unrecorded for one in ours))
    times = statistics.median(a.rate / b.rate for a, b in zip(ours, theirs, strict=True)) if theirs else 0.0

    def row(what: str, wanted: str, measured: str, met: bool, beside: str) -> measure.Row:
        told = f"MLflow {beside.format(**median(theirs))}" if theirs else ""
        return measure.Row(f"{family}: {what}", wanted, measured.format(**mine), met, COMMAND, told)

    yield row(
        "one row, one client",
        f"p50 <= {P50_MS} ms, p99 <= {P99_MS} ms",
        "p50 {p50_ms:.2f} ms, p99 {p99_ms:.2f} ms, largest {largest_ms:.1f} ms",
        mine["p50_ms"] <= P50_MS and mine["p99_ms"] <= P99_MS,
        "p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms, largest {largest_ms:.1f} ms",
    )
    yield row(
        f"one row, {N_CLIENTS} clients",
        f">= {RATE:,} requests/s, >= {TIMES_MLFLOW} x MLflow",
        "{rate:,.0f} requests/s, p99 {crowd_ms:.0f} ms" + (f", {times:.0f} x MLflow" if theirs else "") + lost,
        mine["rate"] >= RATE and times >= TIMES_MLFLOW and not lost,
        "{rate:,.0f} requests/s, p99 {crowd_ms:.0f} ms",
    )
    yield row(
        f"{ROWS_A_REQUEST:,} rows a request, {N_LARGE} clients",
        f">= {ROWS_A_S:,} rows/s",
        "{rows_a_s:,.0f} rows/s" + lost,
        mine["rows_a_s"] >= ROWS_A_S and not lost,
        "{rows_a_s:,.0f} rows/s",
    )
    yield row(
        "start to first answer, model verified",
        f"<= {START_S} s",
        "{first_answer_s:.1f} s",
        mine["first_answer_s"] <= START_S,
        "{first_answer_s:.1f} s",
    )
    yield row(
        "memory of parent and worker then",
        f"<= {MEMORY_MB} MB",
        "{memory_mb:.0f} MB",
        mine["memory_mb"] <= MEMORY_MB,
        "{memory_mb:.0f} MB",
    )


def median(rounds: Sequence[Round]) -> Mapping[str, float]:
    """Return the median of each figure."""
    return {name: statistics.median(getattr(one, name) for one in rounds) for name in Round.__dataclass_fields__}


def _lost(n_unrecorded: int) -> str:
    return f", {n_unrecorded:,} predictions were not recorded" if n_unrecorded else ""


if __name__ == "__main__":
    main()

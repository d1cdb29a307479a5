"""Time the whole line by `dvc repro`, by the flow on a running server, and by one plain script, side by side.

Works on a clone of what is committed, with this environment, in a folder that is gone afterwards. Says where the time
of each goes, stage by stage.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import measure
from line import compare, forget

sys.path.insert(0, str(measure.ROOT / "tests" / "pipeline"))
import prefect_server

OVER_DVC_S, IDLE_FLOW_S, IDLE_STATUS_S, FAMILY_S = 8, 3, 1, 15
COMMAND = "make bench-line"
FLOW, DVC, PLAIN = ["python", "flows/train.py"], ["dvc", "repro"], ["python", "benchmarks/plain.py"]
STARTED = re.compile(r"Running stage '([^']+)'")


def main() -> None:
    """Measure each way in turns on one clone."""
    parser = measure.arguments(__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of each way, in turns")
    given = parser.parse_args()
    with measure.scratch() as folder:
        (folder / "prefect").mkdir()
        root = measure.clone(folder / "line")
        with prefect_server.serving(folder / "prefect") as server:
            env = measure.environment(**server.environment)
            rows = [*three_ways(root, env, server, given.runs), *idle(root, env), side_by_side(root, env, given.runs)]
    measure.publish("flow", rows, write=given.write)


def three_ways(root: Path, env: Mapping[str, str], server: prefect_server.Server, n_runs: int) -> Iterator[measure.Row]:
    """Run the default line from nothing by each way in turns; all must score alike and lock alike."""
    dvc, flow, plain = [], [], []
    for _ in range(n_runs):
        forget(root)
        dvc.append(timed(DVC, root, env))
        locked = (root / "dvc.lock").read_bytes()
        forget(root)
        flow.append(measure.run(FLOW, root, env).seconds)
        if (root / "dvc.lock").read_bytes() != locked:
            sys.exit("the flow must leave the dvc.lock that dvc repro leaves; it left another")
        script = measure.run(PLAIN, root, env)
        plain.append(script.seconds)
        compare(measure.read_json(root / "reports" / "metrics.json"), json.loads(script.output.splitlines()[-1]))
        measure.say(f"dvc repro {dvc[-1][0]:.1f} s, flow {flow[-1]:.1f} s, plain script {plain[-1]:.1f} s")
    totals = [seconds for seconds, _ in dvc]
    over = statistics.median(mine - theirs for mine, theirs in zip(flow, totals, strict=True))
    turns = "; ".join(f"{a:.0f}, {b:.0f}, {c:.0f}" for a, b, c in zip(totals, flow, plain, strict=True))
    yield measure.Row(
        f"the flow over `dvc repro`, whole default line, median of {n_runs} pairs",
        f"<= {OVER_DVC_S} s",
        f"{over:+.1f} s",
        over <= OVER_DVC_S,
        COMMAND,
        f"dvc repro, flow, plain script: {turns}",
    )
    spent = tasks(server)
    parts = ", ".join(f"{name} {dvc[-1][1][name]:.1f} / {spent[name]:.1f}" for name in dvc[-1][1])
    yield measure.Row("where the time goes, last run: `dvc repro` / flow, seconds", "", parts, None, COMMAND)


def timed(command: list[str], root: Path, env: Mapping[str, str]) -> tuple[float, dict[str, float]]:
    """Run ``dvc repro``; return its seconds, and those from the start of each stage to that of the next."""
    began, marks = time.perf_counter(), list[tuple[str, float]]()
    child = subprocess.Popen(command, cwd=root, env={**env, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True)
    for line in child.stdout or ():
        if found := STARTED.match(line):
            marks.append((found[1], time.perf_counter()))
    if child.wait():
        sys.exit(f"{' '.join(command)} ended with {child.returncode}")
    end = time.perf_counter()
    ends = [*(at for _, at in marks[1:]), end]
    return end - began, {name: after - at for (name, at), after in zip(marks, ends, strict=True)}


def tasks(server: prefect_server.Server) -> dict[str, float]:
    """Return the seconds of each task of the newest run."""
    newest = max(server.runs(), key=lambda run: run["created"])
    return {task["name"]: task["total_run_time"] for task in server.tasks(newest["id"])}


def idle(root: Path, env: Mapping[str, str]) -> Iterator[measure.Row]:
    """Time what there is to pay where nothing is to do."""
    for command, most, n in ((FLOW, IDLE_FLOW_S, 5), (["lockstep", "status"], IDLE_STATUS_S, 7)):
        found = measure.median_seconds(n, command, root, env)
        what = f"`{' '.join(command)}` with nothing to do, median of {n}"
        yield measure.Row(what, f"< {most} s", f"{found:.2f} s", found < most, COMMAND)
        measure.say(f"{' '.join(command)}: {found:.2f} s")


def side_by_side(root: Path, env: Mapping[str, str], n_runs: int) -> measure.Row:
    """Compare both with searches of about 15 s a family, one thread and one worker each, the same trials done."""
    single = {**env, "LOCKSTEP_THREADS": "1", "LOCKSTEP_WORKERS": "1"}
    trials = trials_for(root)
    measure.change(root, tune={"trials": trials})
    pairs = []
    for _ in range(n_runs):
        took = []
        for command in (DVC, FLOW):
            forget(root)
            took.append(measure.run(command, root, single).seconds)
        pairs.append(tuple(took))
        measure.say(f"{trials} trials: dvc repro {took[0]:.1f} s, flow {took[1]:.1f} s")
    ratio = statistics.median(flow / dvc for dvc, flow in pairs)
    shown = "; ".join(f"{dvc:.0f}, {flow:.0f}" for dvc, flow in pairs)
    cores = len(os.sched_getaffinity(0))
    what = f"{trials} trials a family, one thread and one worker in both, {cores} cores: flow over `dvc repro`"
    return measure.Row(what, "< 1", f"{ratio:.2f}", ratio < 1, COMMAND, f"dvc repro, flow: {shown} s")


def trials_for(root: Path) -> int:
    """Return how many trials take a family about 15 s, from what the last searches took."""
    entries = [
        measure.read_json(next((root / ".lockstep" / "ledger" / f"tune@{family}").glob("*.json")))["seconds"]
        for family in ("linear", "hist_gradient", "xgboost")
    ]
    done = len(measure.read_json(root / "models" / "candidates" / "linear" / "trials.json"))
    return max(2, round(done * FAMILY_S / statistics.mean(entries)))


if __name__ == "__main__":
    main()

"""Run the line once more, from the raw table to the predictor, in a clean checkout: nothing is taken from a cache."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lockstep import digest, graph, processes, project
from lockstep.errors import IntegrityError, ProjectError, ReleaseError, StageFailed
from lockstep.graph import Stage
from lockstep.origin import Origin
from lockstep.processes import Limits, Watch
from lockstep.provenance import PREDICTOR
from lockstep.recorder import Recorder

RAW = "data/raw.parquet"
ANSWER = """
import json, sys
from pathlib import Path
sys.path.insert(0, str(Path("src").resolve()))
from lockstep import predictor
from lockstep.contract.request import Door
found = predictor.load(Path(sys.argv[1]))
door = Door(found.contract)
said = []
for row in json.load(sys.stdin):
    checked = door.check(row)
    if checked.faults:
        fault = checked.faults[0]
        said.append({"fault": f"{fault.field}: {fault.rule}; found {fault.found}"})
        continue
    answer = found.predict_rows([checked.values])
    one = {"prediction": answer.values[0]}
    if found.card.classes:
        one["probabilities"] = dict(zip(found.card.classes, answer.output[0].tolist()))
    said.append({"answer": one})
print(json.dumps(said))
"""
"""Answers rows by the code that made the predictor."""


def stages(tree: Path) -> list[Stage]:
    """Return the stages that lead from the raw table to the predictor, in an order in which they can run."""
    listed = graph.load(tree)
    producers, wanted = graph.producers(listed), set[str]()
    waiting = [stage.name for stage in listed if PREDICTOR in stage.outs]
    while waiting:
        wanted.add(name := waiting.pop())
        waiting += producers[name]
    return [stage for stage in listed if stage.name in wanted and RAW not in stage.outs]


def check_packages(tree: Path, origin: Origin) -> int:
    """Stop if this environment is not the one that the commit asks for; return how many packages are compared.

    Raises
    ------
    ProjectError
        With the first package that differs, and how the environment is made.
    """
    wrong = project.differences(tree)
    if not wrong:
        return len(project.locked(tree))
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    patch = f" && git -C ../then apply {origin.patch}" if origin.patch else ""
    make = f"git worktree add ../then {origin.commit[:12]}{patch} && make -C ../then env"
    raise ProjectError(
        f"{project.LOCK} of that commit asks for other packages than this environment has: {wrong[0]}{more}. "
        f"Make that environment by `{make}`, and run `../then/.venv/bin/lockstep replay` here."
    )


def check_sources(tree: Path, origin: Origin) -> None:
    """Stop if a file that a stage reads was not known to git when the predictor was made.

    Raises
    ------
    ReleaseError
        With its name.
    """
    read = {dep for stage in stages(tree) for dep in stage.deps}
    unknown = [path for path in origin.untracked if any(path == dep or path.startswith(f"{dep}/") for dep in read)]
    if unknown:
        raise ReleaseError(
            f"untracked files were part of the run, and are not known any more: {', '.join(unknown[:5])}; "
            "`git add` files before the line is run."
        )


def bring_raw(root: Path, tree: Path, origin: Origin) -> tuple[str, str]:
    """Put the very raw table of the run into the checkout; return where it was found, and its digest.

    Raises
    ------
    IntegrityError
        Neither DVC's cache nor the remote has it undamaged.
    """
    named = origin.outs.get(RAW) or next((read[RAW] for read in origin.read.values() if RAW in read), None)
    if named is None:
        raise IntegrityError(f"{origin.recorder} does not say which {RAW} was read.")
    recorder = Recorder(root)
    try:
        place, faults = recorder.copy_out(named, tree / RAW)
    finally:
        recorder.close()
    if not place:
        raise IntegrityError(f"{RAW} of MD5 {named} is nowhere: {'; '.join(faults)}.")
    return f"{RAW} of MD5 {named}, from {place}", named


def run_stage(tree: Path, stage: Stage) -> float:
    """Run a stage as ``dvc.yaml`` says; return the seconds that it took.

    Raises
    ------
    StageFailed
        With the last line that it printed.
    """
    began, state = time.monotonic(), tree / ".lockstep"
    own = {
        "DVC_STAGE": "",  # nobody records it
        "PYTHONPATH": "",
        "BENTOML_HOME": str(state / "bento"),
        "PREFECT_HOME": str(state / "prefect"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{state}/mlflow.db",
        "LOCKSTEP_PREDICTIONS": "",
    }
    processes.run(stage.command, tree, state / "logs" / f"{stage.name}.log", Limits(math.inf), Watch(), **own)
    return time.monotonic() - began


def differences(tree: Path, stage: Stage, origin: Origin) -> Iterator[str]:
    """Yield what a stage that was run again read or made otherwise than recorded; sources and parameters first."""
    made = {path for one in stages(tree) for path in one.outs} | {RAW}
    now = graph.inputs(tree, stage)
    for key, value in origin.read.get(stage.name, {}).items():
        if key in now and key not in made and now[key] != value:
            yield f"{stage.name} reads another {key}"
    for path in stage.outs:
        if path in origin.outs and (not (tree / path).exists() or graph.digest(tree / path) != origin.outs[path]):
            yield f"{stage.name} makes another {path}"


def check_predictor(tree: Path, expected: str, differing: Sequence[str], origin: Origin) -> None:
    """Stop if the predictor that came out is not the recorded one.

    Raises
    ------
    IntegrityError
        With the first difference on the way.
    """
    found = digest.verify(tree / PREDICTOR)
    if found == expected:
        return
    first = differing[0] if differing else f"{origin.recorder} does not tell of the stages"
    timed = "" if _is_repeatable(tree) else " Its search was ended by the clock (tune.seconds), which does not repeat."
    made_with = f" It was made with {origin.made_with}." if origin.made_with else ""
    raise IntegrityError(
        f"predictor {expected[:16]} is recorded; {found[:16]} came out. First difference: {first}.{timed}{made_with}"
    )


def answers(tree: Path, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what the predictor that came out answers to rows, each as ``answer``, or as ``fault`` where it is refused.

    Raises
    ------
    StageFailed
        It does not answer, with the last line that was printed.
    """
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", ANSWER, PREDICTOR],
        cwd=tree,
        env=environment,
        input=json.dumps(rows),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StageFailed(f"the predictor does not answer: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    return list(json.loads(done.stdout))


def _is_repeatable(tree: Path) -> bool:
    found = [digest.read_object(path) for path in (tree / "models" / "candidates").glob("*/best.json")]
    return all(best.get("repeatable", True) for best in found)

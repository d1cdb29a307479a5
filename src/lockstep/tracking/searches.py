"""Say what should be in MLflow of each family's search: a run of its own, the best trials below it, all in a table."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lockstep import alive, digest, journal
from lockstep.tracking import made
from lockstep.tracking.made import Made
from lockstep.tracking.wanted import CONTENT, KEY, KIND, Point, Run, Table, as_text, key_of

N_TRIAL_RUNS = 50
"""The best trials become runs; MLflow's pages slow down beyond about a hundred in view."""
TRIALS = "trials.json"
N_SHOWN = 5

Trial = Mapping[str, Any]


def finished(root: Path, families: Sequence[str], stages: Mapping[str, Made]) -> tuple[Run, ...]:
    """Return a run for each search whose outs are whole; ``stages`` are the entries of ``dvc.lock``."""
    found = (_finished(root, stages[f"tune@{family}"]) for family in families if f"tune@{family}" in stages)
    return tuple(run for run in found if run)


def under_way(root: Path, over: Sequence[Run]) -> tuple[Run, ...]:
    """Return a run for each search that a living process is at work on; not those that are ``over``."""
    known = {run.key for run in over}
    found = (_under_way(study) for study in journal.studies(root) if not alive.is_dead(study.owner))
    return tuple(run for run in found if run.key not in known)


def _finished(root: Path, stage: Made) -> Run | None:
    family = stage.name.partition("@")[2]
    folder = f"models/candidates/{family}"
    content = stage.outs[folder]
    try:
        trials, best = (json.loads((root / folder / name).read_text("utf-8")) for name in (TRIALS, "best.json"))
    except (OSError, ValueError):  # it is being made
        return None
    if not made.is_whole(root, folder, content):
        return None
    study = best.get("study") or digest.of_bytes(digest.dump_json(trials).encode())
    key, maker = _key(family, study), made.maker(root, stage)
    note = {"mlflow.note.content": _note(family, trials, best)}
    return Run(
        key=key,
        content=content,
        name=f"search {family}",
        tags={**_tags(study, family, trials), **_inputs(stage), **maker.tags, **note, CONTENT: content},
        params={"family": family, **_recorded(stage), **_settings(best)},
        points=(*_points(best), *_loss(best), *_progress(trials)),
        began=maker.began,
        ended=maker.ended,
        files={TRIALS: table(trials)},
        tables=(Table("features", stage.deps["data/features.parquet"], "data/features.parquet", "training"),),
        trials=tuple(_trial(trial, key, content, family, maker.began) for trial in _best(trials)),
    )


def _under_way(study: journal.Study) -> Run:
    """Tell of the trials up to the first that is not judged yet; those of one batch are judged in any order."""
    judged = {trial.number: _as_written(trial.as_json()) for trial in study.trials}
    trials = [judged[number] for number in itertools.takewhile(judged.__contains__, itertools.count())]
    key = _key(study.family, study.key)
    wanted = f" of {study.wanted}" if study.wanted else ""
    note = f"Under way: {len(trials)}{wanted} trials are judged.\n\n{_leaders(trials)}"
    return Run(
        key=key,
        content="",
        name=f"search {study.family}",
        tags=_tags(study.key, study.family, trials) | {"mlflow.note.content": note},
        points=tuple(_progress(trials)),
        files={TRIALS: table(trials)},
        owner=study.owner,
    )


def _as_written(trial: Trial) -> Trial:
    """Return a trial as ``trials.json`` holds it: a loss that is not finite is null."""
    losses = [_finite(loss) for loss in trial["losses"]]
    return {**trial, "losses": losses, "loss": _finite(trial["loss"])}


def _finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None


def table(trials: Sequence[Trial]) -> bytes:
    """Return all trials as a table that MLflow shows and ``mlflow.load_table`` reads."""
    names = sorted({name for trial in trials for name in trial["settings"]})
    n_folds = max((len(trial["losses"]) for trial in trials), default=0)
    columns = ["trial", "loss", "given_up", *names, *(f"fold_{n}" for n in range(n_folds))]
    data = [
        [
            _nth(trial),
            trial["loss"],
            not trial["complete"],
            *(trial["settings"].get(name) for name in names),
            *(trial["losses"][n] if n < len(trial["losses"]) else None for n in range(n_folds)),
        ]
        for trial in trials
    ]
    return json.dumps({"columns": columns, "data": data}).encode()


def _trial(trial: Trial, search: str, content: str, family: str, began: int | None) -> Run:
    key = key_of("trial", search=search, content=content, number=trial["number"])
    given_up = not trial["complete"]
    moment = None if began is None else began + 1 + trial["number"]
    return Run(
        key=key,
        content=content,
        name=f"{family} {_nth(trial)}{' (given up)' if given_up else ''}",
        tags={
            KEY: key,
            CONTENT: content,
            KIND: "trial",
            "lockstep.family": family,
            "lockstep.outcome": "given up" if given_up else "complete",
        },
        params={"family": family, **_settings(trial)},
        points=(*_points(trial), *_loss(trial)),
        began=moment,
        ended=moment,
    )


def _best(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that become runs, in their order: the complete ones with the least loss first."""
    return sorted(sorted(trials, key=_rank)[:N_TRIAL_RUNS], key=lambda trial: trial["number"])


def _rank(trial: Trial) -> tuple[bool, float, int]:
    return not trial["complete"], math.inf if trial["loss"] is None else trial["loss"], trial["number"]


def _points(trial: Trial) -> tuple[Point, ...]:
    """Return the losses by fold; with the rounds where the family counts any."""
    losses = [Point("fold_loss", loss, fold) for fold, loss in enumerate(trial["losses"]) if loss is not None]
    rounds = [Point("fold_rounds", n, fold) for fold, n in enumerate(trial["rounds"]) if any(trial["rounds"])]
    return (*losses, *rounds)


def _loss(trial: Trial) -> tuple[Point, ...]:
    """Return the mean loss; none where not all folds were judged, which would not compare."""
    return (Point("loss", trial["loss"]),) if trial["complete"] and trial["loss"] is not None else ()


def _progress(trials: Sequence[Trial]) -> Iterator[Point]:
    """Yield how the search went: the loss of each complete trial, and the least so far."""
    least = math.inf
    for trial in trials:
        if trial["complete"] and trial["loss"] is not None:
            least = min(least, trial["loss"])
            yield Point("trial_loss", trial["loss"], _nth(trial))
        if math.isfinite(least):
            yield Point("least_loss", least, _nth(trial))


def _key(family: str, study: str) -> str:
    return key_of("search", family=family, study=study)


def _tags(study: str, family: str, trials: Sequence[Trial]) -> dict[str, str]:
    return {
        KEY: _key(family, study),
        KIND: "search",
        "lockstep.study": study,
        "lockstep.family": family,
        "lockstep.trials": str(len(trials)),
        "lockstep.given_up": str(sum(not trial["complete"] for trial in trials)),
        "mlflow.source.name": f"lockstep tune {family}",
        "mlflow.source.type": "LOCAL",
        "mlflow.loggedArtifacts": json.dumps([{"path": TRIALS, "type": "table"}]),
    }


def _inputs(stage: Made) -> dict[str, str]:
    named = {"features": "data/features.parquet", "folds": "data/folds.parquet"}
    return {f"lockstep.{name}": stage.deps[path] for name, path in named.items()}


def _recorded(stage: Made) -> dict[str, str]:
    return {name: as_text(stage.params[name]) for name in ("problem", "seed") if name in stage.params}


def _nth(trial: Trial) -> int:
    """Return which trial it was, counted from 1, as the search tells it on the terminal."""
    return int(trial["number"]) + 1


def _settings(trial: Trial) -> dict[str, str]:
    return {name: as_text(value) for name, value in trial["settings"].items()}


def _note(family: str, trials: Sequence[Trial], best: Trial) -> str:
    given_up = sum(not trial["complete"] for trial in trials)
    return (
        f"Search of `{family}`: {len(trials)} trials, {given_up} of them given up. The least mean loss over the folds "
        f"is {_figure(best['loss'])}, of trial {_nth(best)}. Below this run stand the best "
        f"{min(len(trials), N_TRIAL_RUNS)} trials; `{TRIALS}` is the table of all.\n\n{_leaders(trials)}"
    )


def _figure(loss: float | None) -> str:
    return "not finite" if loss is None else f"{loss:.6g}"


def _leaders(trials: Sequence[Trial]) -> str:
    rows = [trial for trial in sorted(trials, key=_rank) if trial["complete"] and trial["loss"] is not None][:N_SHOWN]
    lines = [
        f"| {_nth(trial)} | {trial['loss']:.6g} | "
        f"{', '.join(f'{name} {as_text(value)}' for name, value in trial['settings'].items())} |"
        for trial in rows
    ]
    return "\n".join(["| trial | loss | settings |", "|---|---|---|", *lines]) if lines else ""

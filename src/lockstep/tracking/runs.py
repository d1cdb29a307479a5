"""Bring runs of MLflow to what they should hold, step by step, so that a kill at any point costs nothing.

A run carries the digest of what it is about (``lockstep.key``) from its creation on, and is finished last of all. What
is not finished is taken up where it was left: what is there stays, what is missing is added, nothing is logged twice.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockstep import alive
from lockstep.tracking.waiting import Clock
from lockstep.tracking.wanted import CONTENT, KEY, OWNER, Point, Run, Table

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as Found

PARENT = "mlflow.parentRunId"
MAY_CHANGE = ("lockstep.release", "lockstep.bento")
"""Tags that follow the files; all others stay as the first publisher of equal bytes set them."""
N_METRICS = 500
N_FOUND = 1000


class Runs:
    """The runs of one experiment; ``staging`` is a folder for files on their way."""

    def __init__(self, client: "MlflowClient", experiment: str, staging: Path, clock: Clock) -> None:
        self.client, self.experiment, self.staging, self._clock = client, experiment, staging, clock

    def find(self, run: Run) -> "Found | None":
        """Return the run that is this one: the finished one, else one that was left unfinished."""
        return _choose(run, self._search(f"tags.`{KEY}` = '{run.key}'"))

    def begin(self, run: Run, found: "Found | None", parent: str = "") -> "Found":
        """Return the run, made if there was none; from now on this process, or the run's own, is at work on it."""
        self._clock.check()
        tags = {**run.tags, OWNER: json.dumps((run.owner or alive.me()).as_json(), sort_keys=True)}
        if found is None:
            named = {**tags, **({PARENT: parent} if parent else {})}
            return self.client.create_run(self.experiment, start_time=run.began, tags=named, run_name=run.name)
        self._set_tags(found, tags)
        if run.owner and found.info.status != "RUNNING":
            self.client.update_run(found.info.run_id, "RUNNING")
        return found

    def fill(self, run: Run, begun: "Found", *, new: bool) -> None:
        """Log parameters, metrics, data sets and artifacts that are not there yet."""
        from mlflow.entities import Param

        identity = begun.info.run_id
        params = [Param(name, value) for name, value in run.params.items() if name not in begun.data.params]
        points = run.points if new else self._missing(identity, run.points)
        metrics = [_metric(point, begun.info.start_time) for point in points]
        if params or metrics:
            self.client.log_batch(identity, metrics=metrics[:N_METRICS], params=params)
        for start in range(N_METRICS, len(metrics), N_METRICS):
            self.client.log_batch(identity, metrics=metrics[start : start + N_METRICS])
        if run.tables:
            self.client.log_inputs(identity, datasets=[_dataset(table) for table in run.tables])
        if run.files:
            self.client.log_artifacts(identity, str(write(run.files, self.staging / "run")))

    def tie(self, identity: str, model: str, points: Sequence[Point]) -> None:
        """Name a model as what a run put out, with its scores, unless it is."""
        from mlflow.entities import LoggedModelOutput

        found = self.client.get_run(identity)
        metrics = [_metric(point, found.info.start_time, model) for point in points]
        self.client.log_batch(identity, metrics=metrics)
        outputs = found.outputs.model_outputs if found.outputs else []
        if model not in [output.model_id for output in outputs]:
            self.client.log_outputs(identity, [LoggedModelOutput(model, 0)])

    def finish(self, run: Run, identity: str) -> None:
        """Say that the run is whole; the last step of all."""
        self.client.set_terminated(identity, "FINISHED", run.ended)

    def put_trials(self, run: Run, parent: str, *, new: bool) -> None:
        """Bring the trials below a search to what they should hold."""
        there = [] if new else self._search(f"tags.`{PARENT}` = '{parent}'")
        for trial in run.trials:
            known = [found for found in there if found.data.tags.get(KEY) == trial.key]
            found = _choose(trial, known)
            if found is None or not is_whole(trial, found):
                begun = self.begin(trial, found, parent)
                self.fill(trial, begun, new=found is None)
                self.finish(trial, begun.info.run_id)

    def decorate(self, run: Run, found: "Found") -> list[str]:
        """Add the tags that a finished run lacks, such as the release that its predictor became since; say so."""
        if found.info.lifecycle_stage != "active":
            return []
        there = found.data.tags
        tags = {name: value for name, value in run.tags.items() if name in MAY_CHANGE or name not in there}
        return [f"tags of {run.name}"] if self._set_tags(found, tags) else []

    def close_dead(self) -> int:
        """Close what a process left behind that is gone; what another one is at work on stays as it is."""
        closed = 0
        for found in self._search("attributes.status = 'RUNNING'", deleted=False):
            owner = found.data.tags.get(OWNER)
            if owner and alive.is_dead(alive.read(json.loads(owner))):
                self.client.set_terminated(found.info.run_id, "KILLED")
                closed += 1
        return closed

    def _search(self, wanted: str, *, deleted: bool = True) -> "list[Found]":
        from mlflow.entities import ViewType

        view = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
        order = ["attributes.start_time ASC", "attributes.run_id ASC"]
        return list(self.client.search_runs([self.experiment], wanted, view, N_FOUND, order))

    def _set_tags(self, found: "Found", tags: dict[str, str]) -> int:
        from mlflow.entities import RunTag

        changed = {name: value for name, value in tags.items() if found.data.tags.get(name) != value}
        if changed:
            self.client.log_batch(found.info.run_id, tags=[RunTag(name, value) for name, value in changed.items()])
        return len(changed)

    def _missing(self, identity: str, points: Sequence[Point]) -> list[Point]:
        names = sorted({point.name for point in points})
        there = {(name, at.step) for name in names for at in self.client.get_metric_history(identity, name)}
        return [point for point in points if (point.name, point.step) not in there]


def is_whole(run: Run, found: "Found") -> bool:
    """Say whether nothing needs to be done; what a person deleted in MLflow stays deleted."""
    over = found.info.lifecycle_stage != "active" or found.info.status == "FINISHED"
    return bool(over and found.data.tags.get(CONTENT, "") == run.content)


def write(files: Any, folder: Path) -> Path:
    """Write files into a folder that is empty before."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _choose(run: Run, found: "Iterable[Found]") -> "Found | None":
    """Return the one to go on with, the oldest first; one that came out otherwise is another run."""
    known = list(found)
    whole = [one for one in known if is_whole(run, one)]
    begun = [one for one in known if _may_become(run, one)]
    return next(iter(whole + begun), None)


def _may_become(run: Run, found: "Found") -> bool:
    left = found.info.lifecycle_stage == "active" and found.info.status != "FINISHED"
    return bool(left) and found.data.tags.get(CONTENT, "") in ("", run.content)


def _metric(point: Point, start: int, model: str | None = None) -> Any:
    """Return a metric whose time follows from the run's, so that logging it again changes nothing."""
    from mlflow.entities import Metric

    return Metric(point.name, point.value, start + point.step, point.step, model_id=model)


def _dataset(table: Table) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    columns = [{"name": name, "type": kind, "required": False} for name, kind in table.columns]
    counts = {"num_rows": table.n_rows, "num_elements": table.n_rows * len(columns)} if table.n_rows is not None else {}
    return DatasetInput(
        Dataset(
            name=table.name,
            digest=table.digest,
            source_type="local",
            source=json.dumps({"uri": table.path}),
            schema=json.dumps({"mlflow_colspec": columns}) if columns else None,
            profile=json.dumps(counts) if counts else None,
        ),
        tags=[InputTag("mlflow.data.context", table.context)],
    )

"""Make MLflow show what the files say: do what is missing, in an order in which nothing half is taken for whole."""

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lockstep import bentos, params, plugins, project
from lockstep.errors import LockstepError, ProjectError, Unavailable
from lockstep.tracking import glance, made, registry, searches, store, views, winner
from lockstep.tracking.runs import Runs, is_whole
from lockstep.tracking.store import Store
from lockstep.tracking.waiting import AGAIN, Clock, hold
from lockstep.tracking.wanted import Model, Run, Wanted

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK, STAGING = "publish.lock", "publishing"
REQUEST_S, RETRIES = 10, 1
"""What one request to a server may take at most, and how often it is made again."""


@dataclass(frozen=True)
class Report:
    """What was published, and where."""

    store: Store
    done: tuple[str, ...] = ()
    """What was done, each in a few words."""
    n_there: int = 0
    """Searches and winners that should be there, and are."""

    def __str__(self) -> str:
        if self.done:
            return f"published to {self.store}: {', '.join(self.done)}"
        if self.n_there:
            return f"nothing new for {self.store}: what the {self.n_there} searches and winners hold is there"
        return "nothing to publish yet: no search is finished"


def publish(root: Path, seconds: float = 60.0) -> Report:
    """Bring MLflow up to what the stages wrote; twice changes nothing.

    One publisher at a time on a host. What fails or is killed is gone on with by the next.

    Raises
    ------
    LockstepError
        The store cannot be used, or not within ``seconds``.
    """
    clock = Clock(seconds)
    with hold(project.state(root) / LOCK, clock, "another publisher is at work"):
        wanted, found = read(root), store.find(root)
        if not wanted.runs and found.path and not found.path.exists():
            return Report(found)
        store.ready(root, clock.left)
        if glance.nothing_to_do(found, wanted):
            return Report(found, (), len(wanted.runs))
        store.reach(found, clock)
        while True:
            try:
                return _publish(root, found, wanted, clock)
            except LockstepError:
                raise
            except Exception as error:  # MLflow, and whoever answers in its place, may raise anything
                told = store.explain(error, found)
                if not (store.is_busy(error) and clock.left):
                    raise told from error


def read(root: Path) -> Wanted:
    """Return what should be in MLflow, by the files that are whole."""
    name, settings = str(bentos.settings(root)["name"]), params.load(root)
    stages = made.load(root)
    finished = searches.finished(root, settings.families, stages)
    run, model = winner.read(root, name, stages) or (None, None)
    found = [*finished, *searches.under_way(root, finished)]
    return Wanted(
        name,
        tuple(views.paint(run, settings.families) for run in found),
        views.paint(run, settings.families) if run else None,
        model,
        tuple(plugins.load("problems", settings.problem).METRICS),
    )


def _publish(root: Path, found: Store, wanted: Wanted, clock: Clock) -> Report:
    staging = project.state(root) / STAGING
    done: list[str] = []
    with _client(found, clock) as client:
        runs = Runs(client, _experiment(client, found, wanted), staging, clock)
        try:
            for run in wanted.searches:
                done += _put_search(runs, run)
            if wanted.winner and wanted.model:
                done += _put_winner(runs, wanted.winner, wanted.model, root)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        closed = runs.close_dead()
    return Report(found, (*done, *([f"{closed} left behind closed"] if closed else [])), len(wanted.runs))


def _put_search(runs: Runs, run: Run) -> list[str]:
    found = runs.find(run)
    if found is not None and is_whole(run, found):
        return runs.decorate(run, found)
    begun = runs.begin(run, found)
    runs.fill(run, begun, new=found is None)
    if run.owner:
        return [f"{run.name} so far ({run.tags['lockstep.trials']} trials)"]
    runs.put_trials(run, begun.info.run_id, new=found is None)
    runs.finish(run, begun.info.run_id)
    return [f"{run.name} ({run.tags['lockstep.trials']} trials)"]


def _put_winner(runs: Runs, run: Run, model: Model, root: Path) -> list[str]:
    found = runs.find(run)
    if found is not None and is_whole(run, found):
        version = registry.version_of(runs.client, model) if model.accepted else ""
        renamed = version and registry.challenge(runs.client, model, version)
        return [*runs.decorate(run, found), *([f"version {version} is the challenger"] if renamed else [])]
    begun = runs.begin(run, found)
    identity = begun.info.run_id
    runs.fill(run, begun, new=found is None)
    logged = registry.log(runs, identity, model, root)
    said = f"{run.name} (rejected)"
    if model.accepted:
        version = registry.register(runs.client, identity, logged, model)
        registry.challenge(runs.client, model, version)
        said = f"{run.name} (version {version}, the challenger)"
    runs.finish(run, identity)
    return [said]


def _experiment(client: "MlflowClient", found: Store, wanted: Wanted) -> str:
    """Return the identity of the project's experiment, made if there is none, its page set up."""
    from mlflow.exceptions import MlflowException

    known = client.get_experiment_by_name(wanted.project)
    if known is None:
        try:
            client.create_experiment(wanted.project, None if found.server else found.folder(wanted.project))
        except MlflowException as error:  # another host was faster
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        known = client.get_experiment_by_name(wanted.project)
    if known is None or not known.experiment_id:
        raise Unavailable(f"{found} must answer as an MLflow server does; it does not. When it does, {AGAIN}.")
    if known.lifecycle_stage == "deleted":
        raise ProjectError(
            f"the experiment {wanted.project!r} at {found} was deleted; restore it there, or give the project another "
            "name in bentofile.yaml."
        )
    identity = str(known.experiment_id)
    for name, value in views.tags(identity, wanted.scores).items():
        if name not in known.tags:
            client.set_experiment_tag(identity, name, value)
    return identity


@contextlib.contextmanager
def _client(found: Store, clock: Clock) -> "Iterator[MlflowClient]":
    """Give a client that gives up in time and prints nothing; put the settings of this process back after it."""
    before = dict(os.environ)
    os.environ |= {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(max(1, int(min(REQUEST_S, clock.left / 3)))),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(RETRIES),
        "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": str(max(1, int(clock.left))),
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_UV_AUTO_DETECT": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    try:
        mlflow.set_tracking_uri(found.uri)  # the registry's sqlite store asks for it, in the environment
        yield mlflow.MlflowClient(found.uri)
    finally:
        mlflow.set_tracking_uri(None)
        os.environ.clear()
        os.environ |= before

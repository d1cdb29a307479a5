"""Look into a sqlite store without MLflow, whose import takes seconds, and see whether all is there that should be.

A first look, never the authority: whatever it does not find, or cannot read, MLflow is asked for.
"""

import sqlite3
from contextlib import closing

from lockstep.tracking.runs import MAY_CHANGE
from lockstep.tracking.store import Store
from lockstep.tracking.views import PAGE, TRIALS, VIEW
from lockstep.tracking.wanted import ALIAS, CONTENT, KEY, OWNER, Model, Run, Wanted

RUNS = """
SELECT run.run_uuid, run.lifecycle_stage, run.status, content.value
FROM experiments AS experiment
JOIN runs AS run USING (experiment_id)
JOIN tags AS about ON about.run_uuid = run.run_uuid AND about.key = ?
LEFT JOIN tags AS content ON content.run_uuid = run.run_uuid AND content.key = ?
WHERE experiment.name = ? AND about.value = ?
"""
UNFINISHED = """
SELECT count(*) FROM experiments AS experiment
JOIN runs AS run USING (experiment_id)
JOIN tags AS owner ON owner.run_uuid = run.run_uuid AND owner.key = ?
WHERE experiment.name = ? AND run.status = 'RUNNING' AND run.lifecycle_stage = 'active'
"""
NAMED_OTHERWISE = """
SELECT count(*) FROM model_version_tags AS about
LEFT JOIN registered_model_aliases AS named
ON named.name = about.name AND named.alias = ? AND named.version = about.version
WHERE about.name = ? AND about.key = ? AND about.value = ? AND named.version IS NULL
"""

SHOWN = "SELECT max(experiment_id) FROM experiment_tags WHERE key = ?"


def page(store: Store) -> str:
    """Return the page that compares families and trials, below a server's address; empty where none is known."""
    if store.path is None or not store.path.exists():
        return ""
    try:
        with closing(sqlite3.connect(store.path)) as database:
            ((experiment,),) = database.execute(SHOWN, (VIEW + TRIALS,)).fetchall()
    except sqlite3.Error:
        return ""
    return f"/{PAGE.format(experiment=experiment, view=TRIALS)}" if experiment is not None else ""


def nothing_to_do(store: Store, wanted: Wanted) -> bool:
    """Say whether a sqlite store surely holds everything; False wherever it is not sure."""
    if store.path is None or any(run.owner for run in wanted.searches):
        return False
    try:
        with closing(sqlite3.connect(store.path)) as database:
            (unfinished,) = database.execute(UNFINISHED, (OWNER, wanted.project)).fetchone()
            return (
                not unfinished
                and all(_is_there(database, wanted.project, run) for run in wanted.runs)
                and not (wanted.model and wanted.model.accepted and _is_named_otherwise(database, wanted.model))
            )
    except sqlite3.Error:
        return False


def _is_there(database: sqlite3.Connection, project: str, run: Run) -> bool:
    for identity, stage, status, content in database.execute(RUNS, (KEY, CONTENT, project, run.key)):
        if content == run.content and stage != "active":
            return True
        if content == run.content and status == "FINISHED":
            tags = dict(database.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (identity,)))
            return all(tags.get(n) == v if n in MAY_CHANGE else n in tags for n, v in run.tags.items())
    return False


def _is_named_otherwise(database: sqlite3.Connection, model: Model) -> bool:
    """Say whether the model is registered, and the challenger is another."""
    (found,) = database.execute(NAMED_OTHERWISE, (ALIAS, model.name, KEY, model.key)).fetchone()
    return bool(found)

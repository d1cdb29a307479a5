"""Find the run that fitted a predictor in the project's own MLflow store, and the page that shows it.

Of a tracking server elsewhere nothing is asked. Imports neither MLflow nor anything else that is slow.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from lockstep import running
from lockstep.tracking import store

RUN = """
SELECT runs.run_uuid, runs.name, runs.experiment_id FROM runs JOIN tags USING (run_uuid)
WHERE tags.key = 'lockstep.predictor' AND tags.value = ? AND runs.lifecycle_stage = 'active'
ORDER BY runs.start_time DESC LIMIT 1
"""
PAGE = "{server}/#/experiments/{experiment}/runs/{run}"


def run(root: Path, predictor: str) -> dict[str, str | None] | None:
    """Return id (``run``), ``name`` and ``url`` of the winner's run, by the predictor's digest; None if none is known.

    There is a ``url`` while `lockstep up` runs MLflow's server.
    """
    place = store.find(root).path
    if place is None or not place.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{place.resolve().as_uri()}?mode=ro", uri=True)) as database:
            found = database.execute(RUN, (predictor,)).fetchone()
    except sqlite3.Error:
        return None
    if found is None:
        return None
    identity, name, experiment = found
    record = running.read(root)
    server = record.addresses.get("mlflow", "") if record else ""
    url = PAGE.format(server=server, experiment=experiment, run=identity) if server.startswith("http") else None
    return {"run": identity, "name": name, "url": url}

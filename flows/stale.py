"""Close the runs whose process was killed; Prefect itself shows them as running for ever.

Each run of this project notes its process in ``.lockstep/runs/``. A note whose process is gone is a run to close; a
run that lives, or of which nothing is known, is never touched.
"""

import json
import time
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from lockstep import alive, digest, project

FOLDER = "runs"
KEPT_S = 90 * 24 * 3600.0
"""How long a note is kept of a run that the servers asked so far do not know; another one may."""
MESSAGE = "its process was killed; what it finished is kept, and the next run goes on from there"


def note_run(root: Path, run: UUID) -> None:
    """Note that this process carries out a run; :func:`close` removes it, once the server knows that the run is over.

    The process itself cannot: its last word to the server comes after the flow's own code, and may not arrive.
    """
    digest.write_atomic(project.state(root) / FOLDER / f"{run}.json", digest.dump_json(alive.me().as_json()))


def close(root: Path) -> list[str]:
    """Set the runs of dead processes to Crashed unless they were over, their tasks too; return their names."""
    dead = [note for note in sorted((project.state(root) / FOLDER).glob("*.json")) if _is_dead(note)]
    if not dead:
        return []
    with get_client(sync_client=True) as client:
        return [name for note in dead if (name := _close(client, note))]


def _is_dead(note: Path) -> bool:
    try:
        return alive.is_dead(alive.read(json.loads(note.read_text("utf-8"))))
    except FileNotFoundError:  # its run ended meanwhile
        return False


def _close(client: SyncPrefectClient, note: Path) -> str:
    """Close one run; return its name, empty where it was over, or this server does not know it."""
    run, closed = UUID(note.stem), ""
    try:
        found = client.read_flow_run(run)
    except ObjectNotFound:
        if note.exists() and time.time() - note.stat().st_mtime > KEPT_S:
            note.unlink(missing_ok=True)
        return ""
    if found.state is None or not found.state.is_final():
        for task in client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run]))):
            if task.state is None or not task.state.is_final():
                client.set_task_run_state(task.id, Crashed(message=MESSAGE), force=True)
        client.set_flow_run_state(run, Crashed(message=MESSAGE), force=True)
        closed = found.name
    note.unlink(missing_ok=True)
    return closed

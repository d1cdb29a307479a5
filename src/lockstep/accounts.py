"""Account for a stage while it runs and after: the ledger, and MLflow.

Nothing here can change what the stage makes, so no stage depends on it; and no fault of it costs a stage's work.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from lockstep import digest, graph, ledger, publishing
from lockstep.errors import LockstepError

SEARCH, AFTER_SEARCH, LAST = "tune", "fit", "package"
EVERY_S = 60.0
"""A search that takes longer is shown as it goes."""
AT_MOST_S = 12.0
"""What the line may take longer because of MLflow, in all."""


@contextlib.contextmanager
def of(root: Path, name: str) -> Iterator[None]:
    """Enter the stage that runs within into the ledger if it ends well; publish what there is to show."""
    began, clock = datetime.now(UTC), time.monotonic()
    kind = name.partition("@")[0]
    try:
        with _shown_as_it_goes(root) if kind == SEARCH else contextlib.nullcontext():
            yield
    except LockstepError:
        if kind == LAST:  # a gate rejected what was made
            print(publishing.best_effort(root, AT_MOST_S), flush=True)
        raise
    _enter(root, name, began, time.monotonic() - clock)
    if kind == LAST or (kind == AFTER_SEARCH and (_was_shown(root) or _is_packaged(root))):
        print(publishing.best_effort(root, AT_MOST_S), flush=True)


def _was_shown(root: Path) -> bool:
    """Say whether a search was shown as it went, and has to be shown as over, whatever comes of the line."""
    searches = [stage.name for stage in graph.load(root) if stage.name.startswith(f"{SEARCH}@")]
    try:
        entries = [ledger.current(root, name) for name in searches]
    except LockstepError:  # a damaged entry
        return True
    return any(entry and entry["seconds"] > EVERY_S for entry in entries)


def _is_packaged(root: Path) -> bool:
    """Say whether what was fitted is what was packaged before, so that the line ends here."""
    try:
        packaged = digest.read_object(root / "models" / "bento.json").get("predictor")
        return bool(packaged == digest.of_file(root / "models" / "predictor" / digest.MANIFEST))
    except (OSError, LockstepError):
        return False


def _enter(root: Path, name: str, began: datetime, seconds: float) -> None:
    try:
        ledger.write(root, name, began, seconds)
    except (OSError, LockstepError) as error:
        print(f"lockstep {name}: the ledger could not be written: {error}", file=sys.stderr)


@contextlib.contextmanager
def _shown_as_it_goes(root: Path) -> Iterator[None]:
    over = threading.Event()
    shower = threading.Thread(target=_show, args=(root, over), daemon=True)
    shower.start()
    try:
        yield
    finally:
        over.set()
        shower.join()


def _show(root: Path, over: threading.Event) -> None:
    """Publish once a minute until the search is over; after two failures in a row no more."""
    failures = 0
    while failures < 2 and not over.wait(EVERY_S):
        failures = 0 if publishing.best_effort(root, AT_MOST_S, over.is_set).went_well else failures + 1

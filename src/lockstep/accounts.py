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

from lockstep import ledger, publishing

SEARCH, LAST = "tune", "package"
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
        _enter(root, name, began, time.monotonic() - clock)
    finally:
        if kind == LAST:  # also where a gate rejected what was made
            print(publishing.best_effort(root, AT_MOST_S), flush=True)


def _enter(root: Path, name: str, began: datetime, seconds: float) -> None:
    try:
        ledger.write(root, name, began, seconds)
    except OSError as error:
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
    """Publish once a minute until the search is over; after a failure no more, for it would fail again."""
    while not over.wait(EVERY_S):
        if not publishing.best_effort(root, AT_MOST_S, over.is_set).went_well:
            return

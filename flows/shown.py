"""Show what a stage found in the Prefect UI. A server that is gone costs what is shown, never the stage."""

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.exceptions import PrefectException

from lockstep import alive, journal
from lockstep.report import cards

REFRESH_S = 10.0
REST_S = 60.0
_rest_until = 0.0


def briefly() -> None:
    """Have Prefect tell of a server that is gone in one line, without tracebacks, nor a line for each lost event."""
    logging.raiseExceptions = False  # else every batch of log lines that cannot be sent is told
    for name in ("prefect.flow_runs", "prefect.task_runs", "prefect.events.clients", "prefect._internal.concurrency"):
        logging.getLogger(name).addFilter(_is_wanted)


def _is_wanted(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], httpx.HTTPError):
        record.exc_info = record.exc_text = None
    if record.name == "prefect.task_runs":  # of stages that wait for a failed one Prefect names but a number
        return "NotReady" not in record.getMessage()
    return record.name == "prefect.flow_runs"


def leave_without_server(error: Exception) -> NoReturn:
    """Say that the server is gone, and end at once; Prefect would try for minutes to send what it could not."""
    why = f"{type(error).__name__}: {error}"
    print(f"lockstep flow: the Prefect server does not answer ({why}); what finished is kept", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def reports(root: Path, outs: tuple[str, ...]) -> None:
    """Show the reports among a stage's outs."""
    _show(cards.of(root, outs))


def progress(root: Path) -> Callable[[], None]:
    """Return what shows, now and then, how far the searches are that run."""
    shown = [time.monotonic()]

    def show() -> None:
        if time.monotonic() - shown[0] > REFRESH_S:
            shown[0] = time.monotonic()
            if searches := _searches(root):
                _show({"leaderboard": cards.progress(searches)})

    return show


def _searches(root: Path) -> list[cards.Progress]:
    """Return the searches of this project whose process lives."""
    return [
        cards.Progress(study.family, len(study.trials), study.wanted, best)
        for study in journal.studies(root)
        if not alive.is_dead(study.owner)
        for best in [min((trial.loss for trial in study.trials if trial.complete), default=None)]
    ]


def _show(texts: dict[str, str]) -> None:
    """Show texts; where the server did not answer a moment ago it is not asked again, for each time costs seconds."""
    global _rest_until
    for key, text in texts.items() if time.monotonic() > _rest_until else ():
        try:
            create_markdown_artifact(text, key=key)
        except (httpx.HTTPError, PrefectException) as error:
            get_run_logger().warning("artifact %s could not be shown: %s", key, type(error).__name__)
            _rest_until = time.monotonic() + REST_S
            return

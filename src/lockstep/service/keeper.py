"""Mind circus, which keeps the worker for ``bentoml serve``: it takes orders from nobody, and an end for an end."""

import itertools
from typing import Any

import psutil
from bentoml._internal.utils import circus
from circus.sighandler import SysHandler

INSIDE = {"endpoint": "inproc://control", "pubsub_endpoint": "inproc://events"}


class Arbiter(circus.Arbiter):  # type: ignore[misc]
    """Keep workers; listen to nobody.

    As BentoML starts it, circus listens on a port of the loopback, by which every user of the machine could have it
    run commands. Only what ``bentoml serve --reload`` starts beside it needs that.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{**settings, **({} if settings.get("plugins") else INSIDE)})


def mind() -> None:
    """Have ``bentoml serve`` keep its workers by this arbiter, and pass every signal to end on to them.

    The first signal is circus' own affair; further ones it would drop, since it waits for the workers.
    """
    stop, asked = SysHandler.quit, itertools.count()

    def stop_once_more(handler: SysHandler) -> None:
        stop(handler)
        for worker in psutil.Process().children() if next(asked) else ():
            worker.terminate()

    SysHandler.quit, circus.Arbiter = stop_once_more, Arbiter

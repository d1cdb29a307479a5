"""Wait for what a server needs, then become it: ``python -m lockstep.serve live PORT``, or ``tracking PORT``.

`lockstep up` has its supervisor run this; a process that becomes another keeps its number and its end with its parent.
"""

import os
import sys
import time
from pathlib import Path

from lockstep import project
from lockstep.errors import LockstepError
from lockstep.ports import LOOPBACK
from lockstep.service.released import LIVE
from lockstep.tracking import store

LOOK_EVERY_S = 1.0


def live(root: Path) -> list[str]:
    """Wait until something is live; return BentoML's words, whose service follows ``.lockstep/live.json``."""
    while not (project.state(root) / LIVE).exists():
        time.sleep(LOOK_EVERY_S)
    return ["bentoml", "serve"]


def tracking(root: Path) -> list[str]:
    """Make MLflow's store if there is none; return the words of its server.

    Raises
    ------
    LockstepError
        It cannot be made or used.
    """
    store.ready(root)
    return ["mlflow", "server", "--workers", "1"]


def main(what: str, port: str) -> None:
    """Become a server on a port of the loopback."""
    try:
        words = {"live": live, "tracking": tracking}[what](project.find())
    except LockstepError as error:
        sys.exit(str(error))
    os.execv(sys.executable, [sys.executable, "-m", *words, "--host", LOOPBACK, "--port", port])


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Wait for what a server needs, then run it: ``python -m lockstep.serve live PORT``, or ``tracking PORT``.

`lockstep up` has its supervisor run this. The service stays below this process, which starts it anew where something
else goes live; supervisord, restarting it, would count each of a few promotions in a row as a failed start.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from lockstep import project
from lockstep.errors import IntegrityError, LockstepError
from lockstep.ports import LOOPBACK
from lockstep.service import released
from lockstep.tracking import store

LOOK_EVERY_S = 1.0
END_WITHIN_S = 8.0
"""Less than supervisord gives this process."""


def live(root: Path, port: str) -> int:
    """Serve what is live, once something is, and anew where something else is; return how the service ended itself."""
    state = project.state(root)
    while True:
        while not (state / released.LIVE).exists():
            time.sleep(LOOK_EVERY_S)
        served = tag(state)  # before the start, as the service reads the pointer but once, some time after it
        service = subprocess.Popen(_python("bentoml", "serve", port=port))
        try:
            while tag(state) in ("", served):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return service.wait(LOOK_EVERY_S)
        finally:
            _end(service)


def tag(state: Path) -> str:
    """Return the tag of what is live; empty where nothing is, or nothing that can be read."""
    with contextlib.suppress(IntegrityError):
        pointer = released.read_pointer(state / released.LIVE)
        return pointer.bento if pointer else ""
    return ""


def _end(service: "subprocess.Popen[bytes]") -> None:
    service.terminate()
    try:
        service.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        service.kill()
        service.wait()


def _python(*words: str, port: str) -> list[str]:
    return [sys.executable, "-m", *words, "--host", LOOPBACK, "--port", port]


def main(what: str, port: str) -> None:
    """Keep the service on a port of the loopback, or make MLflow's store if there is none and become its server."""
    root = project.find()
    if what == "live":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        status = live(root, port)
        if status < 0:
            os.kill(os.getpid(), -status)  # so that what ended it is said
        sys.exit(status)
    try:
        store.ready(root)
    except LockstepError as error:
        sys.exit(str(error))
    os.execv(sys.executable, _python("mlflow", "server", "--workers", "1", port=port))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Give a run that has no Prefect server one of its own, for as long as it lasts."""

import signal

from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL


def start_server() -> None:
    """Start the server that Prefect would start by itself, but deaf to the Ctrl-C that its terminal sends to all.

    The run is what ends by it, and has to tell the server so.
    """
    if PREFECT_API_URL.value():
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which the server inherits
    try:
        SubprocessASGIServer().start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

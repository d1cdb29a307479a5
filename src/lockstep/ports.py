"""Say who has a port of this machine, and find free ones."""

import errno
import os
import socket
from collections.abc import Collection, Mapping

import psutil

from lockstep.errors import Unavailable

LOOPBACK = "127.0.0.1"
LAST = 65_535
IN_THE_WAY = {"0.0.0.0", "::", "::1", LOOPBACK, f"::ffff:{LOOPBACK}"}
"""Addresses at which a listener keeps others from the port on the loopback."""


def is_free(port: int) -> bool:
    """Say whether a server could listen on ``port`` of the loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what a dead server left is no hindrance
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            return False
    return True


def holder(port: int) -> str:
    """Return who listens on a taken port: process and program, as far as it can be seen.

    Of the program only its name and what it runs are told; other words of a command line may hold a password.
    """
    pid = _listener(port)
    if pid is None:
        return "a process of another user"
    try:
        process = psutil.Process(pid)
        return f"process {pid}, {_program(process.cmdline()) or process.name()}"
    except psutil.Error:
        return f"process {pid}"


def next_free(port: int, others: Collection[int] = ()) -> int:
    """Return the first free port from ``port`` on that is none of ``others``.

    Raises
    ------
    Unavailable
        There is none.
    """
    for candidate in range(port, LAST + 1):
        if candidate not in others and is_free(candidate):
            return candidate
    raise Unavailable(f"no port from {port} on is free; end what you do not need.")


def choose(wanted: Mapping[str, int]) -> dict[str, int]:
    """Return a port for each name: the wanted one, or the next that is free and that no other name has or wants."""
    chosen: dict[str, int] = {}
    for name, port in wanted.items():
        chosen[name] = next_free(port, {*chosen.values(), *wanted.values()} - ({port} - {*chosen.values()}))
    return chosen


def _listener(port: int) -> int | None:
    try:
        listening = [
            one
            for one in psutil.net_connections("tcp")
            if one.status == psutil.CONN_LISTEN and one.laddr.port == port and one.laddr.ip in IN_THE_WAY
        ]
    except psutil.AccessDenied:  # macOS tells it to root alone
        return None
    return next((one.pid for one in listening if one.pid is not None), None)


def _program(words: list[str]) -> str:
    """Return a command's program and the module or script that it runs.

    >>> _program(["/usr/bin/python3", "-m", "http.server", "--token=abc", "4200"])
    'python3 -m http.server'
    >>> _program(["mysqld", "-psecret"])
    'mysqld'
    """
    program, *rest = words or [""]
    said = [os.path.basename(program)]  # noqa: PTH119
    if rest[:1] == ["-m"]:
        said += rest[:2]
    elif rest and not rest[0].startswith("-"):
        said.append(rest[0])
    return " ".join(said)

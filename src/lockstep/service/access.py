"""Decide who may ask: the loopback by default, other addresses with a token alone.

The token comes from ``LOCKSTEP_TOKEN``, or from the file that ``LOCKSTEP_TOKEN_FILE`` names, which its owner alone may
read. It is compared in constant time and stands in no message.
"""

import functools
import hmac
import ipaddress
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lockstep.errors import AccessError
from lockstep.service import page
from lockstep.service.body import RefusedError

TOKEN, TOKEN_FILE = "LOCKSTEP_TOKEN", "LOCKSTEP_TOKEN_FILE"
LOOPBACK = "127.0.0.1"
MIN_LENGTH = 16
OPEN = frozenset({"/healthz", "/livez", "/readyz", *page.FILES})
"""What needs no token: probes, and the page, which holds nothing of the model."""

Header = tuple[bytes, bytes]


def token() -> bytes | None:
    """Return the token that a request must bring, or None where none is set.

    Raises
    ------
    AccessError
        Both variables are set, the file cannot be read or others may read it, or the token is too short to be one.
    """
    value, path = os.environ.get(TOKEN), os.environ.get(TOKEN_FILE)
    if value is None and path is None:
        return None
    if value is not None and path is not None:
        raise AccessError(f"one of {TOKEN} and {TOKEN_FILE} may be set; found both.")
    found = (value if path is None else _read(Path(path))) or ""
    if len(found) < MIN_LENGTH or not (found.isascii() and found.isprintable()) or " " in found:
        raise AccessError(
            f"the token in {TOKEN if path is None else path} must be at least {MIN_LENGTH} printable ASCII characters "
            "without spaces; make one with `openssl rand -hex 32`."
        )
    return found.encode()


def check_host(host: str, wanted: bytes | None) -> None:
    """Refuse to listen beyond the loopback without a token.

    Raises
    ------
    AccessError
        ``host`` is another address and no token is set.
    """
    if wanted is None and not is_loopback(host):
        raise AccessError(
            f"the service may listen on {host} only with a token; set {TOKEN}, or {TOKEN_FILE} to a file of mode 0600."
        )


def is_loopback(host: str) -> bool:
    """Say whether an address reaches this machine alone; a name counts as one that does not, but for localhost."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check(scope: Mapping[str, Any], wanted: bytes | None) -> None:
    """Let a request pass, or refuse it.

    Raises
    ------
    RefusedError
        401 without the token, where there is one; where there is none, 403 for an address or a host name that is not
        the loopback's, as of a page elsewhere whose name was made to point here.
    """
    headers = scope["headers"]
    if wanted is not None:
        if not allows(headers, wanted):
            raise RefusedError(401, {"error": "not allowed."}, ((b"www-authenticate", b"Bearer"),))
    elif not (_is_local(scope["server"][0]) and all(_is_local_name(v) for name, v in headers if name == b"host")):
        raise RefusedError(403, {"error": "without a token the service answers on the loopback alone, by its name."})


def allows(headers: Iterable[Header], wanted: bytes) -> bool:
    """Say whether a request brings the token, once, as ``Authorization: Bearer TOKEN``."""
    given = [value for name, value in headers if name == b"authorization"]
    if len(given) != 1:
        return False
    scheme, _, brought = given[0].partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(brought.strip(), wanted)


@functools.lru_cache(maxsize=64)
def _is_local(host: str) -> bool:
    return is_loopback(host)


@functools.lru_cache(maxsize=64)
def _is_local_name(value: bytes) -> bool:
    """Say whether a Host header names the loopback, with a port or without."""
    name = value.decode("latin-1")
    found = re.fullmatch(r"(\[[^]]*\]|[^:]*)(:\d*)?", name)
    return found is not None and is_loopback(found[1].strip("[]").lower())


def _read(path: Path) -> str:
    try:
        with path.open(encoding="ascii") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AccessError(
            f"{TOKEN_FILE} must name a file that holds the token; {path}: {type(error).__name__}."
        ) from None
    if mode & 0o077:
        raise AccessError(f"{path} must be readable for its owner alone, mode 0600; found {mode:04o}.")
    return content

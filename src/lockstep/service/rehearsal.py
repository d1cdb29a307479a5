"""Load a release in a child process first, where a model that crashes its library harms nobody."""

import re
import signal
import subprocess
import sys
from pathlib import Path

from lockstep.errors import IntegrityError
from lockstep.service.released import Found

WITHIN_S = 60.0
CHILD = f"""
import signal, sys
signal.alarm({WITHIN_S + 5:.0f})  # whoever started it may be gone
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from lockstep.service import released
folder = Path(sys.argv[2])
released.load(released.Found(released.read_identity(folder), folder))
"""
OURS = re.compile(r"lockstep\.errors\.\w+: (.*)")


def rehearse(found: Found, source: Path) -> None:
    """Have a child of its own load a verified release and answer the golden rows, by the code below ``source``.

    Raises
    ------
    IntegrityError
        It answered otherwise, refused, crashed, or took longer than a minute.
    """
    command = [sys.executable, "-c", CHILD, str(source), str(found.folder)]
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=WITHIN_S
        )
    except subprocess.TimeoutExpired:
        raise IntegrityError(f"release {found.identity.tag} must load within {WITHIN_S:g} s; it did not.") from None
    if ended.returncode:
        raise IntegrityError(f"release {found.identity.tag} cannot be served: {_reason(ended)}")


def _reason(ended: "subprocess.CompletedProcess[str]") -> str:
    last = (ended.stderr.strip().splitlines() or ["it wrote nothing."])[-1]
    ours = OURS.match(last)
    if ours:
        return ours[1]
    if ended.returncode < 0:
        return f"loading it ended the process by {signal.Signals(-ended.returncode).name}."
    return last

"""Every error that Lockstep raises, in one tree.

    LockstepError
    ├── ParamsError (ValueError)        params.yaml says something impossible
    ├── UnknownName (LookupError)       a plugin, column or stage that does not exist
    ├── ProjectError                    not a project, or not its environment
    ├── SourceError (ValueError)        the table cannot be read, or changed behind the lock
    ├── ContractError (ValueError)      expectations/rows.json itself is wrong
    ├── Breach (ValueError)             a table breaks the contract
    ├── SplitError (ValueError)         the rows cannot be divided as asked
    ├── LeakError (ValueError)          a column gives the target away
    ├── FeatureError (ValueError)       src/features.py breaks its promise
    ├── FitError (ValueError)           nothing can be learned from these rows
    ├── IntegrityError                  bytes are not those that were recorded
    ├── Rejected                        a gate said no
    ├── ReleaseError                    building, verifying or promoting failed
    ├── AccessError                     who may ask is not settled safely
    ├── StageFailed                     a stage ended with an error; what it said last
    └── Unavailable                     something that may be there again in a while

An error is one line: where, what must hold and what was found, what to do.
"""

import difflib
import errno
import os
import re
import shutil
from collections.abc import Iterable

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}


MAY_PASS = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.EINTR,
    errno.EIO,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
PASSING = 75
"""Exit status of a stage whose error may pass: EX_TEMPFAIL of sysexits.h."""


class LockstepError(Exception):
    """Stop the line with one line that a person can act on."""


class ParamsError(LockstepError, ValueError):
    """Refuse a key or a value of params.yaml."""


class UnknownName(LockstepError, LookupError):
    """Refuse a name that is not among those known."""


class ProjectError(LockstepError):
    """Refuse to work outside a project or outside its environment."""


class SourceError(LockstepError, ValueError):
    """Refuse a table that cannot be read or is not the locked one."""


class ContractError(LockstepError, ValueError):
    """Refuse a contract that contradicts itself or cannot be checked."""


class Breach(LockstepError, ValueError):
    """Stop because a table breaks the contract."""


class SplitError(LockstepError, ValueError):
    """Refuse a division of rows that cannot be made."""


class LeakError(LockstepError, ValueError):
    """Stop because a column or a group gives the target away."""


class FeatureError(LockstepError, ValueError):
    """Refuse a feature that is not a pure function of its own row."""


class FitError(LockstepError, ValueError):
    """Refuse to learn where nothing can be learned."""


class IntegrityError(LockstepError):
    """Refuse bytes that are not those recorded."""


class Rejected(LockstepError):
    """Refuse to package what a gate rejected."""


class ReleaseError(LockstepError):
    """Report that building, verifying or promoting a release failed."""


class AccessError(LockstepError):
    """Refuse to serve where anybody could ask."""


class StageFailed(LockstepError):
    """Report that a stage failed, in its own last words; ``passing`` says whether trying again can help."""

    def __init__(self, line: str, *, passing: bool = False) -> None:
        super().__init__(line)
        self.passing = passing


class Unavailable(LockstepError):
    """Report that something is not there at the moment; trying again may help."""


def expected_one_of(name: str, known: Iterable[str]) -> str:
    """Return the second half of an error on a misspelt name: the list, and the near match.

    >>> expected_one_of("rigde", ["ridge", "xgboost"])
    "expected one of ['ridge', 'xgboost']. Did you mean 'ridge'?"
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    return f"expected one of {names}.{guess}"


def explain(error: OSError) -> str:
    """Return what the system refused as one line; empty where it does not say.

    >>> explain(OSError(28, "written nothing", "data/raw.parquet"))
    'No space left on device: data/raw.parquet. Make room (`dvc gc -w` drops old outs), and run again.'
    """
    number, where = error.errno, error.filename2 or error.filename  # of a copy, the file that is written
    if isinstance(error, shutil.Error):  # many in one: the first of them, which is text
        _, where, said = error.args[0][0]
        number = int(found[1]) if (found := re.match(r"\[Errno (\d+)\]", said)) else None
    if number is None:
        return ""
    cure = "Mend its owner or its mode" if number in NOT_ALLOWED else "Mend that"
    cure = "Make room (`dvc gc -w` drops old outs)" if number in NO_ROOM else cure
    return f"{os.strerror(number)}: {where or 'a file of the project'}. {cure}, and run again."


def may_pass(error: OSError) -> bool:
    """Say whether trying again can help: a network, a device or another process was in the way.

    >>> may_pass(TimeoutError(110, "timed out")), may_pass(OSError(28, "full"))
    (True, False)
    """
    return error.errno in MAY_PASS

"""Turn the recorded inputs of a prediction into the row that was asked, private values among them."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from lockstep import project
from lockstep.contract import Contract
from lockstep.errors import IntegrityError, SourceError
from lockstep.service import record

EXACT = 2**53
"""Below it a whole number is the same as an integer and as a float."""


def folder(root: Path) -> Path:
    """Return where the service of a project records its predictions."""
    return Path(os.environ.get("LOCKSTEP_PREDICTIONS") or project.state(root) / "predictions")


def read_row(path: Path) -> dict[str, Any]:
    """Return the row that a file holds, as ``--row`` names one: a JSON object.

    Raises
    ------
    SourceError
        It holds something else.
    """
    try:
        found = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise SourceError(f"--row {path} must hold the row as one JSON object; {error}.") from None
    if not isinstance(found, dict):
        raise SourceError(f"--row {path} must hold the row as one JSON object; it holds a {type(found).__name__}.")
    return found


def row(
    folder: Path, asked: Mapping[str, Any], contract: Contract, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the row of a recorded prediction as the request brought it.

    Values of private columns are recorded as keyed hashes; ``given`` must bring them, and whatever it brings must be
    what was asked. A missing value is known by its hash alone.

    Parameters
    ----------
    folder
        Where predictions are recorded; the key of the hashes lies there.
    asked
        The recorded line.
    contract
        That of the release which answered.
    given
        The row, or its private values, from whoever knows it.

    Raises
    ------
    IntegrityError
        A private value is not known, the key is gone, or ``given`` is another row.
    """
    inputs = dict(asked["inputs"])
    hashed = [name for name in inputs if contract.columns[name].private]
    known = given or {}
    _refuse_others(inputs, hashed, contract, known)
    if not hashed:
        return inputs
    hash_of = _hasher(folder, hashed)
    lacking = [name for name in hashed if name not in known and hash_of(None) != inputs[name]]
    if lacking:
        raise IntegrityError(
            f"prediction {asked['id']}: the link is broken at private columns {lacking}, of which only hashes are "
            "recorded; give the row by --row FILE, a JSON object."
        )
    return {**inputs, **{name: _unhashed(name, known.get(name), inputs[name], hash_of) for name in hashed}}


def _refuse_others(inputs: Mapping[str, Any], hashed: list[str], contract: Contract, given: Mapping[str, Any]) -> None:
    """Refuse a given row that differs from the recorded one in what is recorded as it was."""
    for name, value in given.items():
        column = contract.columns.get(name)
        if name in hashed or (column is not None and column.role == "ignored"):
            continue
        recorded = inputs.get(name)
        if not any(type(one) is type(recorded) and one == recorded for one in _spellings(value)):
            was, is_now = orjson.dumps(recorded).decode(), orjson.dumps(value).decode()
            raise IntegrityError(
                f"--row: {name!r} must be {was}, as it was asked; it is {is_now}. Give the row of this prediction."
            )


def _hasher(folder: Path, hashed: list[str]) -> Callable[[Any], str]:
    if not (folder / record.KEY).is_file():  # a new one would be made, and would fit nothing
        raise IntegrityError(
            f"the link is broken at private columns {hashed}: the key of their hashes, {folder / record.KEY}, is gone."
        )
    return record.hasher(folder)


def _unhashed(name: str, value: Any, recorded: str, hash_of: Callable[[Any], str]) -> Any:
    for one in _spellings(value):
        if hash_of(one) == recorded:
            return one
    raise IntegrityError(
        f"--row: {name!r} must be the value that was asked; its hash is another. Give the row of this prediction."
    )


def _spellings(value: Any) -> Iterator[Any]:
    """Yield a JSON value, and the same number as Python's other kind: 12 and 12.0 are one number in JSON."""
    yield value
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        yield int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield float(value)

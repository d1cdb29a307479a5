"""Turn the JSON rows of a request into values, by the same contract that gated the training data.

A request is already typed: JSON numbers, strings, booleans, null for missing; dates as ``2024-01-31`` or
``2024-01-31T13:45:00`` (UTC, no offset). A number in quotes is refused. Imports nothing heavy.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from lockstep.contract.model import Column, Contract
from lockstep.contract.rules import Row, Value, row_checks

ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)?")
FOUND_LENGTH = 64
MAX_STRANGERS = 50
"""Unknown fields of a row that are named; a request may hold a hundred thousand."""


class Fault(NamedTuple):
    """Why a row is refused, or what is unusual about it."""

    field: str
    rule: str
    found: str
    """At most 64 characters, printable."""


class Checked(NamedTuple):
    """One row, looked at."""

    values: Row
    """Typed values of every input; meaningful where there are no faults."""
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]


class Door:
    """The request door of a contract: JSON rows in, typed rows or faults out."""

    def __init__(self, contract: Contract) -> None:
        self.columns = {
            name: column for name, column in contract.columns.items() if column.role not in ("target", "ignored")
        }
        self.inputs = contract.inputs
        self._ignored = {name for name, column in contract.columns.items() if column.role == "ignored"}
        self._target = contract.target
        self._typed = {name: _reader(column) for name, column in self.columns.items()}
        self._checks = row_checks(contract, set(self.columns))
        self._optional = {name for name, column in self.columns.items() if not column.is_input}

    def check(self, row: Mapping[str, Any]) -> Checked:
        """Type and judge one row.

        A field that is absent counts as missing; one that the contract does not know is a fault.
        """
        values: dict[str, Value] = dict.fromkeys(self.columns)
        faults: list[Fault] = []
        for name, given in row.items():
            read = self._typed.get(name)
            if read is None:
                if name not in self._ignored and len(faults) < MAX_STRANGERS:
                    faults.append(self._stranger(name, given))
                continue
            if given is None:
                continue
            values[name], wrong = read(given)
            if wrong:
                faults.append(Fault(name, wrong, shown(given)))
        unread = {fault.field for fault in faults} if faults else None
        warnings: list[Fault] = []
        for rule, holds in self._checks:
            if holds(values):
                continue
            first = rule.columns[0]
            if unread and not unread.isdisjoint(rule.columns):
                continue
            if values[first] is not None or first not in self._optional:
                fault = Fault(first, rule.name, shown(values[first]))
                (warnings if rule.severity == "info" else faults).append(fault)
        return Checked(values, tuple(faults), tuple(warnings))

    def _stranger(self, name: str, given: Any) -> Fault:
        rule = "the target may not be sent" if name == self._target else "unknown field"
        return Fault(shown(name), rule, shown(given))


def shown(value: Any) -> str:
    """Return ``value`` as at most 64 printable characters."""
    try:
        text = value.isoformat() if isinstance(value, datetime) else str(value)
    except (ValueError, RecursionError):  # more digits, or deeper, than Python agrees to write
        text = f"{type(value).__name__} too large to show"
    return "null" if value is None else clean(text[:FOUND_LENGTH])


def clean(text: str) -> str:
    """Return ``text`` with a question mark for every character that cannot be printed."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)


def _reader(column: Column) -> Callable[[Any], tuple[Value, str]]:
    """Return a function from a JSON value to (typed value, fault); the fault is empty where it could be read."""
    match column.kind:
        case "number":
            return _number
        case "boolean":
            return _boolean
        case "date":
            return _date
    missing = frozenset(column.missing)

    def text(given: Any) -> tuple[Value, str]:
        if not isinstance(given, str):
            return None, "must be a string"
        value = given.strip()
        return (None if value in missing else value), ""

    return text


def _number(given: Any) -> tuple[Value, str]:
    kind = type(given)  # JSON has no subclasses, and bool is one of int
    if kind is not float and kind is not int:
        return None, "must be a number"
    try:
        value = float(given)
    except OverflowError:
        return None, "must be a finite number"
    return (value, "") if math.isfinite(value) else (None, "must be a finite number")


def _boolean(given: Any) -> tuple[Value, str]:
    return (float(given), "") if isinstance(given, bool) else (None, "must be true or false")


def _date(given: Any) -> tuple[Value, str]:
    if isinstance(given, str) and ISO.fullmatch(given):
        try:
            return datetime.fromisoformat(given), ""
        except ValueError:
            pass
    return None, "must be a date like 2024-01-31 or 2024-01-31T13:45:00"

"""Check one row against the rules, without Great Expectations and without a frame.

A row is a mapping of column names to typed values: ``float`` for numbers and booleans, ``str`` for categories and
texts, a naive ``datetime`` for dates, ``None`` for missing. Each check gives what Great Expectations gives for the
same rule on a table, which a test holds for every type; like there, a missing value breaks no rule but not-null.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from lockstep.contract.model import FILE, NOT_NULL, Column, Contract, Rule
from lockstep.errors import ContractError

Value = float | str | datetime | None
Row = Mapping[str, Value]
Check = Callable[[Row], bool]


def compile_rule(rule: Rule, columns: Mapping[str, Column]) -> Check:
    """Return a function that says whether a row keeps ``rule``.

    Raises
    ------
    ContractError
        The rule's arguments cannot be used: a bad regular expression, a bound that is no date.
    """
    if rule.type == NOT_NULL:
        return lambda row, name=rule.columns[0]: row[name] is not None  # type: ignore[misc]
    if "column_A" in rule.kwargs:
        return _pair(rule)
    name, holds = rule.columns[0], _on_value(rule, columns[rule.columns[0]])
    return lambda row: row[name] is None or holds(row[name])


def row_checks(contract: Contract, names: set[str]) -> list[tuple[Rule, Check]]:
    """Return the rules that read only columns among ``names``, compiled, in the contract's order."""
    return [
        (rule, compile_rule(rule, contract.columns)) for rule in contract.row_rules if names.issuperset(rule.columns)
    ]


def _on_value(rule: Rule, column: Column) -> Callable[[Any], bool]:
    kwargs = rule.kwargs
    match rule.type:
        case "expect_column_values_to_be_between":
            return _between(kwargs, column)
        case "expect_column_values_to_be_in_set":
            return _members(rule, column).__contains__
        case "expect_column_values_to_not_be_in_set":
            refused = _members(rule, column)
            return lambda value: value not in refused
        case "expect_column_values_to_match_regex":
            wanted = _pattern(rule).search
            return lambda value: wanted(value) is not None
        case "expect_column_values_to_not_match_regex":
            unwanted = _pattern(rule).search
            return lambda value: unwanted(value) is None
        case "expect_column_value_lengths_to_be_between":
            low, high = kwargs.get("min_value") or 0, kwargs.get("max_value")
            return lambda value: low <= len(value) and (high is None or len(value) <= high)
    raise ContractError(f"no check for a row rule of type {rule.type!r}")


def _between(kwargs: Mapping[str, Any], column: Column) -> Callable[[Any], bool]:
    low, high = bound(kwargs.get("min_value"), column), bound(kwargs.get("max_value"), column)
    strict_low, strict_high = kwargs.get("strict_min", False), kwargs.get("strict_max", False)
    if not (low is None or high is None or strict_low or strict_high):
        return lambda value: low <= value <= high  # nearly every range, in every request

    def holds(value: Any) -> bool:
        above = low is None or value > low or (value == low and not strict_low)
        return above and (high is None or value < high or (value == high and not strict_high))

    return holds


def bound(value: Any, column: Column) -> Any:
    """Return a bound, or a member of a set, as a value of the column's kind; a time with an offset in UTC.

    Raises
    ------
    ContractError
        It is of another kind.
    """
    if value is None:
        return None
    if column.kind == "date":
        return _moment(value)
    wanted, name = (int | float, "number") if column.kind in ("number", "boolean") else (str, "string")
    if not isinstance(value, wanted):
        raise ContractError(f"{FILE}: a rule on a {column.kind} must compare it to a {name}; got {value!r}.")
    return value


def _moment(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ContractError(f"{FILE}: a bound on a date must be ISO 8601; got {value!r}.") from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _members(rule: Rule, column: Column) -> frozenset[Any]:
    if not isinstance(rule.kwargs["value_set"], list):
        raise ContractError(
            f"{FILE}: value_set of column {rule.columns[0]!r} must be a list; got {rule.kwargs['value_set']!r}."
        )
    return frozenset(bound(value, column) for value in rule.kwargs["value_set"])


def _pattern(rule: Rule) -> re.Pattern[str]:
    try:
        return re.compile(rule.kwargs["regex"])
    except re.error as error:
        raise ContractError(f"{FILE}: regex of column {rule.columns[0]!r} is broken; {error}.") from None


def _pair(rule: Rule) -> Check:
    first, second = rule.columns
    or_equal = rule.kwargs.get("or_equal", False)
    equal_asked = rule.type == "expect_column_pair_values_to_be_equal"

    def holds(row: Row) -> bool:
        a, b = row[first], row[second]
        if a is None or b is None:
            return True
        if equal_asked:
            return a == b
        return a > b or (or_equal and a == b)  # type: ignore[operator]

    return holds

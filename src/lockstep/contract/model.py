"""Hold the contract: a Great Expectations suite in plain JSON, and what each column is."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from lockstep.errors import ContractError, expected_one_of
from lockstep.params import Block, parse

FILE = "expectations/rows.json"

Kind = Literal["number", "boolean", "category", "date", "text"]
Role = Literal["input", "target", "id", "time", "group", "ignored"]
Severity = Literal["critical", "warning", "info"]

# Expectations that hold for a row or do not; everything else judges the table as a whole.
ROW_RULES = {
    "expect_column_values_to_not_be_null": {"column"},
    "expect_column_values_to_be_between": {"column", "min_value", "max_value", "strict_min", "strict_max"},
    "expect_column_values_to_be_in_set": {"column", "value_set"},
    "expect_column_values_to_not_be_in_set": {"column", "value_set"},
    "expect_column_values_to_match_regex": {"column", "regex"},
    "expect_column_values_to_not_match_regex": {"column", "regex"},
    "expect_column_value_lengths_to_be_between": {"column", "min_value", "max_value"},
    "expect_column_pair_values_a_to_be_greater_than_b": {"column_A", "column_B", "or_equal", "ignore_row_if"},
    "expect_column_pair_values_to_be_equal": {"column_A", "column_B", "ignore_row_if"},
}
NOT_NULL = "expect_column_values_to_not_be_null"
GIVEN = {"column", "column_A", "column_B", "value_set", "regex"}
"""Arguments without which a rule that knows them says nothing."""
KINDS_OF = {
    "expect_column_values_to_be_between": {"number", "date", "boolean"},
    "expect_column_values_to_match_regex": {"category", "text"},
    "expect_column_values_to_not_match_regex": {"category", "text"},
    "expect_column_value_lengths_to_be_between": {"category", "text"},
}
COMPARABLE = {"boolean": "number", "category": "text"}
"""Kinds whose values are of one type with those of another kind."""


class Column(Block):
    """What one column is and how its cells are read."""

    kind: Kind
    role: Role = "input"
    input: bool = False
    """Of a time column: whether the model sees it too."""
    required: bool = False
    """The value may not be missing; a request must hold the field."""
    private: bool = False
    description: str = ""
    example: str | float | bool | None = None
    missing: tuple[str, ...] = ("",)
    """Cells, stripped of white space, that mean "no value"."""
    format: str | None = None
    """Of a date in a text file: strptime's format; ISO 8601 without it."""
    thousands: str = Field("", max_length=1)
    decimal: str = Field(".", min_length=1, max_length=1)
    true: tuple[str, ...] = ("True", "true", "TRUE", "1")
    false: tuple[str, ...] = ("False", "false", "FALSE", "0")
    unreadable: Literal["critical", "warning"] = "critical"
    """What a cell that is not of the kind does: stops the line, or puts its row into quarantine."""
    classes: tuple[str, ...] = ()
    """Of a target with classes: their order; the last of two is the positive one."""

    @model_validator(mode="after")
    def _settings_fit(self) -> "Column":
        if self.input and self.role != "time":
            raise ValueError("'input' is for a column of role 'time'; an input has role 'input'")
        if self.classes and self.role != "target":
            raise ValueError("'classes' is for the target")
        if self.format and self.kind != "date":
            raise ValueError(f"'format' is for dates; the kind is {self.kind!r}")
        if self.thousands == self.decimal:
            raise ValueError(f"'thousands' and 'decimal' must differ; both are {self.decimal!r}")
        if set(self.true) & set(self.false):
            raise ValueError(f"a cell cannot mean both true and false; {sorted(set(self.true) & set(self.false))} do")
        return self

    @property
    def is_input(self) -> bool:
        """Whether the model may see it."""
        return self.role == "input" or self.input


class Expectation(Block):
    """One entry of the suite, as Great Expectations writes it."""

    type: str
    kwargs: dict[str, Any]
    severity: Severity = "critical"
    meta: dict[str, Any] = Field(default_factory=dict)


class Meta(Block):
    """The part of the suite that is ours."""

    columns: dict[str, Column] = Field(min_length=1)


class Suite(Block):
    """The file as a whole."""

    name: str = "rows"
    expectations: tuple[Expectation, ...] = ()
    meta: Meta


@dataclass(frozen=True)
class Rule:
    """One expectation, with the columns that it reads."""

    type: str
    kwargs: dict[str, Any]
    severity: Severity
    columns: tuple[str, ...]

    @property
    def on_row(self) -> bool:
        """Whether it holds for a row rather than for the table."""
        return self.type in ROW_RULES

    @property
    def name(self) -> str:
        """The rule in few words, as errors and answers name it: ``be_between(min_value=0)``."""
        short = self.type.removeprefix("expect_").removeprefix("column_").removeprefix("values_to_")
        shown = {k: v for k, v in self.kwargs.items() if k not in ("column", "column_list", "ignore_row_if")}
        return f"{short}({', '.join(f'{key}={_brief(value)}' for key, value in shown.items())})"


@dataclass(frozen=True)
class Contract:
    """The columns by name, in the order of the file, and the rules."""

    columns: dict[str, Column]
    rules: tuple[Rule, ...]
    digest: str
    """SHA-256 of the file's bytes, in hex."""
    content: bytes = field(repr=False, default=b"")

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the columns that the model may see."""
        return tuple(name for name, column in self.columns.items() if column.is_input)

    @cached_property
    def target(self) -> str:
        """Name of the one target column."""
        return next(name for name, column in self.columns.items() if column.role == "target")

    def role(self, role: Role) -> tuple[str, ...]:
        """Return the names of the columns that play ``role``."""
        return tuple(name for name, column in self.columns.items() if column.role == role)

    @cached_property
    def time(self) -> str | None:
        """Name of the time column, if there is one."""
        return next(iter(self.role("time")), None)

    @cached_property
    def group(self) -> str | None:
        """Name of the group column, if there is one."""
        return next(iter(self.role("group")), None)

    @cached_property
    def row_rules(self) -> tuple[Rule, ...]:
        """Rules on a row, those that ``required`` implies first."""
        stated = {rule.columns[0] for rule in self.rules if rule.type == NOT_NULL and rule.severity != "info"}
        implied = [
            Rule(NOT_NULL, {"column": name}, "critical", (name,))
            for name, column in self.columns.items()
            if column.required and name not in stated
        ]
        return (*implied, *(rule for rule in self.rules if rule.on_row))

    @cached_property
    def table_rules(self) -> tuple[Rule, ...]:
        """Rules on the table as a whole; for training alone."""
        return tuple(rule for rule in self.rules if not rule.on_row)


def load(root: Path) -> Contract:
    """Read and check ``expectations/rows.json`` of the project at ``root``.

    Raises
    ------
    ContractError
        The file is missing, not JSON, or contradicts itself.
    """
    try:
        return loads((root / FILE).read_bytes())
    except FileNotFoundError:
        raise ContractError(
            f"{FILE} is missing; write one, or start from the suggestion of `lockstep contract suggest`."
        ) from None


def loads(content: bytes) -> Contract:
    """Build the contract from the bytes of its file; errors as in :func:`load`."""
    try:
        values = json.loads(content)
    except ValueError as error:
        raise ContractError(f"{FILE} must be JSON; {error}.") from None
    if not isinstance(values, dict):
        raise ContractError(f"{FILE} must hold a suite, an object; found {type(values).__name__}.")
    known = {key: value for key, value in values.items() if key not in ("id", "notes")}
    suite = parse(Suite, known, file=FILE, raises=ContractError)
    rules = tuple(_rule(item, suite.meta.columns) for item in suite.expectations)
    _check_roles(suite.meta.columns)
    return Contract(suite.meta.columns, rules, hashlib.sha256(content).hexdigest(), content)


def _rule(item: Expectation, columns: dict[str, Column]) -> Rule:
    named = [value for key, value in item.kwargs.items() if key in ("column", "column_A", "column_B")]
    named += item.kwargs.get("column_list", [])
    for name in named:
        if name not in columns:
            raise ContractError(f"{FILE}: {item.type} names column {name!r}; {expected_one_of(name, columns)}")
        if columns[name].role == "ignored":
            raise ContractError(
                f"{FILE}: {item.type} names column {name!r}, which is ignored and never read; "
                "give the column another role, or remove the rule."
            )
    rule = Rule(item.type, item.kwargs, item.severity, tuple(named))
    if rule.on_row:
        _check_row_rule(rule, columns)
    return rule


def _check_row_rule(rule: Rule, columns: dict[str, Column]) -> None:
    if "mostly" in rule.kwargs:
        raise ContractError(
            f"{FILE}: {rule.type} on {rule.columns} uses 'mostly'; a rule holds for a row or it does "
            "not. Give it severity warning, and cap the share with validate.max_quarantine."
        )
    for key in rule.kwargs:
        if key not in ROW_RULES[rule.type]:
            raise ContractError(
                f"{FILE}: {rule.type} has no use for {key!r}; {expected_one_of(key, ROW_RULES[rule.type])}"
            )
    for key in sorted(GIVEN & ROW_RULES[rule.type] - rule.kwargs.keys()):
        raise ContractError(f"{FILE}: {rule.type} must give {key!r}; found {sorted(rule.kwargs)}.")
    if "column_A" in rule.kwargs and rule.kwargs.get("ignore_row_if") != "either_value_is_missing":
        raise ContractError(
            f"{FILE}: {rule.type} on {rule.columns} must say "
            '"ignore_row_if": "either_value_is_missing"; whether a value may be missing is a rule of '
            "its own."
        )
    _check_arguments(rule, [columns[name].kind for name in rule.columns])


def _check_arguments(rule: Rule, kinds: list[Kind]) -> None:
    if "min_value" in ROW_RULES[rule.type] and rule.kwargs.get("min_value") is rule.kwargs.get("max_value") is None:
        raise ContractError(f"{FILE}: {rule.type} on {rule.columns} must give min_value, max_value or both.")
    allowed = KINDS_OF.get(rule.type)
    if allowed and kinds[0] not in allowed:
        raise ContractError(
            f"{FILE}: {rule.type} is for columns of kind {sorted(allowed)}; {rule.columns[0]!r} is of "
            f"kind {kinds[0]!r}."
        )
    if len({COMPARABLE.get(kind, kind) for kind in kinds}) > 1:
        raise ContractError(
            f"{FILE}: {rule.type} compares columns of one kind; {list(rule.columns)} are of kinds {list(kinds)}."
        )


def _check_roles(columns: dict[str, Column]) -> None:
    for role in ("target", "time", "group"):
        holders = [name for name, column in columns.items() if column.role == role]
        if len(holders) > 1 or (role == "target" and not holders):
            raise ContractError(
                f"{FILE}: {'exactly' if role == 'target' else 'at most'} one column may have role "
                f"{role!r}; found {holders}."
            )
    if not any(column.is_input for column in columns.values()):
        raise ContractError(f"{FILE}: at least one column must have role 'input'; found none.")


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

"""Say in JSON Schema's words what a row of a request may be, compiled from the contract and the encoder.

What a field may be comes from the rules that refuse a request (critical and warning); what is only unusual (info) is
told in its description, and so is a rule that JSON Schema has no words for. A text is judged as the service reads it:
without the white space around it, and null where it is a mark of the contract's for a missing value.
"""

import re
from typing import Any

from lockstep.contract import Column, Contract, Rule
from lockstep.contract.model import NOT_NULL
from lockstep.contract.request import Door
from lockstep.contract.rules import compile_rule
from lockstep.encoder import Encoder

Schema = dict[str, Any]

TYPES = {"number": "number", "boolean": "boolean", "category": "string", "date": "string", "text": "string"}
TEXTS = ("category", "text")
DAY = (
    "(?!0000)[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|[12][0-9]))"
)
TIME = r"T(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
DATE = f"^{DAY}(?:{TIME})?$"
"""The dates that a request may hold, and the 29th of February in every year."""
PYTHONS_OWN = re.compile(r"\\[^dDwWsSbBtnrfvxu0-9^$\\.*+?()\[\]{}|/-]|\(\?(?!:|=|!|<=|<!)|[*+?}]\+|\{,|\[\^?\]")
"""What JSON Schema's regular expressions have not, or read otherwise; what only looks like it is left out as well."""
ROLES = {
    "id": "Identifies the row; not seen by the model.",
    "group": "Groups rows; not seen by the model.",
    "time": "When the row was true.",
}
SHOWN = 20
"""Categories of a column that are named."""


def row(contract: Contract, encoder: Encoder) -> Schema:
    """Return the schema of one row."""
    door = Door(contract)
    fields = {name: _field(name, column, contract, encoder) for name, column in door.columns.items()}
    ignored = {name: {"description": "Accepted and dropped."} for name in contract.role("ignored")}
    required = [name for name in door.columns if is_needed(name, contract)]
    pairs = [
        f"{' and '.join(rule.columns)}: {rule.name}"
        for rule in contract.row_rules
        if len(rule.columns) > 1 and rule.severity != "info" and door.columns.keys() >= set(rule.columns)
    ]
    text = {"description": "Also: " + "; ".join(pairs) + "."} if pairs else {}
    return {
        "type": "object",
        **text,
        "additionalProperties": False,
        "required": required,
        "properties": fields | ignored,
    }


def is_needed(name: str, contract: Contract) -> bool:
    """Say whether a request must hold a value in a field."""
    return contract.columns[name].is_input and any(
        rule.type == NOT_NULL and rule.columns == (name,) and rule.severity != "info" for rule in contract.row_rules
    )


def vocabulary(name: str, contract: Contract, encoder: Encoder) -> tuple[str, ...]:
    """Return the categories seen in training; none of a private column."""
    if contract.columns[name].private:
        return ()
    return next((part.vocabulary for part in encoder.parts if part.name == name and part.kind == "category"), ())


def limits(rule: Rule, column: Column) -> Schema:
    """Return a rule on one value in JSON Schema's words, or nothing where it has none; null may break it."""
    given = rule.kwargs
    match rule.type:
        case "expect_column_values_to_be_between" if column.kind == "number":
            low = "exclusiveMinimum" if given.get("strict_min") else "minimum"
            high = "exclusiveMaximum" if given.get("strict_max") else "maximum"
            found = {low: given.get("min_value"), high: given.get("max_value")}
        case _ if column.kind == "boolean":
            holds = compile_rule(rule, {rule.columns[0]: column})
            found = {"enum": [value for value in (False, True) if holds({rule.columns[0]: float(value)})]}
        case "expect_column_values_to_be_in_set" if column.kind != "date":
            found = {"enum": _sendable(given["value_set"], column)}
        case "expect_column_values_to_not_be_in_set" if column.kind != "date":
            found = {"not": {"enum": _sendable(given["value_set"], column)}}
        case "expect_column_values_to_match_regex" if not PYTHONS_OWN.search(given["regex"]):
            found = {"pattern": given["regex"]}
        case "expect_column_values_to_not_match_regex" if not PYTHONS_OWN.search(given["regex"]):
            found = {"not": {"type": "string", "pattern": given["regex"]}}
        case "expect_column_value_lengths_to_be_between":
            found = {"minLength": given.get("min_value"), "maxLength": given.get("max_value")}
        case _:
            found = {}
    return {key: value for key, value in found.items() if value is not None}


def _field(name: str, column: Column, contract: Contract, encoder: Encoder) -> Schema:
    needed = is_needed(name, contract)
    field: Schema = {"pattern": DATE} if column.kind == "date" else {}
    notes = [_sentence(column.description)] if column.description else []
    notes += [ROLES[column.role]] if column.role in ROLES else []
    notes += ["A date like 2024-01-31, or 2024-01-31T13:45:00 in UTC."] if column.kind == "date" else []
    for rule in contract.row_rules:
        if rule.columns != (name,) or rule.type == NOT_NULL:
            continue
        if rule.severity == "info":
            notes.append(f"Unusual unless {rule.name}.")
            continue
        found = limits(rule, column)
        field = _both(field, found)
        if not found or "not" in found:
            notes.append(f"Must be {rule.name}.")
    marks = [repr(mark) for mark in column.missing if mark]
    notes += [f"Counts as missing: {', '.join(marks)}."] if column.kind in TEXTS and marks else []
    if needed and column.kind in TEXTS and "enum" not in field:
        field = _both(field, _given(column))
    seen = vocabulary(name, contract, encoder)
    if seen and "enum" not in field:
        notes.append(f"Seen in training: {', '.join(seen[:SHOWN])}{', …' if len(seen) > SHOWN else ''}.")
        field["examples"] = list(seen[:SHOWN])
    if needed:
        return {"type": TYPES[column.kind], **field, "description": " ".join(notes)}
    field |= {"enum": [*field["enum"], None]} if "enum" in field else {}
    return {"type": [TYPES[column.kind], "null"], **field, "description": " ".join(notes)}


def _given(column: Column) -> Schema:
    """Return what a text must be so that it does not count as missing."""
    marks = [mark for mark in column.missing if mark]
    return ({"minLength": 1} if "" in column.missing else {}) | ({"not": {"enum": marks}} if marks else {})


def _both(one: Schema, other: Schema) -> Schema:
    """Return a schema that asks for what both ask for."""
    found = one | other
    for key in one.keys() & other.keys():
        match key:
            case "minimum" | "exclusiveMinimum" | "minLength":
                found[key] = max(one[key], other[key])
            case "maximum" | "exclusiveMaximum" | "maxLength":
                found[key] = min(one[key], other[key])
            case "enum":
                found[key] = [value for value in one[key] if value in other[key]]
            case _:
                found[key] = one[key]
                found["allOf"] = [*one.get("allOf", ()), {key: other[key]}]
    return found


def _sendable(values: list[Any], column: Column) -> list[Any]:
    """Return those of a set that a value can be: a text never has white space around it, nor is it a missing mark."""
    known = dict.fromkeys(value for value in values if value is not None)
    if column.kind == "number":
        return [+value for value in known]  # no booleans, which are numbers to Python alone
    return [value for value in known if value == value.strip() and value not in column.missing]


def _sentence(text: str) -> str:
    return text if text.rstrip().endswith((".", "!", "?")) else f"{text.rstrip()}."

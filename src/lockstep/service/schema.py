"""Describe the service in OpenAPI 3.1, compiled from the contract and the encoder when a release is made.

What a field may be comes from the rules that refuse a request (critical and warning); what is only unusual (info) is
told in its description. The example is a request that works as it stands.
"""

from collections.abc import Mapping
from typing import Any

from lockstep.contract import FILE, Column, Contract, Rule
from lockstep.contract.model import NOT_NULL
from lockstep.contract.request import ISO, Door
from lockstep.encoder import Encoder
from lockstep.errors import ContractError
from lockstep.service.body import MAX_BYTES, MAX_ROWS

TYPES = {"number": "number", "boolean": "boolean", "category": "string", "date": "string", "text": "string"}
ROLES = {
    "id": "Identifies the row; not seen by the model.",
    "group": "Groups rows; not seen by the model.",
    "time": "When the row was true.",
}
REQUEST_ID = {"type": "string", "description": "Also in the header x-request-id."}
ERROR = {
    "type": "object",
    "required": ["error", "request_id"],
    "properties": {"error": {"type": "string"}, "request_id": REQUEST_ID},
}


def document(
    contract: Contract, encoder: Encoder, classes: tuple[str, ...], model: str, row: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the OpenAPI document of a release.

    Parameters
    ----------
    contract, encoder, classes
        Of the predictor; no classes in regression.
    model
        Digest of the predictor.
    row
        A row that the service answers; its values fill the example where the contract gives none that work.

    Raises
    ------
    ContractError
        No example can be shown without telling a private value.
    """
    answers = {
        "200": _content("An answer for each row, in order", _answer(classes)),
        "400": _content("Not the JSON that is expected", ERROR),
        "413": _content(f"More than {MAX_ROWS:,} rows or {MAX_BYTES:,} bytes", ERROR),
        "415": _content("Not JSON", ERROR),
        "422": _content("Rows that break the contract, every one named", _errors()),
    }
    example = {"rows": [_example(contract, encoder, row)]}
    predict = {
        "summary": "Predict",
        "operationId": "predict",
        "responses": answers,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _request(_row(contract, encoder)), "example": example}},
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Predict {contract.target}", "version": model[:16]},
        "paths": {"/predict": {"post": predict}},
    }


def _row(contract: Contract, encoder: Encoder) -> dict[str, Any]:
    door = Door(contract)
    fields = {name: _field(name, column, contract, encoder) for name, column in door.columns.items()}
    ignored = {name: {"description": "Accepted and dropped."} for name in contract.role("ignored")}
    required = [name for name in door.columns if _needed(name, contract)]
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


def _needed(name: str, contract: Contract) -> bool:
    return contract.columns[name].is_input and any(
        rule.type == NOT_NULL and rule.columns == (name,) and rule.severity != "info" for rule in contract.row_rules
    )


def _field(name: str, column: Column, contract: Contract, encoder: Encoder) -> dict[str, Any]:
    field: dict[str, Any] = {}
    notes = [column.description] if column.description else []
    notes += [ROLES[column.role]] if column.role in ROLES else []
    if column.kind == "date":
        field["pattern"] = f"^(?:{ISO.pattern})$"
        notes.append("A date like 2024-01-31, or 2024-01-31T13:45:00 in UTC.")
    for rule in contract.row_rules:
        if rule.columns == (name,) and rule.type != NOT_NULL:
            limits = _limits(rule, column) if rule.severity != "info" else {}
            field |= {key: value for key, value in limits.items() if key not in field}
            if not limits:
                notes.append(f"{'Unusual unless' if rule.severity == 'info' else 'Must be'} {rule.name}.")
    seen = _vocabulary(name, contract, encoder)
    if seen and "enum" not in field:
        notes.append(f"Seen in training: {', '.join(seen[:20])}{', …' if len(seen) > 20 else ''}.")
    kind = TYPES[column.kind]
    if not _needed(name, contract):
        field |= {"enum": [*field["enum"], None]} if "enum" in field else {}
        return {"type": [kind, "null"], **field, "description": " ".join(notes)}
    return {"type": kind, **field, "description": " ".join(notes)}


def _vocabulary(name: str, contract: Contract, encoder: Encoder) -> tuple[str, ...]:
    """Return the categories seen in training; none of a private column."""
    if contract.columns[name].private:
        return ()
    return next((part.vocabulary for part in encoder.parts if part.name == name and part.kind == "category"), ())


def _limits(rule: Rule, column: Column) -> dict[str, Any]:
    """Return a rule in JSON Schema's words, or nothing where it has none."""
    given = rule.kwargs
    match rule.type:
        case "expect_column_values_to_be_between" if column.kind == "number":
            low = "exclusiveMinimum" if given.get("strict_min") else "minimum"
            high = "exclusiveMaximum" if given.get("strict_max") else "maximum"
            limits = {low: given.get("min_value"), high: given.get("max_value")}
        case "expect_column_values_to_be_in_set" if column.kind in ("category", "text"):
            limits = {"enum": list(given["value_set"])}
        case "expect_column_values_to_not_be_in_set" if column.kind in ("category", "text"):
            limits = {"not": {"enum": list(given["value_set"])}}
        case "expect_column_values_to_match_regex":
            limits = {"pattern": given["regex"]}
        case "expect_column_value_lengths_to_be_between":
            limits = {"minLength": given.get("min_value"), "maxLength": given.get("max_value")}
        case _:
            limits = {}
    return {key: value for key, value in limits.items() if value is not None}


def _example(contract: Contract, encoder: Encoder, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the contract's examples where they work together, else ``row``; never a value that is private."""
    door = Door(contract)
    hidden = {name: None if contract.columns[name].private else value for name, value in row.items()}
    stated: dict[str, Any] = {name: seen[0] for name in door.columns if (seen := _vocabulary(name, contract, encoder))}
    stated |= {name: column.example for name, column in door.columns.items() if column.example is not None}
    private = {name: value for name, value in stated.items() if contract.columns[name].private}
    for wanted in (hidden | stated, hidden | private):
        if not door.check(wanted).faults:
            return {name: wanted[name] for name in door.columns if name in wanted}
    needed = [name for name in row if contract.columns[name].private]
    raise ContractError(
        f"{FILE}: the private columns {needed} must have an 'example' that keeps the rules, to show in "
        "the schema of the service; their real values may not stand there."
    )


def _request(row: dict[str, Any]) -> dict[str, Any]:
    rows = {"type": "array", "minItems": 1, "maxItems": MAX_ROWS, "items": row}
    return {"type": "object", "additionalProperties": False, "required": ["rows"], "properties": {"rows": rows}}


def _answer(classes: tuple[str, ...]) -> dict[str, Any]:
    notice = _strings("field", "rule", "found")
    one: dict[str, Any] = {"prediction": {"type": "string", "enum": list(classes)} if classes else {"type": "number"}}
    if classes:
        chance = {"type": "number", "minimum": 0, "maximum": 1}
        one["probabilities"] = {
            "type": "object",
            "required": list(classes),
            "properties": dict.fromkeys(classes, chance),
        }
    one["prediction_id"] = {"type": "string", "description": "By which the service records it."}
    unusual = {"type": "array", "items": notice, "description": "What is unusual about the row, if anything."}
    rows = {"type": "object", "required": list(one), "properties": {**one, "warnings": unusual}}
    return {
        "type": "object",
        "required": ["predictions", "request_id", "model", "bento"],
        "properties": {
            "predictions": {"type": "array", "items": rows},
            "request_id": REQUEST_ID,
            "model": {"type": "string", "description": "Its digest."},
            "bento": {"type": "string", "description": "The tag of the release."},
        },
    }


def _errors() -> dict[str, Any]:
    error = _strings("field", "rule", "found")
    error["properties"] |= {"row": {"type": "integer", "description": "Position in the request, from 0."}}
    error["required"] = ["row", *error["required"]]
    return {
        "type": "object",
        "required": ["errors", "request_id"],
        "properties": {"errors": {"type": "array", "items": error}, "request_id": REQUEST_ID},
    }


def _strings(*names: str) -> dict[str, Any]:
    return {"type": "object", "required": list(names), "properties": {name: {"type": "string"} for name in names}}


def _content(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}

"""Describe the service in OpenAPI 3.1, compiled from the contract and the encoder when a release is made.

``fields`` says what a row may be. Here stand the routes, and what each of them answers, refusals included: those that
the connection itself gives (``wire``) name no request. The example is a request that works as it stands.
"""

from collections.abc import Mapping
from typing import Any

from lockstep.contract import FILE, Contract
from lockstep.contract.request import Door
from lockstep.encoder import Encoder
from lockstep.errors import ContractError
from lockstep.service import replies
from lockstep.service.body import MAX_BYTES, MAX_EXPLAINED, MAX_ROWS
from lockstep.service.fields import Schema, row, vocabulary
from lockstep.service.wire import MAX_HEAD_BYTES

OPEN: list[Schema] = []
"""Of a route: asks for no token."""
TOKEN: list[Schema] = [{}, {"bearer": []}]
"""Asks for a token where the service has one."""
READING = """\
Rows are sent as JSON and judged by the contract that gated the training data. They are not cleaned: a number in quotes,
a field that is not known, a key that stands twice are refused. White space around a text does not count; an empty text
is a missing value, as null is, and as a field that is left out. A row that breaks the contract is refused with 422, its
field and rule named, every one of the request at once; what is only unusual is answered, with warnings.
"""


def document(
    contract: Contract, encoder: Encoder, classes: tuple[str, ...], model: str, sent: Mapping[str, Any]
) -> Schema:
    """Return the OpenAPI document of a release.

    Parameters
    ----------
    contract, encoder, classes
        Of the predictor; no classes in regression.
    model
        Digest of the predictor.
    sent
        A row that the service answers; its values fill the example where the contract gives none that work.

    Raises
    ------
    ContractError
        No example can be shown without telling a private value.
    """
    example = {"rows": [_example(contract, encoder, sent)]}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Predict {contract.target}", "version": model[:16], "description": READING},
        "security": TOKEN,
        "paths": {**_asking(example), **_reading(), **_probes()},
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Row": row(contract, encoder), **replies.schemas(classes, encoder)},
            "headers": replies.HEADERS,
            "responses": _refusals(),
        },
    }


def _asking(example: Schema) -> Schema:
    """Return the routes that take rows."""
    many = f"More than {MAX_ROWS:,} rows, or {MAX_BYTES:,} bytes"
    few = f"More than {MAX_EXPLAINED} rows, or {MAX_BYTES:,} bytes"
    return {
        "/predict": {"post": _post("Predict", "Answers", MAX_ROWS, many, example)},
        "/explain": {"post": _post("Explain", "Explanations", MAX_EXPLAINED, few, example)},
    }


def _post(name: str, answer: str, n_most: int, too_much: str, example: Schema) -> Schema:
    rows = {"type": "array", "minItems": 1, "maxItems": n_most, "items": {"$ref": "#/components/schemas/Row"}}
    asked = {"type": "object", "additionalProperties": False, "required": ["rows"], "properties": {"rows": rows}}
    return {
        "summary": name,
        "operationId": name.lower(),
        "requestBody": {"required": True, "content": {"application/json": {"schema": asked, "example": example}}},
        "responses": {
            "200": replies.signed("An answer for each row, in order", answer),
            **_shared(400, 401, 403, 408),
            "413": replies.named(too_much, "Error"),
            **_shared(415, 422, 429, 431, 503),
        },
    }


def _reading() -> Schema:
    """Return the routes that tell what is served."""
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "/openapi.json": _get("This document", replies.signed("OpenAPI 3.1", "Document")),
        "/card": _get("The model: what it predicts, how well, from which data", replies.signed("The card", "Card")),
        "/metrics": _get("Figures for Prometheus", replies.signed("In Prometheus' text format", text)),
    }


def _probes() -> Schema:
    html = {"text/html": {"schema": {"type": "string"}}}
    ready = replies.signed("A release is loaded and verified", "Ready")
    return {
        "/": _get("A page for people", replies.named("It needs no other host", html), is_open=True),
        "/healthz": _get("Whether the service lives", replies.named("It does", "Alive"), is_open=True),
        "/livez": _get("The same", replies.named("It does", "Alive"), is_open=True),
        "/readyz": _get("Whether requests may be sent", ready, is_open=True),
    }


def _get(summary: str, answer: Schema, *, is_open: bool = False) -> Schema:
    refused = _shared(400, 408, 431, 503) if is_open else _shared(400, 401, 403, 408, 431, 503)
    security = {"security": OPEN} if is_open else {}
    return {"get": {"summary": summary, **security, "responses": {"200": answer, **refused}}}


def _shared(*statuses: int) -> Schema:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _refusals() -> Schema:
    return {
        "400": replies.plain("Not the JSON that is expected, or not HTTP"),
        "401": replies.named("Not the token that the service has", "Error", "www-authenticate"),
        "403": replies.named("Without a token the service answers on the loopback alone", "Error"),
        "408": replies.plain("The request did not arrive in time"),
        "415": replies.named("Not JSON in UTF-8, uncompressed", "Error"),
        "422": replies.named("Rows that break the contract, every one named", "Errors"),
        "429": replies.named("Too much is asked at once", "Error", "retry-after"),
        "431": replies.plain(f"A head of more than {MAX_HEAD_BYTES:,} bytes"),
        "503": replies.plain("Not ready, or too many connections"),
    }


def _example(contract: Contract, encoder: Encoder, sent: Mapping[str, Any]) -> Schema:
    """Return the contract's examples where they work together, else ``sent``; never a value that is private."""
    door = Door(contract)
    hidden = {name: None if contract.columns[name].private else value for name, value in sent.items()}
    stated: Schema = {name: seen[0] for name in door.columns if (seen := vocabulary(name, contract, encoder))}
    stated |= {name: column.example for name, column in door.columns.items() if column.example is not None}
    private = {name: value for name, value in stated.items() if contract.columns[name].private}
    for wanted in (hidden | stated, hidden | private):
        if not door.check(wanted).faults:
            return {name: wanted[name] for name in door.columns if name in wanted}
    needed = [name for name in sent if contract.columns[name].private]
    raise ContractError(
        f"{FILE}: the private columns {needed} must have an 'example' that keeps the rules, to show in "
        "the schema of the service; their real values may not stand there."
    )

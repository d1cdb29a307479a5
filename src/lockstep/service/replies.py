"""Describe in JSON Schema what the service answers: predictions, explanations, the card, refusals."""

from lockstep.encoder import Encoder
from lockstep.service.fields import Schema

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
REQUEST_ID: Schema = {"type": "string", "description": "Also in the header x-request-id."}
MODEL: Schema = {"type": "string", "description": "Digest of the predictor."}
BENTO: Schema = {"type": "string", "description": "Tag of the release."}

HEADERS: Schema = {
    "x-request-id": {"required": True, "description": "Names the request.", "schema": {"pattern": "^[0-9a-f]{28}$"}},
    "x-model": {"required": True, "description": "Digest of the predictor.", "schema": {"pattern": "^[0-9a-f]{64}$"}},
    "x-bento": {"required": True, "description": "Tag of the release.", "schema": TEXT},
    "www-authenticate": {"required": True, "schema": {"const": "Bearer"}},
    "retry-after": {"required": True, "description": "In seconds.", "schema": TEXT},
}


def schemas(classes: tuple[str, ...], encoder: Encoder) -> Schema:
    """Return the schemas of all answers, by name."""
    return {
        "Answers": _of_rows("predictions", _prediction(classes)),
        "Explanations": _of_rows("explanations", _explanation(classes, encoder)),
        "Card": _card(),
        "Document": {"type": "object", "required": ["openapi", "info", "paths"]},
        "Alive": _closed({"alive": {"const": True}}),
        "Ready": _closed({"ready": {"const": True}}),
        "Error": _closed({"error": TEXT, "request_id": REQUEST_ID}),
        "Refusal": _closed({"error": TEXT}, request_id={**REQUEST_ID, "description": "Where the head was read."}),
        "Errors": _closed({"errors": _list(_fault(row=_position()), "Every fault."), "request_id": REQUEST_ID}),
    }


def signed(description: str, content: str | Schema) -> Schema:
    """Describe an answer that names its request, the model and the bento; content as in :func:`named`."""
    return named(description, content, "x-model", "x-bento")


def named(description: str, content: str | Schema, *headers: str) -> Schema:
    """Describe an answer that names its request; content is the name of a schema, or media types."""
    names = ("x-request-id", *headers)
    return plain(description, content) | {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names}}


def plain(description: str, content: str | Schema = "Refusal") -> Schema:
    """Describe an answer that may come before the request is read."""
    if isinstance(content, str):
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{content}"}}}
    return {"description": description, "content": content}


def _of_rows(name: str, one: Schema) -> Schema:
    return _closed({name: _list(one, "One a row, in order."), "request_id": REQUEST_ID, "model": MODEL, "bento": BENTO})


def _prediction(classes: tuple[str, ...]) -> Schema:
    identity = {"type": "string", "description": "By which the service records it."}
    return _closed(
        {**_decided(classes), "prediction_id": identity},
        warnings=_list(_fault(), "What is unusual about the row, if anything."),
    )


def _decided(classes: tuple[str, ...]) -> Schema:
    if not classes:
        return {"prediction": NUMBER}
    chance = {"type": "number", "minimum": 0, "maximum": 1}
    return {
        "prediction": {"type": "string", "enum": list(classes)},
        "probabilities": _closed(dict.fromkeys(classes, chance)),
    }


def _explanation(classes: tuple[str, ...], encoder: Encoder) -> Schema:
    """Describe why: of two classes one entry, of several one a class, of a number one without a class."""
    explained = list(classes[1:] if len(classes) == 2 else classes)
    added = {
        **_closed({part.source: NUMBER for part in encoder.parts}),
        "description": "What each input, or feature, adds; base and all of them sum to the score.",
    }
    raw = _closed(
        {
            **({"class": {"enum": explained}} if explained else {}),
            "base": NUMBER,
            "score": {"type": "number", "description": "Before it became a probability, where there are classes."},
            "contributions": added,
        }
    )
    return _closed(
        {"raw": _list(raw, "The raw score, of each class that has one.")},
        warnings=_list(_fault(), "What is unusual about the row, if anything."),
    )


def _card() -> Schema:
    maybe = {"type": ["number", "null"]}
    score = {"metric": TEXT, "greater_is_better": {"type": "boolean"}, "value": NUMBER}
    period = {**_closed({"column": TEXT, "first": TEXT, "last": TEXT}), "type": ["object", "null"]}
    run = {**_closed({"name": TEXT, "url": {"type": ["string", "null"]}}), "type": ["object", "null"]}
    return _closed(
        {
            "title": TEXT,
            "target": TEXT,
            "description": TEXT,
            "problem": TEXT,
            "family": TEXT,
            "classes": _list(TEXT, "In order; the last of two is the positive one."),
            "decision": {"type": "object", "additionalProperties": NUMBER},
            "inputs": _list(TEXT, "What the model sees."),
            "rows": _closed({"train": {"type": "integer"}, "test": {"type": "integer"}}),
            "period": {**period, "description": "Of the training data; null without a time."},
            "scores": _list(
                _closed({**score, **dict.fromkeys(("low", "high", "linear", "trivial"), maybe)}),
                "On test rows, with 95 % intervals, beside a linear and a trivial model.",
            ),
            "deciles": _list(NUMBER, "Of the predictions for the test rows, in regression."),
            "digests": _closed({"predictor": TEXT, "contract": TEXT}),
            "bento": BENTO,
            "run": {**run, "description": "The run that fitted it, where one is known."},
        }
    )


def _fault(**more: Schema) -> Schema:
    return _closed({**more, "field": TEXT, "rule": TEXT, "found": {"type": "string", "maxLength": 64}})


def _position() -> Schema:
    return {"type": "integer", "minimum": 0, "description": "Position of the row in the request, from 0."}


def _closed(properties: Schema, **optional: Schema) -> Schema:
    """Return the schema of an object with these properties, and no others."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": {**properties, **optional},
    }


def _list(items: Schema, description: str) -> Schema:
    return {"type": "array", "items": items, "description": description}

"""Bodies that mean harm, or are broken: each is refused cleanly, and decent clients notice nothing."""

import json

import pytest
from served import Service
from wires import Answer, ask, check_refusal, check_text, chunked, head, post

pytestmark = pytest.mark.usefixtures("bystanders")
M = 1 << 20
TEXTS = {
    "SQL": "'; DROP TABLE rows; --",
    "a template": "{{7*7}} ${7*7} <%= 7*7 %> {% debug %}",
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "a shell": "$(touch /tmp/x) `id` | cat /etc/passwd",
    "a look-up": "${jndi:ldap://127.0.0.1/a}",
    "a format": "%s%n%x {0.__class__} {}",
    "colours of a terminal": "\x1b[31mred\x1b[0m\x1b]0;title\x07\x9b2J",
    "lines of a log": "fine\r\n2026-01-01 [ERROR] all is lost\n",
    "null bytes": "a\x00b\x00",
    "every control character": "".join(map(chr, [*range(32), *range(127, 160)])),
    "from right to left": "\u202etxt.exe\u2066\u200f",
    "what no screen shows": "\u200b\ufeff\u2028\u2029\U000e0001",
    "half of a pair of surrogates, escaped": "\\ud800",
    "accents without end": "e" + "\u0301" * 5000,
    "64 kB": "x" * 65536,
}


def rows_of(text: str) -> bytes:
    return json.dumps({"rows": [{"low": 1.5, "town": text}]}).encode()


KEYS = b",".join(b'"k%d":1' % i for i in range(100_000))
BODIES = {
    "nothing": b"",
    "blanks": b" \r\n\t",
    "8 MB of blanks": b" " * (8 * M),
    "8 MB of null bytes": b"\0" * (8 * M),
    "not JSON": b"rows=1&more=2",
    "half of it": b'{"rows": [{"low": 1',
    "two of it": b'{"rows": [{}]}{"rows": [{}]}',
    "a pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.",
    "not UTF-8": b'{"rows": [{"town": "\xff\xfe"}]}',
    "an overlong slash": b'{"rows": [{"town": "\xc0\xaf"}]}',
    "a surrogate in UTF-8": b'{"rows": [{"town": "\xed\xa0\x80"}]}',
    "a surrogate alone": b'{"rows": [{"town": "\\ud800"}]}',
    "UTF-16": rows_of("x").decode().encode("utf-16"),
    "UTF-32": rows_of("x").decode().encode("utf-32"),
    "a byte order mark": b"\xef\xbb\xbf" + rows_of("x"),
    "a control character": b'{"rows": [{"town": "\x1b[31m"}]}',
    "NaN": b'{"rows": [{"low": NaN}]}',
    "infinity": b'{"rows": [{"low": -Infinity}]}',
    "too large a number": b'{"rows": [{"low": 1e999}]}',
    "8 MB of digits": b'{"rows": [{"low": ' + b"9" * (8 * M - 40) + b"}]}",
    "no rows": b'{"rows": []}',
    "more than rows": b'{"rows": [{}], "__class__": {}}',
    "a list in a list": b'{"rows": [[1, 2]]}',
    "a list nested 4,000,000 deep": b"[" * (4 * M),
    "a list nested and closed": b'{"rows": [{"low": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}",
    "objects nested": b'{"rows": [{"low": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}]}",
    "a key twice": b'{"rows": [{"low": 1, "low": 2}]}',
    "100,000 keys and the last twice": b'{"rows":[{%b,"k99999":1}]}'
    % b",".join(b'"k%d":1' % i for i in range(100_000)),
}
MANY = {
    "1,000,000 rows": b'{"rows":[' + b"{}," * 999_999 + b"{}]}",
    "1,000,000 rows with a value": b'{"rows":[' + b'{"low":1.5},' * 999_999 + b'{"low":1.5}]}',
    "10,001 rows": b'{"rows":[' + b"{}," * 10_000 + b"{}]}",
    "3,000,000 texts": b'{"rows":[' + b'"",' * 2_700_000 + b'""]}',
    "8 MB and a byte": b" " * (8 * M + 1),
}
KINDS = [
    "application/x-python-pickle",
    "application/python-pickle",
    "application/vnd.bentoml+pickle",
    "Application/VND.BentoML+Pickle; a=b",
    "application/octet-stream",
    "application/x-joblib",
    "application/x-numpy",
    "multipart/form-data; boundary=x",
    "MULTIPART/FORM-DATA; BOUNDARY=x",
    "multipart/mixed;boundary=x",
    "application/x-www-form-urlencoded",
    "text/plain",
    "text/json",
    "application/json, application/x-python-pickle",
    "application/json;charset=utf-16",
    "application/json; charset=utf-7; charset=utf-8",
    "application/jsonp",
    "application/json+pickle",
    "application/vnd.api+json",
    "*/*",
    "",
    "\xe9",
]


def predict(service: Service, body: bytes, **headers: str) -> Answer:
    return ask(service.port, post(body, {**service.headers, **headers}))


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_request_is_refused(service: Service, name: str) -> None:
    check_refusal(predict(service, BODIES[name]), 400)


@pytest.mark.parametrize("name", MANY)
def test_too_much_is_refused_with_413(service: Service, name: str) -> None:
    check_refusal(predict(service, MANY[name]), 413)


@pytest.mark.parametrize("kind", KINDS)
def test_another_type_than_json_is_refused_with_415(service: Service, kind: str) -> None:
    for body in (rows_of("x"), BODIES["a pickle"]):
        check_refusal(predict(service, body, **{"content-type": kind}), 415)


def test_a_type_that_stands_twice_is_refused_whichever_comes_last(service: Service) -> None:
    body = rows_of("x")
    pairs = [(name, value) for name, value in service.headers.items() if name != "content-type"]
    for kinds in (["application/json", "application/x-python-pickle"], ["text/plain", "application/json"]):
        for names in (("content-type", "content-type"), ("Content-Type", "CONTENT-TYPE")):
            types = list(zip(names, kinds, strict=True))
            answer = ask(service.port, head(headers=[*pairs, *types, ("content-length", str(len(body)))]) + body)
            check_refusal(answer, 415)


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "Application/JSON", 'application/json;charset="UTF-8"']
)
def test_json_in_other_spellings_is_taken(service: Service, kind: str) -> None:
    assert predict(service, rows_of("here"), **{"content-type": kind}).status == 200


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "br", "gzip, identity"])
def test_a_compressed_body_is_refused(service: Service, coding: str) -> None:
    check_refusal(predict(service, b"\x1f\x8b\x08\x00" + b"\0" * 100, **{"content-encoding": coding}), 415)


def test_200_mb_are_refused_announced_or_not(service: Service) -> None:
    body = b"x" * 200_000_000
    check_refusal(predict(service, body), 413)
    check_refusal(ask(service.port, chunked(body, service.headers)), 413)
    check_refusal(predict(service, body, expect="100-continue"), 413)


@pytest.mark.parametrize("field", ["town", "remark", "colour", "note", "account", "opened", "low"])
def test_a_text_of_any_kind_is_a_value_and_nothing_more(service: Service, field: str) -> None:
    """Texts are answered or refused as values; what of them is told is short and can be printed."""
    row = {"low": 1.5, "high": 3.0}
    for name, text in TEXTS.items():
        answer = predict(service, json.dumps({"rows": [{**row, field: text}]}).encode())
        assert answer.status in (200, 422), name
        told = answer.json()
        check_text(told)
        for fault in [*told.get("errors", []), *(told.get("predictions") or [{}])[0].get("warnings", [])]:
            assert fault["field"] == field
            assert len(fault["found"]) <= 64
        assert len(answer.body) < 2000


def test_a_name_of_any_kind_is_an_unknown_field_and_nothing_more(service: Service) -> None:
    for text in [*TEXTS.values(), "__proto__", "constructor", "__class__", ""]:
        answer = predict(service, json.dumps({"rows": [{"low": 1.5, text: 1}]}).encode())
        check_refusal(answer, 422)
        (fault,) = answer.json()["errors"]
        assert fault["rule"] == "unknown field"
        assert len(fault["field"]) <= 64


def test_rows_full_of_faults_are_told_in_bounds(service: Service) -> None:
    many = {f"k{i}": "x" for i in range(1000)}
    for rows, most in (([many] * 100, 5000), ([{"low": "x", "high": "y", "active": 3}] * 9_999, 10_000)):
        answer = predict(service, json.dumps({"rows": rows}).encode())
        assert answer.status == 422
        errors = answer.json()["errors"]
        assert {error["row"] for error in errors} == set(range(len(rows)))
        assert len(errors) <= most

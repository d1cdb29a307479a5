import asyncio
import json
import time
from typing import Any

import pytest

from lockstep.service import body
from lockstep.service.body import GoneError, RefusedError


def refusal(content: bytes) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        body.parse(content, 9)
    return caught.value


def read(headers: list[tuple[bytes, bytes]], *messages: dict[str, Any], hold: Any = lambda n: None) -> bytes:
    left = list(messages)

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    return asyncio.run(body.read(headers, receive, hold))


JSON = [(b"content-type", b"application/json")]


def test_rows_are_read() -> None:
    assert body.parse(b'{"rows": [{"a": 1, "b": null}, {}]}', 9) == [{"a": 1, "b": None}, {}]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'{"rows": {}}',
        b'{"rows": []}',
        b'{"rows": null}',
        b'{"rows": [1]}',
        b'{"rows": [[]]}',
        b'{"rows": [{}], "more": 1}',
        b'{"Rows": [{}]}',
        b'{"rows": [{"a": NaN}]}',
        b'{"rows": [{"a": Infinity}]}',
        b'{"rows": [{"a": 1e999}]}',
        b'{"rows": [{"a": 01}]}',
        b'{"rows": [{"a": 1,}]}',
        b"{'rows': []}",
        b'{"rows": [{"a": "\xff"}]}',
        b'{"rows": [{"a": "\\ud800"}]}',
        b'\xef\xbb\xbf{"rows": [{}]}',
        '{"rows": [{}]}'.encode("utf-16"),
        b'{"rows": [{}]} {}',
        b'{"rows": [{"a": "tab\there"}]}',
    ],
)
def test_anything_but_rows_in_strict_json_is_malformed(content: bytes) -> None:
    found = refusal(content)
    assert found.status == 400
    assert found.answer["error"].endswith(".")


@pytest.mark.parametrize(
    "content",
    [
        b'{"rows": [{"a": 1, "a": 1}]}',
        b'{"rows": [{"a": "x:y", "b": 1, "a": 2}]}',
        b'{"rows": [{}], "rows": [{}]}',
        b'{"rows": [{"a": 1, "\\u0061": 2}]}',
        b'{"rows": [{"a": "\\u003a\\u003a", "b": 1, "b": 2}]}',
        b'{"rows": [{"a": {"x": 1, "x": 2}}]}',
        b'{"rows": [{"a": ":", "a": ""}]}',
        b'{"rows": [{"a": "", "a": ":"}]}',
    ],
)
def test_a_key_that_stands_twice_is_malformed(content: bytes) -> None:
    found = refusal(content)
    assert found.status == 400
    assert "stands twice" in found.answer["error"]


@pytest.mark.parametrize(
    "row", [{"a": "10:30:00", "b:c": ":"}, {"a": '\\ " \n', "b": ":"}, {"a": {"x": [":", {"y": 1}]}}, {"a": "ça: ☂ ☃"}]
)
def test_colons_and_escapes_in_texts_are_no_doubles(row: dict[str, Any]) -> None:
    for ascii_only in (True, False):
        assert body.parse(json.dumps({"rows": [row, row]}, ensure_ascii=ascii_only).encode(), 9) == [row, row]


def test_nesting_without_end_is_malformed() -> None:
    deep = b'{"rows": [{"a": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}]}"
    assert refusal(deep).status == 400
    assert refusal(b'{"rows": [{"a": ' + b'{"a":' * 1_000 + b"1" + b"}" * 1_000 + b"}]}").status == 400


def test_too_many_rows_are_refused_by_count() -> None:
    assert len(body.parse(b'{"rows": [' + b",".join([b"{}"] * 10_000) + b"]}", 9)) == 10_000
    found = refusal(b'{"rows": [' + b",".join([b"{}"] * 10_001) + b"]}")
    assert (found.status, found.answer["error"]) == (413, "at most 10,000 rows fit one request; got 10,001.")


@pytest.mark.parametrize("value", [b"1,", b'"ab",', b"[],", b"{},", b'{"a":1},', rb'"\\",'])
def test_more_values_than_rows_can_hold_are_refused_before_they_are_made(value: bytes) -> None:
    found = refusal(b'{"rows": [' + value * 200_000 + b"1]}")
    assert (found.status, found.answer["error"]) == (
        413,
        "at most 10,000 rows of the contract's fields fit one request.",
    )


def test_commas_in_texts_are_no_values() -> None:
    text = ',"\\,' * 60_000
    assert body.parse(json.dumps({"rows": [{"a": text}]}).encode(), 9) == [{"a": text}]


@pytest.mark.parametrize("unit", [b'"\\"\\",', b'\\,"', b'",', b'\\",'])
def test_texts_that_never_end_are_refused_in_time(unit: bytes) -> None:
    began = time.process_time()
    assert refusal(b'{"rows": ["' + unit * 500_000).status in (400, 413)
    assert time.process_time() - began < 2


def test_what_is_held_is_told_as_it_comes_and_may_be_refused() -> None:
    told: list[int] = []
    pieces = ({"type": "http.request", "body": b"ab", "more_body": True}, {"type": "http.request", "body": b"c"})
    assert read(JSON, *pieces, hold=told.append) == b"abc"
    assert told == [2, 1]


def test_a_body_may_come_in_pieces() -> None:
    pieces = ({"type": "http.request", "body": b"ab", "more_body": True}, {"type": "http.request", "body": b"c"})
    assert read(JSON, *pieces) == b"abc"


@pytest.mark.parametrize(
    "value", [b"application/json; charset=utf-8", b"Application/JSON", b'application/json;charset="UTF-8"']
)
def test_json_in_utf8_is_taken(value: bytes) -> None:
    assert read([(b"content-type", value)], {"type": "http.request", "body": b"x"}) == b"x"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"content-type", b"text/plain")],
        [(b"content-type", b"application/json; charset=latin-1")],
        [(b"content-type", b"application/jsonp")],
        [*JSON, (b"content-encoding", b"gzip")],
    ],
)
def test_other_types_are_refused_unread(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(RefusedError) as caught:
        read(headers)
    assert caught.value.status == 415


def test_a_body_announced_too_long_is_refused_unread() -> None:
    with pytest.raises(RefusedError, match="413"):
        read([*JSON, (b"content-length", str(8 * 1024**2 + 1).encode())])


def test_a_body_that_grows_too_long_is_refused_without_waiting_for_its_end() -> None:
    piece = {"type": "http.request", "body": b" " * 1024**2, "more_body": True}
    with pytest.raises(RefusedError, match="413"):
        read(JSON, *[piece] * 9)


def test_a_client_that_leaves_is_not_answered() -> None:
    with pytest.raises(GoneError):
        read(JSON, {"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"})

"""Heads that mean harm, or are broken: each is refused cleanly, and decent clients notice nothing."""

import json
from typing import Any

import pytest
from served import Service
from wires import Answer, ask, check_refusal, head, post, read_all, sending

pytestmark = pytest.mark.usefixtures("bystanders")
BODY = b'{"rows": [{"low": 1.5, "town": "here"}]}'


def lengths(service: Service, *pairs: tuple[str, str]) -> Answer:
    return ask(service.port, head(headers=[*service.headers.items(), *pairs]) + BODY)


@pytest.mark.parametrize(
    "length", ["-1", "+5", "0x10", "1e3", "5,5", "5 5", "", "ten", "\xb2", "9" * 30, str(2**64), str(2**64 + 60)]
)
def test_a_length_that_is_no_number_is_refused(service: Service, length: str) -> None:
    check_refusal(lengths(service, ("content-length", length)), 400)


def test_a_length_beyond_all_measure_is_refused_before_the_body(service: Service) -> None:
    for length in (2**63 - 1, 2**63, 2**64 - 1):
        check_refusal(lengths(service, ("content-length", str(length))), 413)


def test_two_lengths_or_a_length_beside_chunks_are_refused(service: Service) -> None:
    length, chunks = ("content-length", "52"), ("transfer-encoding", "chunked")
    for pairs in ((length, ("content-length", "3")), (length, length), (length, chunks), (chunks, length)):
        check_refusal(lengths(service, *pairs), 400)
    for coding in ("identity", "chunked, identity", "chunkedd", "chunked\x0b", "gzip"):
        check_refusal(lengths(service, ("transfer-encoding", coding)), 400)


def test_what_is_longer_than_said_is_not_taken_for_a_request(service: Service) -> None:
    sent = post(BODY, service.headers) + b'{"rows": [{}]}' * 100
    statuses = [status for status, _ in answers(service, sent)]
    assert statuses in ([200, 400], [400])


@pytest.mark.parametrize("size", [b"-1", b"fffffffffffffffff", b"0x10", b"g", b" ", b""])
def test_a_chunk_of_no_size_is_refused(service: Service, size: bytes) -> None:
    sent = head(headers={**service.headers, "transfer-encoding": "chunked"}) + size + b"\r\nabc\r\n0\r\n\r\n"
    check_refusal(ask(service.port, sent), 400)


def test_what_stands_beside_the_chunks_has_an_end(service: Service) -> None:
    start = head(headers={**service.headers, "transfer-encoding": "chunked"}) + b"1\r\n{\r\n"
    for rest in (b"0\r\nx-trailer: ", b"0\r\n" + b"x: y\r\n" * 10, b"1;extension="):
        check_refusal(ask(service.port, [start, rest, b"a" * 1_000_000]), 431, 400)


@pytest.mark.parametrize(
    "large",
    [
        {"x": "a" * 65536},
        {"x" * 65536: "a"},
        {"cookie": "a=b; " * 13_000},
        {"authorization": "Bearer " + "a" * 65536},
        {f"x-{i}": "a" for i in range(8000)},
    ],
    ids=["a value", "a name", "a cookie", "a token", "8,000 of them"],
)
def test_64_kb_of_headers_are_refused(service: Service, large: dict[str, str]) -> None:
    check_refusal(ask(service.port, head("GET", "/readyz", large)), 431)
    check_refusal(ask(service.port, head("GET", "/readyz?" + "a" * 65536)), 431)


@pytest.mark.parametrize("method", ["TRACE", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "SEARCH", "GET"])
def test_another_method_is_refused_with_405(service: Service, method: str) -> None:
    answer = ask(service.port, head(method, "/predict", {**service.headers, "x-echo": "not to be told"}))
    check_refusal(answer, 405)
    assert answer.header("allow") == "POST"
    assert b"told" not in answer.body


@pytest.mark.parametrize("method", ["CONNECT", "FOO", "get", "G\x00T", "P" * 5000, "JEFE", ""])
def test_a_method_that_does_not_exist_or_tunnels_is_refused(service: Service, method: str) -> None:
    check_refusal(ask(service.port, head(method, "/predict", service.headers)), 400)


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/%252e%252e%252fetc%252fpasswd",
        "/..%5c..%5cwindows%5cwin.ini",
        "/page/../../main.py",
        "/page.css/../main.py",
        "//etc/passwd",
        "/./predict",
        "/predict/",
        "/predict%00.css",
        "/predict;x=y",
        "/PREDICT",
        "/%c0%ae%c0%ae/etc/passwd",
        "/%ff%fe",
        "/%0d%0aset-cookie:%20a=b",
        "/%1b%5b31m<script>alert(1)</script>",
        "/" + "a" * 5000,
        "*",
        "http://127.0.0.1/../../etc/passwd",
        "http://elsewhere.example/etc/passwd",
    ],
)
def test_a_path_leads_nowhere_but_to_what_is_served(service: Service, path: str) -> None:
    answer = ask(service.port, head("GET", path, service.headers))
    check_refusal(answer, 404)
    assert b"root:" not in answer.body
    assert answer.header("set-cookie") is None


@pytest.mark.parametrize("path", ["/\x1b[31m", "/\xe9", "file:///etc/passwd", "predict", "/a b", "http://", "\\", ""])
def test_a_path_that_is_none_is_refused(service: Service, path: str) -> None:
    check_refusal(ask(service.port, head("GET", path, service.headers)), 400)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00" * 100,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x80\x04\x95",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n folded: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\n: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\nhost: a\n\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(service: Service, sent: bytes) -> None:
    check_refusal(ask(service.port, sent), 400)


def answers(service: Service, sent: bytes) -> list[tuple[int, Any]]:
    """Return every answer on one connection, until the service closes it."""
    with sending(service.port, sent) as connection:
        found, left = [], read_all(connection)
    while left:
        top, _, left = left.partition(b"\r\n\r\n")
        length = int(top.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        found.append((int(top.split()[1]), json.loads(left[:length])))
        left = left[length:]
    return found


def test_what_is_sent_ahead_is_answered_in_order_or_refused(service: Service) -> None:
    """A refusal may take the place of answers that were not given yet; it is always the last."""
    row, wrong = {"rows": service.built.rows[:1]}, json.dumps({"rows": service.built.rows * 20}).encode()
    good, large = post(json.dumps(row).encode(), service.headers), post(wrong, service.headers)
    ends = {
        "garbage": (b"\x00garbage\r\n\r\n", 400),
        "a large head": (head("GET", "/readyz", {"x": "a" * 20_000}), 431),
        "a hundred more": (good * 100, 429),
    }
    for start in (b"", good, large, good + large, large + good, good * 5):
        for end, status in ends.values():
            statuses = [found for found, _ in answers(service, start + end)]
            assert statuses[-1] == status
            assert set(statuses[:-1]) <= {200}
    closing = post(json.dumps(row).encode(), {**service.headers, "connection": "close"})
    for found, told in (all_of_it := answers(service, large + good * 3 + closing)):
        assert found == 200
        expected = service.built.expected * 20 if len(told["predictions"]) > 1 else service.built.expected[:1]
        assert [one["prediction"] for one in told["predictions"]] == [one["prediction"] for one in expected]
    assert [len(told["predictions"]) for _, told in all_of_it] == [2000, 1, 1, 1, 1]

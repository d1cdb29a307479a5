"""Requests without the token: all are told the same, nothing."""

import json

import psutil
import pytest
from served import Service
from wires import ask, check_refusal, head, post

pytestmark = pytest.mark.usefixtures("bystanders")
BODY = b'{"rows": [{"low": 1.5, "town": "here"}]}'
TOKENS = {
    "none": [],
    "an empty one": ["Bearer "],
    "no scheme": ["{token}"],
    "another scheme": ["Basic {token}"],
    "another token": ["Bearer wrong-token-0123456789"],
    "the start of it": ["Bearer {token:.30}"],
    "more than it": ["Bearer {token}x"],
    "it in capitals": ["Bearer {TOKEN}"],
    "it twice": ["Bearer {token}", "Bearer {token}"],
    "a wrong one after it": ["Bearer {token}", "Bearer wrong"],
    "both in one": ["Bearer {token}, Bearer {token}"],
    "it in quotes": ['Bearer "{token}"'],
    "not in ASCII": ["Bearer \xe9\xff"],
    "10 kB of it": ["Bearer " + "a" * 10_000],
}


@pytest.mark.parametrize("name", TOKENS)
def test_without_the_token_nothing_is_told(service: Service, name: str) -> None:
    token = str(service.setting.token)
    given = [value.replace("{TOKEN}", token.upper()).format(token=token) for value in TOKENS[name]]
    pairs = [("content-type", "application/json"), *(("authorization", value) for value in given)]
    told = set()
    for method, path in (
        ("POST", "/predict"),
        ("POST", "/explain"),
        ("PUT", "/predict"),
        ("GET", "/card"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("GET", "/nothing"),
        ("GET", "/../etc/passwd"),
    ):
        answer = ask(service.port, head(method, path, pairs))
        check_refusal(answer, 401)
        names = tuple(name for name, _ in answer.headers)
        told.add((names, answer.header("www-authenticate"), json.dumps({**answer.json(), "request_id": ""})))
    assert len(told) == 1, "what exists is not told from what does not"
    ((names, scheme, body),) = told
    assert (scheme, body) == ("Bearer", '{"error": "not allowed.", "request_id": ""}')
    assert not {"x-model", "x-bento", "allow", "server"} & set(names)


def test_a_large_body_without_the_token_is_not_read(service: Service) -> None:
    check_refusal(ask(service.port, post(b"x" * 20_000_000, {"content-type": "application/json"})), 401)


def test_probes_and_the_page_need_no_token_and_name_the_scheme_in_any_case(service: Service) -> None:
    for path in ("/healthz", "/livez", "/readyz", "/"):
        assert ask(service.port, head("GET", path)).status == 200
    for scheme in ("bearer", "BEARER"):
        headers = {**service.headers, "authorization": f"{scheme} {service.setting.token}"}
        assert ask(service.port, post(BODY, headers)).status == 200


def test_one_port_listens_and_no_other(service: Service) -> None:
    """The keeper of the worker takes orders on none, since they would need no token."""
    connections = [one for process in service.processes() for one in process.net_connections(kind="inet")]
    listening = {(one.laddr.ip, one.laddr.port) for one in connections if one.status == psutil.CONN_LISTEN}
    assert listening == {("127.0.0.1", service.port)}

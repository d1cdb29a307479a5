"""Ask the service that is live in a project, within one process, and have it record what it answered."""

import json
from pathlib import Path
from typing import Any

import project

ASK = """
import asyncio, json, sys
from lockstep.service import main

async def ask(body):
    main.Service.inner()
    sent, headers = [], [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers, "server": ("127.0.0.1", 3000)}
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}
    async def send(message):
        sent.append(message)
    await main.app(scope, receive, send)
    return b"".join(message.get("body", b"") for message in sent)

print(asyncio.run(ask(sys.argv[1].encode())).decode())
"""
RELEASE = """
from pathlib import Path
from lockstep import release
release.promote(Path.cwd(), release.build(Path.cwd()))
"""


def ask(root: Path, rows: list[dict[str, Any]], first: str = "") -> list[dict[str, Any]]:
    """Return the service's predictions for rows; they are recorded when this returns. ``first`` is run before."""
    answer = json.loads(project.said(project.run(root, "python", "-c", first + ASK, json.dumps({"rows": rows}))))
    assert "predictions" in answer, answer
    return list(answer["predictions"])


def release_and_ask(root: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Build the release of what was evaluated last, without the proof of packaging, make it live, and ask it."""
    return ask(root, rows, RELEASE)

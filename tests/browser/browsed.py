"""Services for a browser to look at, and what tests ask of a page."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import small_project
import uvicorn
from playwright.sync_api import Locator, Page

from lockstep import contract as contracts
from lockstep import release
from lockstep.contract.read import read
from lockstep.service import released, wire
from lockstep.service.app import App, Served

BROWSERS = ("chromium", "google-chrome")
READY_WITHIN_S = 20.0
TOKEN = "t0ken-of-the-tests-0123456789"
RUN = {"name": "winner linear", "url": "http://127.0.0.1:5000/#/experiments/1/runs/abc"}

SCRIPT = "<script>document.title = 'run'</script>"
IMAGE = '"><img src=x onerror="document.title=\'run\'">'
BOLD = "<b>yes</b> & 'quoted'"
HOSTILE = {"red": SCRIPT, "here": IMAGE, "yes": BOLD}
NAMES = {"high": "<i>high</i>\"'&amp;", "active": "__proto__"}


def chromium() -> str:
    """Return where Chromium is; without one the test skips, but where CI asks for it fails."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        reason = "no Chromium to look at the page with; install the Debian package 'chromium'"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def served(root: Path, *, run: bool = False) -> Served:
    """Return the release of a project, as the service loads it."""
    built = release.build(root)
    found = released.verify(built.folder, built.pointer)
    schema, card = ((found.folder / name).read_bytes() for name in (released.SCHEMA, released.CARD))
    model = released.load(found)
    return Served(model, built.tag, schema, json.loads(card), run=(lambda _: RUN) if run else (lambda _: None))


@contextlib.contextmanager
def serving(app: App) -> Iterator[str]:
    """Answer by ``app`` on a free port of the loopback, in a thread of this process; yield the address."""
    protocol = type("Protocol", (wire.Protocol,), {"answer": app})
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, http=protocol, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        deadline = time.monotonic() + READY_WITHIN_S
        while not server.started and time.monotonic() < deadline and thread.is_alive():
            thread.join(0.01)
        try:
            assert server.started
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(READY_WITHIN_S)


def spoil(root: Path) -> Path:
    """Fit a project again on a table whose names, values, classes and descriptions look like markup."""
    contract = root / contracts.FILE
    suite = json.loads(contract.read_text("utf-8"))
    suite["meta"]["columns"] = {NAMES.get(name, name): column for name, column in suite["meta"]["columns"].items()}
    suite["meta"]["columns"]["low"]["description"] = SCRIPT
    for rule in suite["expectations"]:
        given = rule["kwargs"]
        rule["kwargs"] = {key: NAMES.get(str(value), value) for key, value in given.items() if key != "value_set"}
        if "value_set" in given:
            rule["kwargs"]["value_set"] = [HOSTILE.get(value, value) for value in given["value_set"]]
    contract.write_text(json.dumps(suite))
    (root / "src" / "features.py").write_text("")
    table = small_project.draw(300).replace(HOSTILE).rename(columns=NAMES)
    rows = read(table, contracts.load(root)).rows
    small_project.FEATURES, kept = "", small_project.FEATURES
    try:
        small_project.save_predictor(root, rows[:200], "binary", "linear")
    finally:
        small_project.FEATURES = kept
    small_project.evaluate(root, rows[200:])
    rows[:200].rename_axis(index="row").to_parquet(root / "data" / "train.parquet")
    return root


def ask(address: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Return status and JSON of what a program would get."""
    host, port = address.removeprefix("http://").rstrip("/").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    with contextlib.closing(connection):
        content = None if body is None else json.dumps(body)
        connection.request("POST" if content else "GET", path, content, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def field(page: Page, name: str) -> Locator:
    """Return the control of a column; a number's field, not its slider."""
    return page.get_by_label(name, exact=True)


def predict(page: Page) -> dict[str, Any]:
    """Press the button; return what the service answered, once its explanation is shown too."""
    with page.expect_response("**/predict") as answered:
        page.get_by_role("button", name="Predict", exact=True).click()
    page.locator("table.contributions").wait_for()
    answer: dict[str, Any] = answered.value.json()
    return answer


def contributions(page: Page) -> dict[str, str]:
    """Return the rows of the table of contributions, totals included: their heading, and the figure."""
    rows = page.locator("table.contributions :is(tbody, tfoot) tr").all()
    return {row.locator("th").inner_text().replace("\xa0", " "): row.locator("td").last.inner_text() for row in rows}


def row_of(page: Page) -> dict[str, Any]:
    """Return the row that the page sends, by having it sent."""
    with page.expect_request("**/predict") as asked:
        page.get_by_role("button", name="Predict", exact=True).click()
    (row,) = asked.value.post_data_json["rows"]
    return dict(row)

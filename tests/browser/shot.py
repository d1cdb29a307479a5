"""Take the picture of the page that stands in docs/: ``python tests/browser/shot.py``, where something is live.

It serves what is live in the project, asks it for one row, and writes ``docs/service-page.png``.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "service"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import browsed
from playwright.sync_api import Locator, sync_playwright

from lockstep import project, tracked
from lockstep.service import released
from lockstep.service.app import App, Served

PICTURE = "docs/service-page.png"
ROW = {"contract": "monthly", "support_contacts": "4", "satisfaction": "2", "days_since_login": "45"}
"""What is changed of the example, where there are such fields."""
SCALE = 0.8
"""Keeps the file below 250 kB."""


def take(root: Path) -> Path:
    """Write the picture of what is live in a project."""
    found = released.live(project.state(root))
    schema, card = ((found.folder / name).read_bytes() for name in (released.SCHEMA, released.CARD))
    model, tag = released.load(found), found.identity.tag
    app = App()
    app.serve(Served(model, tag, schema, json.loads(card), run=lambda predictor: tracked.run(root, predictor)))
    with browsed.serving(app) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browsed.chromium(), args=["--no-sandbox"])
        screen = {"width": 1200, "height": 1400}
        page = browser.new_page(viewport=screen, device_scale_factor=SCALE, reduced_motion="reduce")
        page.goto(address)
        page.locator("#work").wait_for()
        for name, value in ROW.items():
            for field in browsed.field(page, name).all():
                enter(field, value)
        browsed.predict(page)
        page.locator("h1").click()  # away from the button
        page.screenshot(path=root / PICTURE, full_page=True)
        browser.close()
    return root / PICTURE


def enter(field: Locator, value: str) -> None:
    """Fill a field in, or choose from a menu."""
    if field.evaluate("(node) => node.tagName") == "SELECT":
        field.select_option(value)
    else:
        field.fill(value)


if __name__ == "__main__":
    print(take(project.find()))

"""The page follows the contract: an edited range moves its slider and what it refuses, and no code was edited."""

from pathlib import Path

import browsed
import pytest
import small_project
from browsed import field
from playwright.sync_api import Page, expect

from lockstep import contract as contracts
from lockstep.contract.read import read
from lockstep.service.app import App


@pytest.mark.parametrize(("low", "high"), [(0, 1000), (20, 60)])
def test_a_slider_has_the_range_of_the_contract(page: Page, tmp_path: Path, low: int, high: int) -> None:
    root = small_project.make(tmp_path, family="linear")
    path = root / contracts.FILE
    before, after = '"min_value": 0, "max_value": 1000', f'"min_value": {low}, "max_value": {high}'
    assert path.read_text().count(before) == 1
    path.write_text(path.read_text().replace(before, after))
    rows = read(small_project.draw(600), contracts.load(root)).rows.query("@low <= low <= @high")
    small_project.save_predictor(root, rows[:100], "binary", "linear")
    small_project.evaluate(root, rows[100:200])

    app = App()
    app.serve(browsed.served(root))
    with browsed.serving(app) as address:
        page.goto(address)
        slider = page.get_by_role("slider", name="low, slider")
        expect(slider).to_have_attribute("min", str(low))
        expect(slider).to_have_attribute("max", str(high))
        field(page, "low").fill(str(high + 1))
        field(page, "low").press("Enter")
        expect(page.locator("#refused")).to_contain_text(f"low must be between {low} and {high}; found {high + 1}")

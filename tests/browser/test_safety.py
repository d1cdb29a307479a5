"""Whatever stands in names, values and answers is text; nothing is asked elsewhere, and nothing else may run."""

from collections.abc import Callable
from typing import Any

from browsed import BOLD, IMAGE, NAMES, SCRIPT, contributions, field, predict
from playwright.sync_api import BrowserContext, Page, expect

Opened = Callable[..., Page]


def markup(page: Page) -> dict[str, int]:
    """Count the elements that the texts would make if they were markup, beyond the page's own."""
    return {name: page.locator(f"body {name}").count() for name in ("script", "img", "b", "i", "object", "iframe")}


def test_names_values_classes_and_descriptions_are_text(opened: Opened) -> None:
    page = opened("hostile")
    low, high, active = field(page, "low"), field(page, NAMES["high"]), field(page, NAMES["active"])
    expect(page.locator(".help", has_text=SCRIPT)).to_be_visible()
    assert SCRIPT in field(page, "colour").locator("option").all_inner_texts()
    low.fill("60")
    high.fill("70.5")
    active.select_option("true")
    field(page, "colour").select_option(SCRIPT)
    field(page, "town").fill(IMAGE)
    with page.expect_request("**/predict") as asked:
        (answer,) = predict(page)["predictions"]
    (row,) = asked.value.post_data_json["rows"]
    assert (row[NAMES["high"]], row["colour"], row["town"]) == (70.5, SCRIPT, IMAGE)
    assert '"__proto__":true' in (asked.value.post_data or "")
    assert set(answer["probabilities"]) == {BOLD, "no"}
    expect(page.locator(".chances li", has_text=BOLD)).to_be_visible()
    headings = list(contributions(page))
    assert any(heading.startswith(f"{NAMES['high']} = 70.5") for heading in headings)
    assert f"colour = {SCRIPT}" in headings
    assert "__proto__ = true" in headings
    assert markup(page) == dict.fromkeys(("script", "img", "b", "i", "object", "iframe"), 0)
    assert page.title() == "Predict target"


def test_refusals_and_warnings_show_what_was_found_as_text(opened: Opened) -> None:
    page = opened("hostile")
    field(page, "town").fill(f"{IMAGE}!")
    predict(page)
    expect(page.locator(".notice.warn")).to_contain_text(IMAGE)
    field(page, "opened").fill(SCRIPT)
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text=SCRIPT)).to_be_visible()
    assert sum(markup(page).values()) == 0
    assert page.title() == "Predict target"


def test_a_link_to_a_run_leads_to_http_alone(page: Page, address: Callable[..., str]) -> None:
    def answer(route: Any) -> None:
        card = route.fetch().json()
        route.fulfill(json={**card, "run": {"name": "the run", "url": "javascript:document.title='run'"}})

    page.route("**/card", answer)
    page.goto(address())
    model = page.get_by_role("region", name="The model")
    expect(model.get_by_text("the run")).to_be_visible()
    expect(model.get_by_role("link")).to_have_count(0)


def test_the_policy_stops_what_would_run_or_load_anything_else(
    context: BrowserContext, watched: Any, address: Callable[..., str]
) -> None:
    page = context.new_page()
    page.goto(address())
    page.locator("#work").wait_for()
    page.evaluate(
        """async () => {
          const image = document.createElement("img");
          image.src = "http://elsewhere.invalid/a.png";
          document.body.append(image);
          await fetch("http://elsewhere.invalid/").catch(() => null);
          const refused = (work) => { try { work(); } catch { /* as wanted */ } };
          refused(() => document.body.insertAdjacentHTML("beforeend", "<b>markup</b>"));
          refused(() => document.body.setAttribute("onclick", "document.title = 'run'"));
          refused(() => { document.createElement("script").text = "document.title = 'run'"; });
          document.body.click();
        }"""
    )
    expect(page.locator("body > b")).to_have_count(0)
    assert page.title() == "Predict target"
    stopped = {text.split()[1] for text in watched.said if text.startswith("policy ")}
    assert stopped >= {"img-src", "connect-src", "require-trusted-types-for"}


def test_another_page_may_not_frame_it(page: Page, address: Callable[..., str]) -> None:
    response = page.goto(address())
    assert response is not None
    policy = response.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"

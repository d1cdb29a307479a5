"""What is wrong with the service is said plainly, what was filled in stays, and the next try works."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import browsed
import pytest
from browsed import TOKEN, field, predict
from playwright.sync_api import Page, Route, expect

from lockstep.service.app import App

Opened = Callable[..., Page]
SAID = {
    429: "The service is busy. Try again in a moment.",
    503: "The service is not ready. Try again in a moment.",
    413: "That is too much for one request.",
    500: "The service answered 500: the service failed; its log says why.",
}


def press(page: Page) -> None:
    page.get_by_role("button", name="Predict", exact=True).click()


def failing(status: int) -> Callable[[Route], None]:
    """Return what answers in the service's place, as it would."""
    answer = {"error": "the service failed; its log says why.", "request_id": "0"}
    return lambda route: route.fulfill(status=status, json=answer)


@pytest.mark.parametrize("status", SAID)
def test_an_answer_that_is_none_is_said_and_another_try_works(opened: Opened, status: int) -> None:
    page = opened()
    field(page, "low").fill("7")
    page.route("**/predict", failing(status))
    press(page)
    expect(page.locator("#notice")).to_contain_text(SAID[status])
    page.unroute("**/predict")
    with page.expect_response("**/predict") as answered:
        page.get_by_role("button", name="Try again").click()
    assert answered.value.request.post_data_json["rows"][0]["low"] == 7
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.locator(".headline")).to_be_visible()


def test_a_service_that_is_gone_or_answers_no_json_is_said(opened: Opened) -> None:
    page = opened()
    page.route("**/predict", lambda route: route.fulfill(status=502, body="<html>Bad gateway</html>"))
    press(page)
    expect(page.locator("#notice")).to_contain_text("The service answered 502, and not in JSON.")
    page.unroute("**/predict")
    page.context.set_offline(True)
    press(page)
    expect(page.locator("#notice")).to_contain_text("The service cannot be reached. Does it still run?")
    page.context.set_offline(False)
    predict(page)


def test_a_prediction_stands_without_its_explanation(opened: Opened) -> None:
    page = opened()
    page.route("**/explain", failing(500))
    press(page)
    expect(page.locator("#result")).to_contain_text("What led to it cannot be shown. The service answered 500")
    expect(page.locator(".headline")).to_be_visible()
    expect(page.locator(".trace")).to_be_visible()


def test_a_form_stands_without_the_models_card(page: Page, address: Callable[..., str]) -> None:
    page.route("**/card", failing(500))
    page.goto(address())
    predict(page)
    expect(page.get_by_role("region", name="The model")).to_be_hidden()


def test_another_release_that_answers_is_told(page: Page, address: Callable[..., str]) -> None:
    page.route("**/card", lambda route: route.fulfill(json={**route.fetch().json(), "bento": "churn:before"}))
    page.goto(address())
    predict(page)
    expect(page.locator("#notice")).to_contain_text("Another release answers now, churn:")
    expect(page.locator(".headline")).to_be_visible()


def test_a_page_waits_for_a_service_that_starts(
    page: Page, roots: Callable[[str], Path], address: Callable[..., str]
) -> None:
    app = App()
    with browsed.serving(app) as starting:
        page.goto(starting)
        expect(page.locator("#notice")).to_contain_text("The service is not ready.")
        app.serve(browsed.served(roots("binary")))
        page.get_by_role("button", name="Try again").click()
        page.locator("#work").wait_for()
        predict(page)


def test_a_second_press_while_one_is_answered_asks_nothing_more(opened: Opened) -> None:
    page = opened()
    held: list[Route] = []
    page.route("**/predict", lambda route: held.append(route))
    press(page)
    expect(page.get_by_role("button", name="Predict", exact=True)).to_have_attribute("aria-disabled", "true")
    page.locator("#form").evaluate("(form) => form.requestSubmit()")
    (route,) = held
    route.continue_()
    page.locator(".headline").wait_for()
    assert len(held) == 1


def test_a_token_is_asked_for_and_kept_in_the_tab_alone(page: Page, address: Callable[..., str]) -> None:
    page.goto(address("binary", TOKEN.encode()))
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    expect(page.locator("#work")).to_be_hidden()
    page.keyboard.type("another-token-of-nobody")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="The service does not know this token.")).to_be_visible()
    expect(page.get_by_label("Token", exact=True)).to_have_value("")
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    page.locator("#work").wait_for()
    predict(page)
    page.get_by_text("The same by curl").click()
    assert "Bearer $LOCKSTEP_TOKEN" in page.locator("pre").inner_text()
    assert TOKEN not in page.content()
    assert TOKEN not in page.url
    assert page.evaluate("[localStorage.length, document.cookie, JSON.stringify(sessionStorage)]") == [
        0,
        "",
        f'{{"lockstep-token":"{TOKEN}"}}',
    ]
    page.reload()
    page.locator("#work").wait_for()


@pytest.mark.parametrize("typed", ["", "two words", "snowman☃"])
def test_what_can_be_no_token_is_not_sent(page: Page, watched: Any, address: Callable[..., str], typed: str) -> None:
    page.goto(address("binary", TOKEN.encode()))
    page.get_by_label("Token", exact=True).fill(typed)
    before = len(watched.asked)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("alert").filter(has_text="A token has letters, digits and signs")).to_be_visible()
    assert len(watched.asked) == before


def test_a_token_that_is_no_longer_known_is_asked_for_again_and_the_row_stays(
    page: Page, address: Callable[..., str]
) -> None:
    page.goto(address("binary", TOKEN.encode()))
    page.get_by_label("Token", exact=True).fill(TOKEN)
    page.keyboard.press("Enter")
    page.locator("#work").wait_for()
    field(page, "low").fill("7")
    page.route("**/predict", failing(401))
    press(page)
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    assert page.evaluate("sessionStorage.length") == 0
    page.unroute("**/predict")
    page.keyboard.type(TOKEN)
    with page.expect_response("**/predict") as answered:
        page.keyboard.press("Enter")
    assert answered.value.request.post_data_json["rows"][0]["low"] == 7
    expect(field(page, "low")).to_have_value("7")


def test_links_bring_the_token_too(page: Page, address: Callable[..., str]) -> None:
    page.goto(address("binary", TOKEN.encode()))
    page.get_by_label("Token", exact=True).fill(TOKEN)
    page.keyboard.press("Enter")
    page.locator("#work").wait_for()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="openapi.json").click()
    opened.value.wait_for_url(lambda url: url.startswith("blob:"))
    expect(opened.value.locator("body")).to_contain_text('"openapi"')

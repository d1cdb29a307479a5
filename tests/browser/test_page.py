"""The page in a browser: what a person does, with the keyboard alone too, gives what a program gets."""

from collections.abc import Callable
from typing import Any

from browsed import ask, field, predict, row_of
from playwright.sync_api import Page, expect

Opened = Callable[..., Page]
LOW = "The lower figure. 0 to 1,000. Usually at most 95."
KEYS = {"ArrowRight": "501", "ArrowDown": "500", "PageUp": "510", "Home": "0", "End": "1000"}


def percent(chance: float) -> str:
    """Return a probability as the page writes it."""
    decimals = 2 if chance > 0.99 or chance < 0.01 else 1
    return f"{100 * chance:.{decimals}f}".rstrip("0").rstrip(".") + " %"


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.labels?.[0]?.innerText ?? document.activeElement.innerText"))


def tab_to(page: Page, text: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if focused(page).startswith(text):
            return
    raise AssertionError(f"{text!r} cannot be reached by Tab")


def test_a_row_is_filled_and_sent_with_the_keyboard_alone(opened: Opened, address: Callable[..., str]) -> None:
    page = opened()
    tab_to(page, "low")
    page.keyboard.press("Control+A")
    page.keyboard.type("40.5")
    tab_to(page, "colour")
    page.keyboard.type("red")
    tab_to(page, "town")
    page.keyboard.type("there")
    tab_to(page, "Predict")
    with page.expect_response("**/predict") as answered:
        page.keyboard.press("Enter")
    (row,) = answered.value.request.post_data_json["rows"]
    assert (row["low"], row["colour"], row["town"]) == (40.5, "red", "there")
    status, expected = ask(address(), "/predict", {"rows": [row]})
    assert status == 200
    (mine,), (theirs,) = answered.value.json()["predictions"], expected["predictions"]
    assert mine["probabilities"] == theirs["probabilities"]
    expect(page.locator(".headline strong")).to_have_text(theirs["prediction"])
    for name, chance in theirs["probabilities"].items():
        expect(page.locator(".chances li", has_text=name).locator(".figure")).to_have_text(percent(chance))


def test_enter_in_a_field_predicts(opened: Opened) -> None:
    page = opened()
    field(page, "low").focus()
    with page.expect_response("**/predict") as answered:
        page.keyboard.press("Enter")
    assert answered.value.status == 200
    expect(page.get_by_role("status").filter(has_text="Prediction:")).to_have_count(1)


def test_the_example_is_filled_in_and_comes_back(opened: Opened, address: Callable[..., str]) -> None:
    page = opened()
    content = ask(address(), "/openapi.json")[1]["paths"]["/predict"]["post"]["requestBody"]["content"]
    (example,) = content["application/json"]["example"]["rows"]
    assert row_of(page) == example
    field(page, "low").fill("1")
    field(page, "colour").select_option("missing")
    page.get_by_role("button", name="Fill in the example").click()
    assert row_of(page) == example


def test_what_is_left_empty_is_missing_and_numbers_stay_numbers(opened: Opened) -> None:
    page = opened()
    for name in ("high", "opened", "remark", "town"):
        field(page, name).fill("")
    field(page, "colour").select_option("missing")
    field(page, "active").select_option("true")
    field(page, "low").fill("0.1")
    row = row_of(page)
    assert [row[name] for name in ("high", "opened", "remark", "town", "colour")] == [None] * 5
    assert (row["active"], row["low"]) == (True, 0.1)
    assert "note" not in row


def test_a_set_is_a_menu_categories_are_suggested_and_a_date_says_its_form(opened: Opened) -> None:
    page = opened()
    assert field(page, "colour").locator("option").all_inner_texts() == ["missing", "red", "green", "blue"]
    assert field(page, "active").locator("option").all_inner_texts() == ["missing", "true", "false"]
    suggested = page.locator(f"#{field(page, 'town').get_attribute('list')} option")
    assert [option.get_attribute("value") for option in suggested.all()] == ["far", "here", "there"]
    assert field(page, "opened").get_attribute("placeholder") == "2024-01-31"
    expect(field(page, "opened")).to_have_accessible_description(
        "A date like 2024-01-31, or 2024-01-31T13:45:00 in UTC. Must be 2000-01-01 or later."
    )
    expect(field(page, "low")).to_have_accessible_description(LOW)
    assert field(page, "low").get_attribute("aria-required") == "true"
    assert page.get_by_text("note", exact=True).count() == 0


def test_what_the_model_does_not_see_is_folded_away(opened: Opened) -> None:
    page = opened()
    expect(field(page, "account")).to_be_hidden()
    page.get_by_text("Not seen by the model", exact=True).click()
    expect(field(page, "account")).to_have_value("A0001")


def test_slider_and_number_stay_equal(opened: Opened) -> None:
    page = opened()
    number, slider = field(page, "low"), page.get_by_role("slider", name="low, slider")
    for value in ("12.34", "0", "1000"):
        number.fill(value)
        assert slider.input_value() == value
    number.fill("500")
    slider.focus()
    for key, expected in KEYS.items():
        page.keyboard.press(key)
        assert (slider.input_value(), number.input_value()) == (expected, expected)
    slider.click(position={"x": 1, "y": 5})
    assert number.input_value() == slider.input_value() == "0"
    number.fill("")
    expect(slider).to_have_attribute("aria-valuetext", "missing")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert number.input_value() == slider.input_value() == "501"


def test_a_refusal_lands_at_its_field(opened: Opened) -> None:
    page = opened()
    page.get_by_text("Not seen by the model", exact=True).click()
    field(page, "account").fill("B1")
    page.get_by_text("Not seen by the model", exact=True).click()
    field(page, "low").fill("-5")
    field(page, "opened").fill("31.01.2024")
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(field(page, "low")).to_be_focused()
    expect(field(page, "low")).to_have_attribute("aria-invalid", "true")
    expect(field(page, "low")).to_have_accessible_description(
        "Must be between 0 and 1000; found -5.0. Rule: be_between(min_value=0, max_value=1000) " + LOW
    )
    alert = page.get_by_role("alert").filter(has_text="The row is refused: 3 fields")
    assert alert.get_by_role("listitem").all_inner_texts() == [
        "low must be between 0 and 1000; found -5.0",
        "opened must be a date like 2024-01-31 or 2024-01-31T13:45:00; found 31.01.2024",
        "account must match the pattern ^A\\d{4}$; found B1",
    ]
    alert.get_by_role("link", name="account").click()
    expect(field(page, "account")).to_be_focused()
    expect(page.locator("#result")).to_have_text("No prediction: the row is refused.")


def test_what_was_refused_is_clean_again_once_it_is_mended(opened: Opened) -> None:
    page = opened()
    field(page, "low").fill("")
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(field(page, "low")).to_have_accessible_description(f"Must be given. Rule: not_be_null() {LOW}")
    field(page, "low").fill("3")
    predict(page)
    assert field(page, "low").get_attribute("aria-invalid") is None
    expect(page.locator("#refused")).to_be_empty()


def test_what_is_no_number_is_refused_before_it_is_sent(opened: Opened, watched: Any) -> None:
    page = opened()
    field(page, "high").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("1e")
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(field(page, "high")).to_be_focused()
    expect(field(page, "high")).to_have_accessible_description("Must be a number; found something else Above 0.")
    assert not [url for url in watched.asked if url.endswith("/predict")]

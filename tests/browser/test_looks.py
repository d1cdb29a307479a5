"""What the page is to eyes and to ears: contrast, dark and light, narrow screens, names of every control."""

from collections.abc import Callable, Iterator

import pytest
from browsed import field, predict
from playwright.sync_api import Page, expect

Opened = Callable[..., Page]
CONTROLS = {"button", "link", "textbox", "spinbutton", "slider", "combobox", "DisclosureTriangle", "region"}
FAINT = """() => {
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
  };
  const ratio = (one, two) => {
    const [high, low] = [luminance(one), luminance(two)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const found = [];
  const look = (node, text, color) => found.push([text.trim().slice(0, 40), ratio(parse(color), behind(node))]);
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.data, node = walk.currentNode.parentElement;
    if (text.trim() && node.checkVisibility()) look(node, text, getComputedStyle(node).color);
  }
  for (const node of document.querySelectorAll("input:not([type=range]), select, textarea")) {
    if (!node.checkVisibility()) continue;
    look(node, node.id, getComputedStyle(node).color);
    if (node.placeholder) look(node, node.placeholder, getComputedStyle(node, "::placeholder").color);
  }
  return found;
}"""
OUTSIDE = """() => {
  const right = (node) => node.getBoundingClientRect().right;
  return [...document.querySelectorAll(".field :is(input, select, textarea), .card button, .card code")]
    .filter((node) => node.checkVisibility() && right(node) > right(node.closest(".field, .card")) + 1)
    .map((node) => node.outerHTML);
}"""
EDGES = """() => [...document.querySelectorAll("input:not([type=range]), select, textarea, button:not(.primary)")]
  .filter((node) => node.checkVisibility())
  .map((node) => [getComputedStyle(node).borderTopColor, getComputedStyle(node.closest(".card")).backgroundColor])"""


def named(page: Page) -> Iterator[tuple[str, str]]:
    """Yield role and name of every control, as a screen reader gets them."""
    session = page.context.new_cdp_session(page)
    for node in session.send("Accessibility.getFullAXTree")["nodes"]:
        role = node.get("role", {}).get("value")
        if role in CONTROLS and not node.get("ignored"):
            yield role, node.get("name", {}).get("value", "")


def luminance(color: str) -> float:
    parts = [float(part) / 255 for part in color.removeprefix("rgb(").removesuffix(")").split(",")]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def ratio(one: str, two: str) -> float:
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


def colours(page: Page) -> list[str]:
    script = "[document.body, document.querySelector('.card')].map((node) => getComputedStyle(node).backgroundColor)"
    return list(page.evaluate(script))


def everything(page: Page) -> None:
    """Have the page show what it can: an answer, a warning, what is folded; then a refusal on top of it."""
    field(page, "town").fill("nowhere")
    predict(page)
    for fold in page.locator("details").all():
        fold.evaluate("(node) => { node.open = true; }")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["binary", "multiclass", "regression"])
def test_every_text_has_the_contrast_that_reading_takes(opened: Opened, name: str, scheme: str) -> None:
    page = opened(name, scheme)
    everything(page)
    found = page.evaluate(FAINT)
    assert len(found) > 80
    assert [item for item in found if item[1] < 4.5] == []
    field(page, "low").fill("-1")
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(field(page, "low")).to_be_focused()
    assert [item for item in page.evaluate(FAINT) if item[1] < 4.5] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_edge_of_every_control_can_be_seen(opened: Opened, scheme: str) -> None:
    found = opened("binary", scheme).evaluate(EDGES)
    assert len(found) > 8
    assert [pair for pair in found if ratio(*pair) < 3] == []


def test_the_dark_page_is_dark_and_changes_while_it_is_open(opened: Opened) -> None:
    page = opened("binary", "dark")
    dark = colours(page)
    page.emulate_media(color_scheme="light")
    light = colours(page)
    assert all(luminance(color) < 0.05 for color in dark)
    assert all(luminance(color) > 0.85 for color in light)


@pytest.mark.parametrize("name", ["binary", "multiclass"])
def test_every_control_has_a_name(opened: Opened, name: str) -> None:
    page = opened(name)
    everything(page)
    found = list(named(page))
    assert [role for role, text in found if not text.strip()] == []
    assert {role for role, _ in found} == CONTROLS
    expected = {"low", "high", "colour", "town", "active", "opened", "seen", "remark", "account", "low, slider"}
    assert expected <= {text for _, text in found}


def test_landmarks_headings_and_live_regions_are_there(opened: Opened) -> None:
    page = opened()
    field(page, "town").fill("here")
    predict(page)
    for role in ("banner", "main", "contentinfo"):
        expect(page.get_by_role(role)).to_have_count(1)  # type: ignore[arg-type]
    headings = [
        (int(one.evaluate("(node) => node.tagName[1]")), one.inner_text()) for one in page.get_by_role("heading").all()
    ]
    assert headings == [
        (1, "Predict target"),
        (2, "Inputs"),
        (2, "Prediction"),
        (3, "Probabilities"),
        (3, "What led to it"),
        (2, "The model"),
    ]
    expect(page.get_by_role("form", name="Inputs")).to_be_visible()
    said = page.locator("#told")
    expect(said).to_have_attribute("aria-live", "polite")
    prediction, chance = (page.locator(f".headline {part}").inner_text() for part in ("strong", ".chance"))
    expect(said).to_have_text(f"Prediction: {prediction}, {chance}.")
    assert page.title() == "Predict target"


def test_nothing_changes_the_order_of_tab_and_focus_can_be_seen(opened: Opened) -> None:
    page = opened()
    predict(page)
    assert page.evaluate("[...document.querySelectorAll('[tabindex]')].every((node) => node.tabIndex <= 0)")
    unseen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        style, width, at = page.evaluate(
            "(() => { const node = document.activeElement, style = getComputedStyle(node);"
            " return [style.outlineStyle, parseFloat(style.outlineWidth), node.outerHTML.slice(0, 60)]; })()"
        )
        if style == "none" or width < 2:
            unseen.append(at)
    assert [at for at in unseen if not at.startswith("<body")] == []


def test_what_is_focused_is_not_hidden_below_the_button(opened: Opened) -> None:
    page = opened()
    page.set_viewport_size({"width": 390, "height": 600})
    seen = set()
    for _ in range(16):
        page.keyboard.press("Tab")
        name, inside = page.evaluate(
            "(() => { const node = document.activeElement, box = node.getBoundingClientRect();"
            " const there = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);"
            " return [node.closest('#form') && node.id, there === node]; })()"
        )
        if name is not None:
            assert inside, name
            seen.add(name)
    assert len(seen) > 8


@pytest.mark.parametrize("width", [320, 390, 768, 1000, 1920])
@pytest.mark.parametrize("name", ["binary", "hostile"])
def test_on_no_screen_anything_stands_beyond_its_edge(opened: Opened, name: str, width: int) -> None:
    page = opened(name)
    page.set_viewport_size({"width": width, "height": 800})
    predict(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OUTSIDE) == []


def test_who_wants_less_motion_gets_none(opened: Opened) -> None:
    page = opened()
    predict(page)
    script = "getComputedStyle(document.querySelector('.fill')).transitionDuration"
    assert page.evaluate(script) == "0s"
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(script) != "0s"

"""What the page shows of an answer, and of the model that gave it, is what the service says."""

import json
import re
from collections.abc import Callable

import pytest
from browsed import RUN, ask, contributions, field, predict, row_of
from playwright.sync_api import Locator, Page, expect

Opened = Callable[..., Page]
MINUS = "\u2212"


def heading(page: Page, name: str) -> Locator:
    """Return what stands before a contribution: the name, and the value that was given, if it is no feature."""
    return page.get_by_role("rowheader", name=re.compile(rf"^{name}( =\s| \(computed\)$)"))


def test_an_unusual_value_is_answered_and_told(opened: Opened) -> None:
    page = opened()
    field(page, "town").fill("nowhere")
    (answer,) = predict(page)["predictions"]
    assert answer["warnings"]
    expect(page.locator(".notice.warn li")).to_have_text("town is usually one of here, there; found nowhere")


def test_contributions_stand_in_a_table_that_sums_to_the_score(opened: Opened, address: Callable[..., str]) -> None:
    page = opened()
    row = row_of(page)
    page.locator("table.contributions").wait_for()
    ((explained,),) = (ask(address(), "/explain", {"rows": [row]})[1]["explanations"],)
    (raw,) = explained["raw"]
    shown = contributions(page)
    assert len(shown) == len(raw["contributions"]) + 2
    sizes = [abs(float(figure.replace(MINUS, "-"))) for figure in list(shown.values())[:-2]]
    assert sizes == sorted(sizes, reverse=True)
    assert float(shown["Score, the sum"].replace(MINUS, "-")) == pytest.approx(raw["score"], abs=0.01)
    assert float(shown["Base, the same for every row"].replace(MINUS, "-")) == pytest.approx(raw["base"], abs=0.01)
    expect(page.locator("caption", has_text=f"log odds of {raw['class']}")).to_be_visible()
    for name, value in raw["contributions"].items():
        bar = page.locator("table.contributions tbody tr", has=heading(page, name)).locator("td.plot span")
        assert bar.get_attribute("class") == ("lowers" if value < 0 else "raises")


def test_of_several_classes_the_predicted_ones_contributions_and_any_others_are_shown(opened: Opened) -> None:
    page = opened("multiclass")
    (answer,) = predict(page)["predictions"]
    menu = page.get_by_label("Score of the class")
    assert menu.locator("option:checked").inner_text() == answer["prediction"]
    before, other = contributions(page), next(name for name in ("a", "b", "c") if name != answer["prediction"])
    menu.select_option(other)
    assert contributions(page) != before
    expect(page.locator("caption", has_text=f"score of {other}")).to_be_visible()
    chances = [float(text.removesuffix(" %")) for text in page.locator(".chances .figure").all_inner_texts()]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) == pytest.approx(100, abs=0.3)


def test_a_number_is_shown_among_the_test_predictions(opened: Opened) -> None:
    page = opened("regression")
    (answer,) = predict(page)["predictions"]
    text = page.locator(".headline strong").inner_text().replace(MINUS, "-")
    assert float(text) == pytest.approx(answer["prediction"], rel=1e-5)
    expect(page.locator(".tenths .here")).to_have_count(1)
    expect(page.locator("#result")).to_contain_text("of the predictions for the test rows; eight in ten lie within")
    shown = contributions(page)
    assert float(shown["Prediction, the sum"].replace(MINUS, "-")) == pytest.approx(answer["prediction"], abs=0.01)
    assert page.locator(".chances").count() == 0


def test_an_answer_says_how_it_is_traced_and_asked_for(opened: Opened, address: Callable[..., str]) -> None:
    page = opened()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    (answer,) = predict(page)["predictions"]
    page.get_by_role("button", name="Copy the command that traces it").click()
    assert page.evaluate("navigator.clipboard.readText()") == f"lockstep trace {answer['prediction_id']}"
    page.get_by_text("The same by curl").click()
    curl = page.locator("pre").inner_text()
    assert f"curl -s '{address()}predict'" in curl
    assert json.loads(curl.split("-d '")[1].removesuffix("'"))["rows"][0]["low"] == 1.5


def test_the_models_card_is_shown_with_scores_and_a_link_to_its_run(
    opened: Opened, address: Callable[..., str]
) -> None:
    page = opened()
    card = ask(address(), "/card")[1]
    assert card["run"] == RUN
    model = page.get_by_role("region", name="The model")
    expect(model.get_by_role("link", name="winner linear")).to_have_attribute("href", RUN["url"])
    scores = {score["metric"]: score for score in card["scores"]}
    auc = model.get_by_role("row", name="ROC AUC")
    expect(auc).to_contain_text(f"{scores['roc_auc']['value']:.4g}")
    expect(auc).to_contain_text(f"{scores['roc_auc']['low']:.4g} to {scores['roc_auc']['high']:.4g}")
    expect(model).to_contain_text(f"{card['period']['first']} to {card['period']['last']}")
    expect(model).to_contain_text("200 to train, 100 to test")
    expect(model).to_contain_text(card["digests"]["predictor"][:16])

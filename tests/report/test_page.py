import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from lockstep.report.drawings import figures
from lockstep.report.page import index_page

HOSTILE = "<script>alert('x')</script>\"&<b>"


class Reader(HTMLParser):
    """Collects the text of rows, and checks that tags close in order."""

    VOID = frozenset({"meta", "br", "link", "img"})

    def __init__(self, text):
        super().__init__()
        self.open, self.rows, self.tags = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    def row(self, start):
        return next(row for row in self.rows if row[0].startswith(start))


@pytest.fixture
def drawn(binary_frames):
    return figures(binary_frames, "log loss")


def test_the_page_is_the_same_bytes_twice_and_loads_nothing(results, drawn):
    text = index_page(results, drawn)
    assert index_page(results, drawn) == text
    assert "<script" not in text
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r'(?:src|href)="(?!#|validation\.html)', text.replace('href="#', ""))
    assert "@import" not in text
    assert "url(" not in re.sub(r"url\(#", "", text)


def test_the_page_is_sound_for_a_screen_reader(results, drawn):
    page = Reader(index_page(results, drawn))
    names = [tag for tag, _ in page.tags]
    assert names.count("h1") == 1
    assert names.count("table") == names.count("caption") > 3
    assert names.count("figure") == names.count("figcaption") == len(drawn)
    for tag, attributes in page.tags:
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
        if tag == "th":
            assert attributes["scope"] in ("row", "col")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_scores_are_those_given_with_the_direction_of_each_metric(results, drawn):
    page = Reader(index_page(results, drawn))
    assert page.row("roc auc")[:5] == ["roc auc↑ greater is better", "0.6123", "0.6012 to 0.6346", "0.5790", "0.5012"]
    assert page.row("log loss")[0] == "log loss↓ smaller is better"
    assert [row[0].split("↑")[0].split("↓")[0] for row in page.rows[1:7]] == [
        name.replace("_", " ") for name in results.greater_is_better
    ]


def test_a_metric_without_figures_shows_a_dash(results, drawn):
    missing = {"roc_auc_low", "roc_auc_high", "linear_roc_auc"}
    metrics = {name: value for name, value in results.metrics.items() if name not in missing}
    page = Reader(index_page(replace(results, metrics=metrics | {"trivial_roc_auc": None}), drawn))
    assert page.row("roc auc")[1:5] == ["0.6123", "—", "—", "—"]


def test_the_leaderboard_names_the_chosen_and_what_is_not_repeatable(results, drawn):
    page = Reader(index_page(results, drawn))
    assert page.row("xgboost") == ["xgboost", "0.4087 ± 0.0051", "0", "24", "showeta = 0.05123, depth = 6"]
    assert page.row("linear") == [
        "linear chosen not repeatable",
        "0.4188 ± 0.0055",
        "0.01010 ± 0.01210",
        "12",
        "shownone",
    ]


def test_a_rejection_states_each_gate_and_offers_no_service(results, drawn):
    text = index_page(results, drawn)
    assert "✗ Rejected" in text
    assert "passed</span> <strong>better than trivial</strong>: 0.41 is below 0.58" in text
    assert "failed</span> <strong>minimum</strong>: roc_auc is 0.61, not 0.7" in text
    assert "bentoml serve" not in text
    assert "f00d" * 16 in text


def test_an_accepted_predictor_is_served_next(results, drawn):
    text = index_page(replace(results, verdict=dict(results.verdict, accepted=True, gates=[])), drawn)
    assert "✓ Accepted" in text
    assert "No gate is switched on." in text
    assert "bentoml serve" in text
    assert "lockstep predict" in text


def test_rows_are_counted_by_part(results, drawn):
    page = Reader(index_page(results, drawn))
    assert page.row("train")[1] == "20,412 (93.9 %)"
    assert page.row("quarantine")[1] == "96 (0.442 %)"
    assert page.row("holdout")[1] == "0 (0 %)"


def test_hostile_names_stay_text_wherever_they_stand(results, drawn):
    gate = {"gate": HOSTILE, "passed": True, "reason": HOSTILE, "figures": {}}
    verdict = {"accepted": True, "problem": HOSTILE, "family": HOSTILE, "predictor": HOSTILE, "gates": [gate]}
    entry = dict(results.leaderboard[0], family=HOSTILE, settings={HOSTILE: HOSTILE})
    text = index_page(
        replace(
            results,
            project=HOSTILE,
            verdict=verdict,
            leaderboard=[entry],
            loss=HOSTILE,
            greater_is_better={HOSTILE: True},
            metrics={HOSTILE: 1.0},
            n_rows={HOSTILE: 1},
        ),
        drawn,
    )
    assert "<script" not in text
    assert "<b>" not in text
    assert text.count("&lt;script&gt;") >= 13
    Reader(text)

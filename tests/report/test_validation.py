import pytest

from lockstep.report.validation import validation_page

BREACHES = ("the table must table_row_count_to_be_between(min_value=50000); observed 27708.",)
HOSTILE = "<script>alert('x')</script>\"&<b>"


def test_the_page_is_the_same_bytes_twice_and_loads_nothing(validation):
    text = validation_page(validation, BREACHES)
    assert validation_page(validation, BREACHES) == text
    assert "<script" not in text
    assert "http" not in text
    assert "url(" not in text


def test_breaches_come_first_by_severity(validation):
    text = validation_page(validation, BREACHES)
    breaches = text[text.index("<h2>Breaches") : text.index("<h2>Quarantine")]
    rules = ["row_count_to_be_between(min_value=50000)", "be_between(min_value=0)", "be_in_set(value_set="]
    places = [breaches.index(rule) for rule in rules]
    assert places == sorted(places)
    assert "not_be_null()" not in breaches
    assert "not_be_null()" in text[text.index("<h2>All rules") :]


def test_breaches_show_counts_shares_and_rows(validation):
    text = validation_page(validation, BREACHES)
    assert '85 <span class="muted">(0.307 %)</span> rows' in text
    assert "row 17: <code>-17.5</code>" in text
    assert "<summary>1 more</summary>row 5,002: <code>-5002.5</code>" in text
    assert "observed 27,708" in text


def test_the_summary_counts_rows(validation):
    text = validation_page(validation, BREACHES)
    for name, value in (
        ("rows", "27,708"),
        ("kept", "27,612"),
        ("in quarantine", "96"),
        ("share in quarantine", "0.346 %"),
    ):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in text
    assert "✗ The table breaks the contract" in text
    assert f"<li>{BREACHES[0]}</li>" in text
    assert "1 of 4 rules hold; broken: 1 critical, 1 warning, 1 info." in text


def test_a_full_quarantine_stops_the_line_although_no_critical_rule_is_broken(validation):
    text = validation_page({**validation, "success": True}, ["quarantine may take at most 5 % of the rows."])
    assert "✗ The table breaks the contract" in text
    assert "<li>quarantine may take at most 5 % of the rows.</li>" in text


def test_a_rule_on_the_table_counts_no_rows(validation):
    text = validation_page(validation, BREACHES)
    assert '<td class="r">—</td>' in text
    assert "(0 %)</span> rows" not in text


def test_the_rule_whose_relaxing_brings_back_most_rows_is_named(validation):
    text = validation_page(validation, BREACHES)
    assert (
        "Relaxing <code>be_between(min_value=0)</code> on <strong>charge</strong> alone would bring back 61 rows"
        in text
    )


def test_no_rule_is_blamed_where_each_row_breaks_several(validation):
    entries = [dict(entry, n_only=0) for entry in validation["quarantine"]]
    text = validation_page({**validation, "quarantine": entries}, BREACHES)
    assert "No single rule holds rows back" in text
    assert "Relaxing" not in text


def test_columns_show_their_figures_and_most_frequent_values(validation):
    text = validation_page(validation, BREACHES)
    for name, value in (
        ("distinct", "6,531"),
        ("least", "-99.50"),
        ("mean", "2,283"),
        ("greatest", "8,685"),
        ("monthly", "12,000"),
    ):
        assert f"<span>{name}</span><span>{value}</span>" in text
    assert '13,854 <span class="muted">(50 %)</span>' in text
    assert "<span>true</span><span>26.5 %</span>" in text
    assert 'style="width:max(15.45%, 1px)"' in text  # 1,854 of 12,000


def test_a_clean_table_says_so(validation):
    clean = {**validation, "success": True, "rules": validation["rules"][:1], "quarantine": [], "n_quarantined": 0}
    text = validation_page(clean, ())
    for sentence in ("✓ The table keeps the contract", "None: every rule holds.", "Empty: no row was set aside."):
        assert sentence in text
    assert "The contract states none." in validation_page({**clean, "rules": []}, ())


def test_an_empty_table_divides_nothing(validation):
    empty = {**validation, "n_rows": 0, "n_valid": 0, "n_quarantined": 0, "columns": {}, "quarantine": []}
    assert "<dt>rows</dt><dd>0</dd>" in validation_page(empty, BREACHES)


@pytest.mark.parametrize("observed", [HOSTILE, [HOSTILE], {HOSTILE: 0.5}])
def test_hostile_names_and_values_stay_text(validation, observed):
    rule = {
        "rule": HOSTILE,
        "type": HOSTILE,
        "columns": [HOSTILE],
        "severity": "critical",
        "scope": "read",
        "success": False,
        "n_unexpected": 1,
        "share": 0.1,
        "examples": [{"row": 1, "value": HOSTILE}],
        "observed": observed,
    }
    profile = {
        "kind": HOSTILE,
        "role": HOSTILE,
        "n_missing": 0,
        "share_missing": 0.0,
        "n_distinct": 1,
        "min": HOSTILE,
        "max": HOSTILE,
        "top": [[HOSTILE, 3]],
    }
    text = validation_page(
        {
            **validation,
            "rules": [rule],
            "columns": {HOSTILE: profile},
            "contract": HOSTILE,
            "quarantine": [{"rule": HOSTILE, "column": HOSTILE, "n_rows": 2, "n_only": 1}],
        },
        [HOSTILE],
    )
    assert "<script" not in text
    assert "<b>" not in text
    assert text.count("&lt;script&gt;") >= 16

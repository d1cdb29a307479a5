import json

import numpy as np
import pandas as pd
import pytest

from lockstep import contract as contracts
from lockstep.contract import read
from lockstep.errors import Breach, ContractError
from lockstep.params import Validate
from lockstep.steps.validate import Validation, raise_on, validate

COLUMNS = {
    "id": {"kind": "text", "role": "id", "private": True},
    "x": {"kind": "number", "required": True, "unreadable": "warning"},
    "c": {"kind": "category"},
    "y": {"kind": "category", "role": "target", "required": True},
}
RULES = [
    ("expect_column_values_to_be_between", {"column": "x", "min_value": 0, "max_value": 10}, "warning"),
    ("expect_column_values_to_be_in_set", {"column": "c", "value_set": ["a", "b"]}, "info"),
    ("expect_column_values_to_match_regex", {"column": "id", "regex": "^k"}, "warning"),
    ("expect_column_values_to_be_in_set", {"column": "y", "value_set": ["no", "yes"]}, "critical"),
    ("expect_column_values_to_be_unique", {"column": "id"}, "warning"),
    ("expect_table_row_count_to_be_between", {"min_value": 5}, "critical"),
]


def run(raw: pd.DataFrame, rules: list[tuple[str, dict, str]] = RULES, **settings: float) -> Validation:
    suite = {
        "expectations": [{"type": kind, "kwargs": kwargs, "severity": severity} for kind, kwargs, severity in rules],
        "meta": {"columns": COLUMNS},
    }
    contract = contracts.loads(json.dumps(suite).encode())
    return validate(read.read(raw, contract), contract, Validate(**{"max_quarantine": 0.5, **settings}))


def table(**changes: dict[int, str]) -> pd.DataFrame:
    n_rows = 20
    rows = pd.DataFrame({"id": [f"k{i}" for i in range(n_rows)], "x": "5", "c": "a", "y": ["no", "yes"] * 10})
    for name, cells in changes.items():
        for row, cell in cells.items():
            rows.loc[row, name] = cell
    return rows


def test_a_clean_table_keeps_every_row_and_breaks_nothing():
    found = run(table())
    assert len(found.valid) == 20
    assert found.breaches == ()
    assert all(rule["success"] for rule in found.result["rules"])
    raise_on(found.breaches)


def test_a_row_that_breaks_a_warning_goes_to_quarantine_with_every_reason():
    found = run(table(x={3: "99", 4: "n/a", 5: "-1"}, id={5: "z5"}))
    assert list(found.quarantine.index) == [3, 4, 5]
    assert (
        found.quarantine.loc[5, "__rules__"] == "x: be_between(min_value=0, max_value=10); id: match_regex(regex='^k')"
    )
    assert found.quarantine.loc[4, "__rules__"].startswith("x: be_a_number")
    assert list(found.valid.index) == [i for i in range(20) if i not in (3, 4, 5)]
    assert found.breaches == ()


def test_the_quarantine_summary_counts_what_would_come_back_if_one_rule_went():
    summary = run(table(x={3: "99", 5: "-1"}, id={5: "z5", 6: "z6"})).result["quarantine"]
    by_rule = {entry["column"]: (entry["n_rows"], entry["n_only"]) for entry in summary}
    assert by_rule == {"x": (2, 1), "id": (2, 1)}


def test_a_critical_rule_stops_the_line_and_names_column_rule_counts_and_rows():
    found = run(table(y={2: "maybe"}))
    assert found.breaches == (
        "column 'y' must be_in_set(value_set=['no', 'yes']); 1 of 20 rows do not (row 2: 'maybe').",
    )
    with pytest.raises(Breach, match=r"column 'y' must be_in_set.*See reports/validation\.html"):
        raise_on(found.breaches)


def test_an_info_rule_keeps_the_row():
    found = run(table(c={2: "new"}))
    assert len(found.valid) == 20
    rule = next(rule for rule in found.result["rules"] if rule["severity"] == "info")
    assert (rule["n_unexpected"], rule["success"], rule["examples"]) == (1, False, [{"row": 2, "value": "new"}])


def test_too_much_quarantine_stops_the_line_and_names_the_worst_rule():
    found = run(table(x={3: "99", 4: "99", 5: "99"}, id={6: "z"}), max_quarantine=0.1)
    assert len(found.breaches) == 1
    assert "quarantine may take at most 0.1 of the rows" in found.breaches[0]
    assert "it would take 4 of 20. Most by column 'x'" in found.breaches[0]


def test_table_rules_judge_what_is_left_and_too_many_warnings_stop_the_line():
    doubled = table(id={1: "k0"})
    assert run(doubled).breaches == ()
    found = run(doubled, max_warnings=0)
    assert "at most 0 table rules of severity warning may fail" in found.breaches[0]
    aside = run(table(id={1: "z", 2: "z"}))
    unique = next(rule for rule in aside.result["rules"] if rule["type"].endswith("be_unique"))
    assert unique["success"], "the doubled rows are in quarantine"


def test_nothing_passes_on_an_empty_table_or_an_empty_column():
    assert run(table().iloc[:0]).breaches == ("the table is empty; a contract is not met by no rows.",)
    assert "column 'c' must have_a_value" in " ".join(run(table().assign(c="")).breaches)
    assert "column 'x' must not_be_null()" in " ".join(run(table().assign(x="")).breaches)


def test_the_result_is_stable_json_and_shows_no_private_value():
    bad = table(id={5: "z5"})
    first, again = (json.dumps(run(bad).result, sort_keys=True) for _ in range(2))
    assert first == again
    assert "z5" not in first
    assert "(private)" in first
    profile = run(bad).result["columns"]
    assert profile["x"] == {
        "kind": "number",
        "role": "input",
        "n_missing": 0,
        "share_missing": 0.0,
        "n_distinct": 1,
        "min": 5.0,
        "mean": 5.0,
        "max": 5.0,
    }
    assert profile["c"]["top"] == [["a", 20]]


def test_a_quantile_rule_gives_a_plain_truth():
    kwargs = {"column": "x", "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[4, 6]]}}
    found = run(table(), [("expect_column_quantile_values_to_be_between", kwargs, "critical")])
    assert found.result["rules"][-1]["success"] is True


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        (
            ("expect_column_to_be_lovely", {"column": "x"}, "critical"),
            "Great Expectations has no 'expect_column_to_be_lovely'",
        ),
        (("expect_column_mean_to_be_between", {"column": "c", "min_value": 0}, "critical"), "cannot be evaluated"),
    ],
)
def test_a_rule_that_cannot_be_evaluated_is_an_error_of_the_contract(rule: tuple[str, dict, str], match: str):
    with pytest.raises(ContractError, match=match):
        run(table(), [rule])


def test_raw_rows_are_not_changed():
    raw = table(x={3: "99"})
    before = raw.copy()
    run(raw)
    pd.testing.assert_frame_equal(raw, before)
    assert np.array_equal(raw.index, before.index)


def test_a_table_that_would_go_to_quarantine_as_a_whole_stops_the_line():
    everywhere = dict.fromkeys(range(20), "99")
    found = run(table(x=everywhere), max_quarantine=1)
    assert "no row of 20 is left: every one would go to quarantine." in found.breaches


def test_a_cell_that_cannot_be_read_is_told_once_and_not_as_missing_too():
    rules = {rule["rule"]: rule for rule in run(table(x={4: "n/a"})).result["rules"]}
    assert rules["be_a_number"]["n_unexpected"] == 1
    assert rules["not_be_null()"]["n_unexpected"] == 0

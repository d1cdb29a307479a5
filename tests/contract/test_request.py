import json
import math
from datetime import datetime

import pytest

from lockstep.contract.request import Door, shown

BETWEEN = "expect_column_values_to_be_between"
IN_SET = "expect_column_values_to_be_in_set"
COLUMNS = {
    "n": {"kind": "number", "required": True},
    "z": {"kind": "number"},
    "b": {"kind": "boolean"},
    "c": {"kind": "category", "missing": ["", "NA"]},
    "d": {"kind": "date"},
    "t": {"kind": "text"},
    "key": {"kind": "text", "role": "id", "required": True},
    "when": {"kind": "date", "role": "time"},
    "who": {"kind": "number", "role": "group"},
    "note": {"kind": "text", "role": "ignored"},
    "y": {"kind": "category", "role": "target"},
}
RULES = [
    {"type": BETWEEN, "kwargs": {"column": "n", "min_value": 0}, "severity": "critical"},
    {"type": BETWEEN, "kwargs": {"column": "z", "max_value": 10}, "severity": "warning"},
    {"type": BETWEEN, "kwargs": {"column": "z", "min_value": -5}, "severity": "info"},
    {"type": IN_SET, "kwargs": {"column": "c", "value_set": ["a", "b"]}, "severity": "info"},
    {
        "type": "expect_column_pair_values_a_to_be_greater_than_b",
        "severity": "critical",
        "kwargs": {"column_A": "n", "column_B": "z", "ignore_row_if": "either_value_is_missing"},
    },
    {"type": BETWEEN, "kwargs": {"column": "who", "min_value": 1}, "severity": "critical"},
    {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "who"}, "severity": "critical"},
    {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "y"}, "severity": "critical"},
    {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1000}, "severity": "critical"},
]
EMPTY = dict.fromkeys(["n", "z", "b", "c", "d", "t", "key", "when", "who"])


@pytest.fixture(scope="module")
def door(contract_of):
    return Door(contract_of(COLUMNS, *RULES))


def faults(door, **row):
    """Return (field, rule, found) of each fault; ``n`` is there unless stated."""
    return [(fault.field, fault.rule, fault.found) for fault in door.check({"n": 100, **row}).faults]


def warnings(door, **row):
    return [(fault.field, fault.rule, fault.found) for fault in door.check({"n": 100, **row}).warnings]


def test_typed_values_come_out_under_every_column_but_the_target_and_the_ignored(door):
    given = json.loads(
        '{"n": 3, "z": -1.5, "b": true, "c": " a ", "d": "2024-01-31", "t": "x", "key": "k", '
        '"when": "2024-01-31T13:45:00", "who": 7, "note": {"any": ["thing"]}}'
    )
    expected = {
        "n": 3.0,
        "z": -1.5,
        "b": 1.0,
        "c": "a",
        "d": datetime(2024, 1, 31),
        "t": "x",
        "key": "k",
        "when": datetime(2024, 1, 31, 13, 45),
        "who": 7.0,
    }
    checked = door.check(given)
    assert (checked.values, checked.faults, checked.warnings) == (expected, (), ())
    assert [type(value) for value in checked.values.values()] == [type(value) for value in expected.values()]
    assert list(checked.values) == list(EMPTY)


def test_the_request_is_left_as_it_was(door):
    given = {"n": 1, "c": " a "}
    door.check(given)
    assert given == {"n": 1, "c": " a "}


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (0, 0.0),
        (-0.0, -0.0),
        (5e-324, 5e-324),
        (1.7976931348623157e308, 1.7976931348623157e308),
        (2**53 + 1, 2.0**53),
        (10**308, 1e308),
    ],
)
def test_each_finite_json_number_is_a_number(door, given, value):
    found = door.check({"n": 1, "who": given}).values["who"]
    assert type(found) is float
    assert (found, math.copysign(1, found)) == (value, math.copysign(1, value))


@pytest.mark.parametrize(
    ("field", "given", "rule", "found"),
    [
        ("n", "12", "must be a number", "12"),
        ("n", True, "must be a number", "True"),
        ("n", [1], "must be a number", "[1]"),
        ("n", {"v": 1}, "must be a number", "{'v': 1}"),
        ("n", math.nan, "must be a finite number", "nan"),
        ("n", math.inf, "must be a finite number", "inf"),
        ("n", -math.inf, "must be a finite number", "-inf"),
        ("n", json.loads("1e400"), "must be a finite number", "inf"),
        ("n", 10**400, "must be a finite number", "1" + "0" * 63),
        ("b", 1, "must be true or false", "1"),
        ("b", "true", "must be true or false", "true"),
        ("b", 0.0, "must be true or false", "0.0"),
        ("c", 3, "must be a string", "3"),
        ("c", True, "must be a string", "True"),
        ("t", ["x"], "must be a string", "['x']"),
    ],
)
def test_a_value_of_another_type_is_a_fault_and_never_converted(door, field, given, rule, found):
    assert faults(door, **{field: given}) == [(field, rule, found)]


def test_a_value_too_large_to_write_down_is_a_fault_like_any_other(door):
    nested = []
    for _ in range(100_000):
        nested = [nested]
    for value, text in (
        (10**5000, "int too large to show"),
        ([10**5000], "list too large to show"),
        (nested, "list too large to show"),
    ):
        for field in ("n", "b", "c", "d", "zz"):
            assert [(name, found) for name, _, found in faults(door, **{field: value})] == [(field, text)]


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("2024-01-31", datetime(2024, 1, 31)),
        ("2024-01-31T13:45", datetime(2024, 1, 31, 13, 45)),
        ("2024-01-31T13:45:01", datetime(2024, 1, 31, 13, 45, 1)),
        ("0001-01-01", datetime(1, 1, 1)),
        ("2024-01-31T13:45:01.5", datetime(2024, 1, 31, 13, 45, 1, 500_000)),
        ("9999-12-31T23:59:59.999999", datetime(9999, 12, 31, 23, 59, 59, 999_999)),
    ],
)
def test_a_date_has_one_documented_form(door, given, value):
    assert door.check({"n": 1, "d": given}).values["d"] == value
    assert faults(door, d=given) == []


@pytest.mark.parametrize(
    "given",
    [
        "",
        "31/01/2024",
        "2024-1-31",
        "20240131",
        "2024-01",
        "2024-02-30",
        "2024-01-31 13:45",
        "2024-01-31T13:45:00Z",
        "2024-01-31T13:45:00+02:00",
        "2024-01-31T25:00",
        "2024-01-31T24:00",
        "0000-01-01",
        " 2024-01-31",
        "2024-01-31T13:45:01.1234567",
        "２０２４-01-31",
        "2024-01-31\n",
        1706659200,
        20240131.0,
        True,
        ["2024-01-31"],
    ],
)
def test_any_other_date_is_a_fault(door, given):
    [(field, rule, _)] = faults(door, d=given)
    assert (field, rule) == ("d", "must be a date like 2024-01-31 or 2024-01-31T13:45:00")


@pytest.mark.parametrize("given", ["", "NA", "  NA\t", " ", None])
def test_a_category_equal_to_a_missing_mark_is_missing(door, given):
    checked = door.check({"n": 1, "c": given})
    assert checked.values["c"] is None
    assert (checked.faults, checked.warnings) == ((), ())


def test_a_mark_of_one_column_is_a_value_in_another(door):
    assert door.check({"n": 1, "t": " NA "}).values["t"] == "NA"


def test_an_absent_field_and_null_are_the_same(door):
    assert door.check({"n": 1}) == door.check({**EMPTY, "n": 1})
    assert door.check({"n": 1}).values == {**EMPTY, "n": 1.0}


@pytest.mark.parametrize("row", [{}, {"n": None}])
def test_a_required_field_that_is_absent_or_null_is_a_fault(door, row):
    assert [(f.field, f.rule, f.found) for f in door.check(row).faults] == [("n", "not_be_null()", "null")]


def test_id_time_and_group_may_be_absent_even_where_a_rule_wants_them_but_are_checked_when_sent(door):
    assert faults(door) == []
    assert faults(door, who=0) == [("who", "be_between(min_value=1)", "0.0")]
    assert faults(door, key=5, when="soon")[0] == ("key", "must be a string", "5")
    assert len(faults(door, key=5, when="soon")) == 2


def test_a_time_that_is_an_input_and_required_must_be_sent(contract_of):
    columns = {"n": {"kind": "number"}, "when": {"kind": "date", "role": "time", "input": True, "required": True}}
    assert [fault.field for fault in Door(contract_of(columns)).check({"n": 1}).faults] == ["when"]


def test_an_ignored_field_is_accepted_whatever_it_holds(door):
    for given in (5, None, "x" * 1000, {"a": [math.nan]}):
        checked = door.check({"n": 1, "note": given})
        assert checked.faults == ()
        assert "note" not in checked.values


def test_the_target_is_refused_and_an_unknown_field_too(door):
    assert faults(door, y="a") == [("y", "the target may not be sent", "a")]
    assert faults(door, y=None) == [("y", "the target may not be sent", "null")]
    assert faults(door, N=5) == [("N", "unknown field", "5")]


def test_an_unknown_field_is_shown_cut_and_printable(door):
    [(field, rule, found)] = faults(door, **{"\x00evil\n" + "x" * 100: "\u202e" * 100})
    assert (field, rule, found) == ("?evil?" + "x" * 58, "unknown field", "?" * 64)


def test_critical_and_warning_rules_give_faults_named_with_the_rule(door):
    assert faults(door, n=-1) == [("n", "be_between(min_value=0)", "-1.0")]
    assert faults(door, z=11) == [("z", "be_between(max_value=10)", "11.0")]


def test_info_rules_give_warnings_and_leave_the_row_answered(door):
    assert warnings(door, z=-6, c="unseen") == [
        ("z", "be_between(min_value=-5)", "-6.0"),
        ("c", "be_in_set(value_set=['a', 'b'])", "unseen"),
    ]
    assert faults(door, z=-6, c="unseen") == []
    assert warnings(door, z=-5, c="a") == []


def test_a_rule_on_a_pair_names_its_first_column(door):
    assert faults(door, n=1, z=2) == [("n", "pair_values_a_to_be_greater_than_b(column_A='n', column_B='z')", "1.0")]


def test_every_fault_is_told_at_once_and_no_rule_judges_a_field_that_could_not_be_read(door):
    found = faults(door, n="-1", z=11, b=2, zz=1)
    assert [(field, rule) for field, rule, _ in found] == [
        ("n", "must be a number"),
        ("b", "must be true or false"),
        ("zz", "unknown field"),
        ("z", "be_between(max_value=10)"),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ("None", "None"),
        (1.0, "1.0"),
        ("a\tb", "a?b"),
        ("\ud800", "?"),
        ("é" * 100, "é" * 64),
        (datetime(2024, 1, 31), "2024-01-31T00:00:00"),
        (10**299, "1" + "0" * 63),
        (True, "True"),
    ],
)
def test_what_was_found_is_shown_in_at_most_64_printable_characters(value, text):
    assert shown(value) == text
    assert len(shown(value)) <= 64
    assert shown(value).isprintable()

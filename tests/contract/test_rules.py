import math
import re
from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from lockstep.contract.model import ROW_RULES
from lockstep.contract.read import read
from lockstep.contract.rules import bound, compile_rule, row_checks
from lockstep.errors import ContractError
from lockstep.params import Validate
from lockstep.steps.validate import validate

SKIP = {"ignore_row_if": "either_value_is_missing"}
COLUMNS = {
    "a": {"kind": "number"},
    "b": {"kind": "number"},
    "flag": {"kind": "boolean"},
    "flag2": {"kind": "boolean"},
    "d": {"kind": "date"},
    "e": {"kind": "date"},
    "c": {"kind": "category", "missing": ["NA"]},
    "t": {"kind": "text", "missing": ["NA"]},
    "y": {"kind": "category", "role": "target"},
}
VALUES = {
    "number": [
        None,
        0.0,
        -0.0,
        1.0,
        5.0,
        math.nextafter(5, 6),
        math.nextafter(5, 4),
        -3.5,
        5e-324,
        -5e-324,
        1e308,
        -1.7e308,
        0.1 + 0.2,
        0.3,
        2.0**53,
        123456789.123,
    ],
    "boolean": [None, True, False],
    "date": [
        None,
        "0001-01-01",
        "1969-12-31T23:59:59.999999",
        "2024-01-31",
        "2024-01-31T00:00:00.000001",
        "2024-01-30T23:59:59.999999",
        "2024-02-29T12:30:00",
        "2300-01-01",
        "9999-12-31T23:59:59.999999",
    ],
    "category": [
        None,
        "",
        "a",
        "A",
        "ab",
        "é",
        "e\u0301",
        "日本語",
        "👍",
        "a\nb",
        "a b",
        "１２",
        "12",
        "a.b",
        "\u212a",
    ],
}
VALUES["text"] = VALUES["category"]


def entries(kind, *arguments):
    return [{"type": kind, "kwargs": kwargs, "severity": "warning"} for kwargs in arguments]


ALL = [
    *entries("expect_column_values_to_not_be_null", *({"column": name} for name in COLUMNS)),
    *entries(
        "expect_column_values_to_be_between",
        {"column": "a", "min_value": 0},
        {"column": "a", "min_value": 0, "strict_min": True},
        {"column": "a", "max_value": 5},
        {"column": "a", "max_value": 5, "strict_max": True},
        {"column": "a", "min_value": 0.3, "max_value": 5.0},
        {"column": "b", "min_value": 5, "max_value": 5},
        {"column": "b", "min_value": -1.7e308, "max_value": 1e308, "strict_min": True, "strict_max": True},
        {"column": "a", "min_value": None, "max_value": 1},
        {"column": "flag", "min_value": 1},
        {"column": "d", "min_value": "2024-01-31"},
        {"column": "d", "min_value": "2024-01-31", "strict_min": True},
        {"column": "e", "max_value": "2024-01-31T00:00:00", "strict_max": True},
        {"column": "e", "min_value": "0001-01-01", "max_value": "2300-01-01T00:00:00.000000"},
        {"column": "d", "min_value": "2024-01-31T01:00:00+01:00"},
    ),
    *entries(
        "expect_column_values_to_be_in_set",
        {"column": "a", "value_set": [0, 1, 5]},
        {"column": "b", "value_set": [0.3, 5e-324, -1.7e308]},
        {"column": "a", "value_set": []},
        {"column": "flag", "value_set": [True]},
        {"column": "flag2", "value_set": [0]},
        {"column": "c", "value_set": ["a", "é", ""]},
        {"column": "t", "value_set": ["e\u0301", "12", "日本語", None]},
        {"column": "c", "value_set": []},
        {"column": "d", "value_set": ["2024-01-31", "9999-12-31T23:59:59.999999"]},
    ),
    *entries(
        "expect_column_values_to_not_be_in_set",
        {"column": "a", "value_set": [0, 1, 5]},
        {"column": "b", "value_set": []},
        {"column": "flag", "value_set": [False]},
        {"column": "c", "value_set": ["a", "", "👍"]},
        {"column": "t", "value_set": ["A", None]},
        {"column": "e", "value_set": ["0001-01-01"]},
    ),
    *entries(
        "expect_column_values_to_match_regex",
        *(
            {"column": "c", "regex": regex}
            for regex in (
                r"a",
                r"^a",
                r"^a$",
                r"b$",
                r"^\w+$",
                r"^\d+$",
                r"^[a-z]*$",
                r"^$",
                r"(?i)^A$",
                r"a.b",
                r"a\.b",
                r"^(?!a).*$",
                r"(?<=a)b",
                r"\bb",
                r"^.$",
                r"\s",
                r"(a)(b)?",
                r"K",
                r"(?i)k",
            )
        ),
        {"column": "t", "regex": r"^[^\W\d]+$"},
        {"column": "t", "regex": "日本"},
    ),
    *entries(
        "expect_column_values_to_not_match_regex",
        *({"column": "t", "regex": regex} for regex in (r"a", r"^\w+$", r"^$", r"\d", r"(?i)AB", r"a.b")),
    ),
    *entries(
        "expect_column_value_lengths_to_be_between",
        {"column": "c", "min_value": 1},
        {"column": "c", "max_value": 1},
        {"column": "t", "min_value": 2, "max_value": 3},
        {"column": "t", "min_value": 0, "max_value": 0},
    ),
    *entries(
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "a", "column_B": "b", **SKIP},
        {"column_A": "a", "column_B": "b", "or_equal": True, **SKIP},
        {"column_A": "b", "column_B": "a", "or_equal": False, **SKIP},
        {"column_A": "d", "column_B": "e", **SKIP},
        {"column_A": "e", "column_B": "d", "or_equal": True, **SKIP},
        {"column_A": "c", "column_B": "t", **SKIP},
        {"column_A": "flag", "column_B": "flag2", **SKIP},
    ),
    *entries(
        "expect_column_pair_values_to_be_equal",
        {"column_A": "a", "column_B": "b", **SKIP},
        {"column_A": "d", "column_B": "e", **SKIP},
        {"column_A": "c", "column_B": "t", **SKIP},
        {"column_A": "flag", "column_B": "flag2", **SKIP},
    ),
]


@pytest.fixture(scope="module")
def contract(contract_of):
    return contract_of(COLUMNS, *ALL)


@pytest.fixture(scope="module")
def table(contract):
    """300 rows in which each value, and missing, meets many others; every tenth row holds equal pairs."""
    rng = np.random.default_rng(3)
    cells = {}
    for name, column in contract.columns.items():
        values = VALUES[column.kind]
        cells[name] = pd.Series(
            [values[i] for i in rng.integers(0, len(values), 300)],
            index=range(1000, 1300),
            dtype="float64" if column.kind == "number" else object,
        )
    rows = pd.DataFrame(cells)
    for first, second in (("a", "b"), ("d", "e"), ("c", "t"), ("flag", "flag2")):
        rows.loc[::10, second] = rows.loc[::10, first]
    rows[["d", "e", "c", "t", "y"]] = rows[["d", "e", "c", "t", "y"]].astype("str")
    return read(rows, contract)


def test_great_expectations_refuses_exactly_the_rows_that_the_compiled_rules_refuse(contract, table):
    assert {rule.type for rule in contract.row_rules} == set(ROW_RULES), "a type of row rule is not compared"
    assert not table.unreadable
    assert table.rows.notna().any().all()
    named = {f"{rule.columns[0]}: {rule.name}": rule for rule in contract.row_rules}
    assert len(named) == len(ALL), "two rules share a name"

    quarantine = validate(table, contract, Validate(max_quarantine=1)).quarantine
    by_expectations = {name: set() for name in named}
    for row, reasons in quarantine["__rules__"].items():
        for name in reasons.split("; "):
            by_expectations[name].add(row)

    by_checks = {name: set(refused_rows(table.rows, rule, contract)) for name, rule in named.items()}
    differing = {
        name: sorted(by_checks[name] ^ by_expectations[name])[:5]
        for name in named
        if by_checks[name] != by_expectations[name]
    }
    assert not differing
    both_ways = [name for name, rows in by_checks.items() if 0 < len(rows) < len(table.rows)]
    assert len(both_ways) > len(named) * 0.8, "too many rules hold for all rows or for none, which compares little"


def refused_rows(rows, rule, contract):
    holds = compile_rule(rule, contract.columns)
    return [
        index
        for index, row in zip(rows.index, rows.to_dict("records"), strict=True)
        if not holds({name: as_value(value) for name, value in row.items()})
    ]


def as_value(value):
    if pd.isna(value):
        return None
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


def one(contract_of, kind, **kwargs):
    columns = {name: column for name, column in COLUMNS.items() if name != "y"}
    contract = contract_of(columns, {"type": f"expect_column_{kind}", "kwargs": kwargs})
    return compile_rule(contract.rules[0], contract.columns)


def test_a_missing_value_breaks_no_rule_but_not_null(contract):
    for rule in contract.row_rules:
        holds = compile_rule(rule, contract.columns)
        assert holds(dict.fromkeys(COLUMNS)) == (rule.type != "expect_column_values_to_not_be_null"), rule.name


@pytest.mark.parametrize(
    ("kind", "kwargs", "message"),
    [
        ("values_to_match_regex", {"column": "c", "regex": "(a"}, "regex of column 'c' is broken; missing \\)"),
        (
            "values_to_be_between",
            {"column": "d", "min_value": "31/01/2024"},
            "a bound on a date must be ISO 8601; got '31/01/2024'",
        ),
        ("values_to_be_between", {"column": "d", "max_value": 20240131}, "must be ISO 8601; got 20240131"),
        (
            "values_to_be_between",
            {"column": "a", "min_value": "0"},
            "a rule on a number must compare it to a number; got '0'",
        ),
        (
            "values_to_be_between",
            {"column": "a", "min_value": {"$PARAMETER": "x"}},
            "must compare it to a number; got {",
        ),
        (
            "values_to_be_in_set",
            {"column": "c", "value_set": [3]},
            "a rule on a category must compare it to a string; got 3",
        ),
        ("values_to_be_in_set", {"column": "a", "value_set": ["3"]}, "must compare it to a number; got '3'"),
        ("values_to_not_be_in_set", {"column": "a", "value_set": 3}, "value_set of column 'a' must be a list; got 3"),
        (
            "values_to_be_in_set",
            {"column": "c", "value_set": "abc"},
            "value_set of column 'c' must be a list; got 'abc'",
        ),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(contract_of, kind, kwargs, message):
    with pytest.raises(ContractError, match=rf"^expectations/rows\.json: .*{message}"):
        one(contract_of, kind, **kwargs)


def test_a_bound_on_a_date_is_a_moment_in_utc(contract_of):
    column = contract_of({"d": {"kind": "date"}}).columns["d"]
    assert bound("2024-01-31", column) == datetime(2024, 1, 31)
    assert bound("2024-01-31T01:00:00+01:00", column) == datetime(2024, 1, 31)
    assert bound("2024-01-31T00:00:00Z", column) == datetime(2024, 1, 31)
    assert bound(None, column) is None


def test_only_rules_whose_columns_are_there_are_checked(contract):
    checks = row_checks(contract, {"a", "c"})
    assert {rule.columns for rule, _ in checks} == {("a",), ("c",)}
    assert [rule.name for rule, _ in checks] == [r.name for r in contract.row_rules if set(r.columns) <= {"a", "c"}]


def test_the_regexes_compared_are_not_all_alike():
    assert (
        len(
            {
                tuple(bool(re.search(entry["kwargs"]["regex"], value)) for value in VALUES["text"][1:])
                for entry in ALL
                if "regex" in entry["kwargs"]
            }
        )
        > 10
    )

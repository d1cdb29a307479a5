import hashlib
import json
from pathlib import Path

import pytest

from lockstep import contract as contracts
from lockstep.contract import loads
from lockstep.contract.model import ROW_RULES, Rule
from lockstep.errors import ContractError

COLUMNS = {
    "x": {"kind": "number"},
    "z": {"kind": "number"},
    "c": {"kind": "category"},
    "d": {"kind": "date"},
    "gone": {"kind": "number", "role": "ignored"},
    "y": {"kind": "category", "role": "target"},
}
BETWEEN = "expect_column_values_to_be_between"
NOT_NULL = "expect_column_values_to_not_be_null"
GREATER = "expect_column_pair_values_a_to_be_greater_than_b"
REGEX = "expect_column_values_to_match_regex"
SKIP = {"ignore_row_if": "either_value_is_missing"}


def suite(columns=COLUMNS, expectations=(), **rest):
    return json.dumps({"expectations": list(expectations), "meta": {"columns": columns}, **rest}).encode()


def rule(kind, severity="critical", **kwargs):
    return {"type": kind, "kwargs": kwargs, "severity": severity}


def test_the_contract_that_ships_is_valid():
    shipped = contracts.load(Path(__file__).parents[2])
    assert shipped.target
    assert shipped.inputs


def test_columns_keep_their_order_and_are_found_by_role():
    columns = {
        "when": {"kind": "date", "role": "time", "input": True},
        "who": {"kind": "text", "role": "group"},
        "key": {"kind": "text", "role": "id"},
        **COLUMNS,
    }
    read = loads(suite(columns))
    assert tuple(read.columns) == tuple(columns)
    assert read.inputs == ("when", "x", "z", "c", "d")
    assert (read.target, read.time, read.group, read.role("id"), read.role("ignored")) == (
        "y",
        "when",
        "who",
        ("key",),
        ("gone",),
    )


def test_a_contract_without_time_or_group_has_none():
    assert (loads(suite()).time, loads(suite()).group) == (None, None)


def test_the_digest_is_of_the_bytes_as_they_are():
    content = suite()
    assert loads(content).digest == hashlib.sha256(content).hexdigest() != loads(content + b"\n").digest
    assert loads(content).content == content


def test_required_implies_a_critical_rule_unless_a_stricter_one_than_info_is_stated():
    columns = {
        **COLUMNS,
        "x": {"kind": "number", "required": True},
        "z": {"kind": "number", "required": True},
        "c": {"kind": "category", "required": True},
    }
    read = loads(suite(columns, [rule(NOT_NULL, "warning", column="x"), rule(NOT_NULL, "info", column="z")]))
    assert [(r.columns[0], r.severity) for r in read.row_rules] == [
        ("z", "critical"),
        ("c", "critical"),
        ("x", "warning"),
        ("z", "info"),
    ]


def test_rules_on_rows_and_on_the_table_are_told_apart():
    read = loads(
        suite(
            expectations=[
                rule(BETWEEN, column="x", min_value=0),
                rule("expect_column_mean_to_be_between", column="x", min_value=0),
                rule("expect_table_row_count_to_be_between", min_value=1),
            ]
        )
    )
    assert [r.type for r in read.row_rules] == [BETWEEN]
    assert [r.columns for r in read.table_rules] == [("x",), ()]


def test_a_rule_is_named_in_few_words():
    assert Rule(BETWEEN, {"column": "x", "min_value": 0}, "critical", ("x",)).name == "be_between(min_value=0)"
    assert Rule(NOT_NULL, {"column": "x"}, "critical", ("x",)).name == "not_be_null()"
    long = Rule("expect_column_values_to_be_in_set", {"column": "c", "value_set": ["value"] * 50}, "info", ("c",)).name
    assert long.startswith("be_in_set(value_set=['value', ")
    assert len(long) < 90


def test_severity_is_critical_unless_stated():
    read = loads(suite(expectations=[{"type": NOT_NULL, "kwargs": {"column": "x"}}]))
    assert read.row_rules[0].severity == "critical"


def test_a_missing_file_says_how_to_get_one(tmp_path):
    with pytest.raises(ContractError, match=r"^expectations/rows\.json is missing; .*lockstep contract suggest"):
        contracts.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "must be JSON"),
        (b"\xff", "must be JSON"),
        (b"[]", "must hold a suite, an object; found list"),
        (b"{}", "meta is missing and must be given"),
        (b'{"meta": {"columns": {}}}', "meta.columns .*at least 1"),
        (suite(top=1), r"unknown key 'top'; expected one of \['expectations', 'meta', 'name'\]"),
        (suite({"x": {"knd": "number"}}), r"unknown key 'meta\.columns\.x\.knd'; .* Did you mean 'kind'\?$"),
        (
            suite({"kind": {"kind": "number", "roles": "id"}}),
            r"unknown key 'meta\.columns\.kind\.roles'; .* Did you mean 'role'\?$",
        ),
        (suite({"x": {"kind": "numbr"}}), r"no meta\.columns\.x\.kind 'numbr'; .* Did you mean 'number'\?$"),
        (
            suite({"x": {"kind": "number", "input": True}}),
            "meta.columns.x: 'input' is for a column of role 'time'; an input has role 'input'",
        ),
        (suite({"x": {"kind": "number", "classes": ["a"]}}), "meta.columns.x: 'classes' is for the target"),
        (
            suite({"x": {"kind": "number", "format": "%Y"}}),
            "meta.columns.x: 'format' is for dates; the kind is 'number'",
        ),
        (
            suite({"x": {"kind": "number", "thousands": ",", "decimal": ","}}),
            "meta.columns.x: 'thousands' and 'decimal' must differ; both are ','",
        ),
        (
            suite({"x": {"kind": "boolean", "true": ["1", "ja"], "false": ["ja"]}}),
            r"meta.columns.x: a cell cannot mean both true and false; \['ja'\] do",
        ),
        (suite({"x": {"kind": "number"}}), "exactly one column may have role 'target'; found \\[\\]"),
        (
            suite({**COLUMNS, "y2": {"kind": "category", "role": "target"}}),
            r"exactly one column may have role 'target'; found \['y', 'y2'\]",
        ),
        (
            suite({**COLUMNS, "t1": {"kind": "date", "role": "time"}, "t2": {"kind": "date", "role": "time"}}),
            r"at most one column may have role 'time'; found \['t1', 't2'\]",
        ),
        (suite({"y": COLUMNS["y"]}), "at least one column must have role 'input'; found none"),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused_in_one_line(content, message):
    with pytest.raises(ContractError, match=rf"^expectations/rows\.json:? {message}"):
        loads(content)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (rule(NOT_NULL, column="xx"), r"names column 'xx'; expected one of \[.*'x'.*\]\. Did you mean 'x'\?$"),
        (rule("expect_column_sum_to_be_between", column="w"), "names column 'w'; expected one of"),
        (rule("expect_compound_columns_to_be_unique", column_list=["x", "w"]), "names column 'w'; expected one of"),
        (rule(NOT_NULL, column="gone"), "names column 'gone', which is ignored and never read"),
        (rule(NOT_NULL), r"must give 'column'; found \[\]\.$"),
        (rule("expect_column_values_to_be_in_set", column="c"), r"must give 'value_set'; found \['column'\]\.$"),
        (rule(REGEX, column="c"), "must give 'regex'; found"),
        (rule(GREATER, column_A="x", **SKIP), "must give 'column_B'; found"),
        (rule(BETWEEN, column="x", min_value=0, mostly=0.9), "uses 'mostly'; a rule holds for a row or it does not"),
        (rule(BETWEEN, column="x", min=0), r"has no use for 'min'; expected one of \['column', .*\]"),
        (rule(BETWEEN, column="x"), r"must give min_value, max_value or both\.$"),
        (rule(BETWEEN, column="x", min_value=None), r"must give min_value, max_value or both\.$"),
        (rule("expect_column_value_lengths_to_be_between", column="c"), r"must give min_value, max_value or both\.$"),
        (rule(BETWEEN, column="c", min_value=0), r"is for columns of kind \[.*'number'\]; 'c' is of kind 'category'"),
        (rule(REGEX, column="x", regex="a"), r"is for columns of kind \['category', 'text'\]; 'x' is of kind 'number'"),
        (rule("expect_column_value_lengths_to_be_between", column="d", min_value=1), "'d' is of kind 'date'"),
        (rule(GREATER, column_A="x", column_B="z"), '"ignore_row_if": "either_value_is_missing"'),
        (
            rule(GREATER, column_A="x", column_B="z", ignore_row_if="never"),
            '"ignore_row_if": "either_value_is_missing"',
        ),
        (
            rule(GREATER, column_A="x", column_B="d", **SKIP),
            r"compares columns of one kind; \['x', 'd'\] are of kinds \['number', 'date'\]\.$",
        ),
    ],
)
def test_a_rule_that_cannot_be_checked_is_refused_and_named(entry, message):
    with pytest.raises(ContractError, match=rf"^expectations/rows\.json: {entry['type']} .*{message}"):
        loads(suite(expectations=[entry]))


def test_a_misspelt_key_of_a_rule_is_answered_with_the_near_match():
    with pytest.raises(ContractError, match=r"unknown key 'expectations\.1\.severety'; .* Did you mean 'severity'\?$"):
        loads(suite(expectations=[rule(NOT_NULL, column="x"), {**rule(NOT_NULL, column="x"), "severety": "info"}]))


def test_each_row_rule_knows_the_columns_it_reads():
    assert all({"column"} <= keys or {"column_A", "column_B"} <= keys for keys in ROW_RULES.values())

"""One contract, both doors: what training keeps, flags or sets aside, a request answers, warns of or refuses.

Contracts and rows are drawn; the same rows go as cells through validate, which asks Great Expectations, and as JSON
through the request door and the schema that the service shows.
"""

import datetime as dt
import json

import jsonschema
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockstep import encoder
from lockstep.contract import loads
from lockstep.contract.model import KINDS_OF, NOT_NULL, ROW_RULES
from lockstep.contract.read import read
from lockstep.contract.request import Door
from lockstep.encoder import Encoder
from lockstep.params import Validate
from lockstep.service import fields
from lockstep.steps import validate

NUMBERS = [0, 1, 2.5, -3.5, 0.1 + 0.2, -0.0]
WORDS = ["a", "b", "ab", "A", "12", "é", "a b", "NA", "", "-"]
DAYS = ["2024-01-31", "2024-01-31T00:00:00.000001", "1969-12-31T23:59:59", "2300-01-01", "2024-02-29T12:30"]
REGEXES = ["^a", "b$", r"^\d+$", "[A-Z]", "^.{1,2}$", r"(?i)^A", r"\Aa\Z", "^(a|12)$", "^[^-]*$"]
CELLS = {
    "number": st.sampled_from([*NUMBERS, *NUMBERS, 0.3, 1e300]) | st.integers(-9, 9),
    "boolean": st.booleans(),
    "category": st.sampled_from([*WORDS, " a ", "  ", "NA ", "new"]),
    "text": st.sampled_from([*WORDS, " b\n", "longer than that"]),
    "date": st.sampled_from([*DAYS, "2024-01-31T00:00:00.000002"]) | st.dates().map(dt.date.isoformat),
}
UNREADABLE = {
    "number": ["x", "12 %", "1,000", "nan", "inf"],
    "boolean": ["yes", "2"],
    "date": ["31.01.2024", "2024-13-01", "2024-04-31", "2023-02-29", "today"],
}
SEVERITIES = st.sampled_from(["critical", "warning", "info", "info", "info"])
SKIP = {"ignore_row_if": "either_value_is_missing"}
ALIKE = {"boolean": "number", "category": "text"}
MOST_ROWS = 12


@pytest.fixture(autouse=True, scope="module")
def every_row_is_shown():
    """Have validate's result name every row that a rule found, not the first few."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validate, "N_EXAMPLES", MOST_ROWS)
        yield


def some(values):
    return st.lists(st.sampled_from(values), min_size=1, max_size=6, unique_by=repr)


def bounds(values):
    both = {"min_value": st.none() | values, "max_value": st.none() | values}
    either = st.fixed_dictionaries(both, optional={"strict_min": st.booleans(), "strict_max": st.booleans()})
    return either.filter(is_range)


def is_range(given):
    """Say whether bounds are some that Great Expectations takes: one of them, or a low and a high one."""
    known = [value for value in (given["min_value"], given["max_value"]) if value is not None]
    values = [dt.datetime.fromisoformat(value) if isinstance(value, str) else value for value in known]
    return values != [] and values == sorted(values)


MEMBERS = {"number": NUMBERS, "boolean": [True, False, 0, 1], "category": WORDS, "text": WORDS, "date": DAYS}
COMPARED = {"number": st.sampled_from(NUMBERS), "boolean": st.sampled_from([0, 1]), "date": st.sampled_from(DAYS)}


def arguments(kind, rule):
    """Return what draws the arguments of a rule on one column of this kind."""
    match rule.removeprefix("expect_column_value").removeprefix("s_to_"):
        case "be_between":
            return bounds(COMPARED[kind])
        case "be_in_set" | "not_be_in_set":
            return st.fixed_dictionaries({"value_set": some(MEMBERS[kind])})
        case "match_regex" | "not_match_regex":
            return st.fixed_dictionaries({"regex": st.sampled_from(REGEXES)})
        case "_lengths_to_be_between":
            return bounds(st.integers(0, 4)).map(lambda found: {key: found[key] for key in ("min_value", "max_value")})
    return st.just({})


ON_ONE = sorted(name for name, known in ROW_RULES.items() if "column" in known)
ON_TWO = sorted(ROW_RULES.keys() - set(ON_ONE))


@st.composite
def expectations(draw, kinds):
    name = draw(st.sampled_from(sorted(kinds)))
    kind, alike = kinds[name], {other: ALIKE.get(each, each) for other, each in kinds.items()}
    others = [other for other in kinds if other != name and alike[other] == alike[name]]
    if others and draw(st.integers(0, 3)) == 0:
        rule = draw(st.sampled_from(ON_TWO))
        kwargs = {"column_A": name, "column_B": draw(st.sampled_from(others)), **SKIP}
        kwargs |= {"or_equal": draw(st.booleans())} if "or_equal" in ROW_RULES[rule] else {}
    else:
        rule = draw(st.sampled_from([rule for rule in ON_ONE if kind in KINDS_OF.get(rule, kinds.values())]))
        kwargs = {"column": name, **draw(arguments(kind, rule))}
    return {"type": rule, "kwargs": kwargs, "severity": draw(SEVERITIES)}


@st.composite
def contracts(draw, n_rules):
    """Draw a contract of some columns, the first an input, and about so many rules on them."""
    first, others = st.sampled_from(sorted(CELLS.keys() - {"text"})), st.sampled_from(sorted(CELLS))
    kinds = {f"c{i}": kind for i, kind in enumerate([draw(first), *draw(st.lists(others, max_size=3))])}
    columns = {
        name: {
            "kind": kind,
            "role": "input" if name == "c0" else draw(st.sampled_from(["input", "input", "id"])),
            "required": draw(st.integers(0, 3)) == 0,
            "missing": draw(st.sampled_from([[""], ["", "NA"], ["", "-", "NA"]])),
            "unreadable": draw(st.sampled_from(["critical", "warning"])),
        }
        for name, kind in kinds.items()
    }
    suite = {
        "meta": {"columns": {**columns, "y": {"kind": "text", "role": "target"}}},
        "expectations": draw(st.lists(expectations(kinds), min_size=n_rules // 2, max_size=n_rules)),
    }
    return loads(json.dumps(suite).encode())


@st.composite
def asked(draw, n_rules=3):
    """Draw a contract and rows of a request; fields may be null, absent, or of the wrong type."""
    contract = draw(contracts(n_rules))
    row = {name: column.kind for name, column in contract.columns.items() if name != "y"}
    cells = {
        name: st.one_of(*[CELLS[kind]] * 8, st.none(), st.sampled_from(UNREADABLE.get(kind, ["NA"])))
        for name, kind in row.items()
    }
    absent = draw(st.sets(st.sampled_from(sorted(cells)), max_size=1))
    given = {name: strategy for name, strategy in cells.items() if name not in absent}
    return contract, draw(st.lists(st.fixed_dictionaries(given), min_size=min(n_rules, MOST_ROWS), max_size=MOST_ROWS))


def as_cells(rows, contract):
    """Return the table of text that holds the same rows."""
    names = [name for name in contract.columns if name != "y"]
    cells = [{name: as_cell(row.get(name)) for name in names} | {"y": "t"} for row in rows]
    return pd.DataFrame(cells, dtype="str")


def as_cell(value):
    if value is None:
        return ""
    return repr(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def trained(judged, n_rows):
    """Return for each row what training says of it: columns not read, rules that refuse it, rules that flag it."""
    found = [(set(), set(), set()) for _ in range(n_rows)]
    for rule in judged.result["rules"]:
        (name, *_), is_read = rule["columns"] or [""], rule["scope"] == "read"
        place = 0 if is_read else 2 if rule["severity"] == "info" else 1
        for example in rule["examples"] if rule["scope"] != "table" else ():
            found[example["row"]][place].add(name if is_read else (name, rule["rule"]))
    return found


def asked_of(checked, contract):
    """Return the same of a row of a request."""
    known = {(rule.columns[0], rule.name) for rule in contract.row_rules}
    faults = {(fault.field, fault.rule) for fault in checked.faults}
    flagged = {(fault.field, fault.rule) for fault in checked.warnings}
    return {field for field, _ in faults - known}, faults & known, flagged


def waived(checked, contract):
    """Return the not-null rules that a request may break: those on a column that no model sees."""
    return {
        (rule.columns[0], rule.name)
        for rule in contract.row_rules
        if rule.type == NOT_NULL
        and not contract.columns[rule.columns[0]].is_input
        and checked.values.get(rule.columns[0]) is None
    }


@settings(max_examples=50)
@given(asked(n_rules=12))
def test_what_training_keeps_flags_and_sets_aside_a_request_answers_warns_of_and_refuses(drawn):
    contract, rows = drawn
    judged = validate.validate(read(as_cells(rows, contract), contract), contract, Validate(max_quarantine=1))
    checked = [Door(contract).check(row) for row in rows]
    for i, (row, (unread, refused, flagged)) in enumerate(zip(checked, trained(judged, len(rows)), strict=True)):
        spared = waived(row, contract)
        assert asked_of(row, contract) == (unread, refused - spared, flagged - spared)
        if row.faults:
            assert i in judged.quarantine.index or judged.breaches
        elif not refused & spared:
            assert i in judged.valid.index


@settings(max_examples=60)
@given(asked())
def test_a_row_that_both_doors_take_is_the_same_numbers_at_both(drawn):
    contract, rows = drawn
    table, checked = read(as_cells(rows, contract), contract).rows, [Door(contract).check(row) for row in rows]
    taken = [i for i, row in enumerate(checked) if not row.faults]
    fitted = encoder.fit(table.iloc[::2], contract, [])  # so some categories of the others are new to it
    by_request = fitted.encode_rows([checked[i].values for i in taken])
    assert fitted.encode_table(table.iloc[taken]).tobytes() == by_request.tobytes()


def as_read(row, contract):
    """Return a row as the service reads it: texts without white space around them, null for what means missing."""
    found = {}
    for name, value in row.items():
        column = contract.columns[name]
        if isinstance(value, str) and column.kind in fields.TEXTS:
            value = None if value.strip() in column.missing else value.strip()
        found[name] = value
    return found


def can_be_said(fault, contract):
    """Say whether JSON Schema has words for the rule behind a fault."""
    rules = [rule for rule in contract.row_rules if (rule.columns[0], rule.name) == (fault.field, fault.rule)]
    if rules:
        return any(
            rule.type == NOT_NULL or (len(rule.columns) == 1 and fields.limits(rule, contract.columns[fault.field]))
            for rule in rules
        )
    return not (contract.columns[fault.field].kind == "date" and fault.found.endswith("02-29"))


@settings(max_examples=250)
@given(asked(n_rules=12))
def test_the_schema_refuses_what_the_door_refuses_as_far_as_it_has_words(drawn):
    contract, rows = drawn
    schema = fields.row(contract, Encoder([]))
    jsonschema.Draft202012Validator.check_schema(schema)
    for row in rows:
        faults = [fault for fault in Door(contract).check(row).faults if can_be_said(fault, contract)]
        read_as = as_read(row, contract)
        assert jsonschema.Draft202012Validator(schema).is_valid(read_as) is not bool(faults), (row, faults)
        for name, value in read_as.items():
            found = [fault for fault in faults if fault.field == name]
            assert jsonschema.Draft202012Validator(schema["properties"][name]).is_valid(value) is not bool(found), found


def test_each_verdict_is_met_often_by_what_is_drawn():
    met = {"keeps": 0, "flags": 0, "refuses": 0}

    @settings(max_examples=200)
    @given(asked())
    def count(drawn):
        for row in map(Door(drawn[0]).check, drawn[1]):
            met["refuses" if row.faults else "flags" if row.warnings else "keeps"] += 1

    count()
    assert min(met.values()) > 0.05 * sum(met.values()), met

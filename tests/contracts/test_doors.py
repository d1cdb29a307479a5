"""The frame door and the request door agree to the last bit: for any contract, any row, each family, each problem."""

import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockstep import encoder, features, plugins, predictor
from lockstep.contract import loads
from lockstep.contract.read import read
from lockstep.contract.request import Door
from lockstep.encoder import Encoder
from lockstep.families import Task
from lockstep.predictor import Card

EXTREMES = [0.0, -0.0, 5e-324, -2.2e-308, 1.7976931348623157e308, -1e300, 2.0**53 + 2, 1e39, 0.1, 1 / 3]
WORDS = [
    "a",
    "b",
    " b ",
    "",
    "  ",
    "NA",
    "é",
    "\u00a0x\u2003",
    "unseen",
    "3",
    "3.0",
    "日本",
    "\x1cq",
    "a\nb",
    "None",
    "nan",
]
FAR = [
    dt.datetime(1, 1, 1),
    dt.datetime(1, 1, 1, 0, 0, 0, 1),
    dt.datetime(1969, 12, 31, 23, 59, 59, 999_999),
    dt.datetime(2262, 4, 11, 23, 47, 16, 854_776),
    dt.datetime(9999, 12, 31, 23, 59, 59, 999_999),
]
words = st.none() | st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
JSON = {
    "number": st.none()
    | st.sampled_from(EXTREMES)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**70), 2**70),
    "boolean": st.none() | st.booleans(),
    "category": words,
    "date": st.none()
    | st.sampled_from(FAR).map(dt.datetime.isoformat)
    | st.datetimes().map(dt.datetime.isoformat)
    | st.dates().map(dt.date.isoformat),
    "text": words,
}
FEATURE = {
    "number": "{0} * 3 - 1 / {0}",
    "boolean": "1 - {0}",
    "category": "{0} == 'a'",
    "date": "({0} - np.datetime64('2000-01-01')) / np.timedelta64(1, 's')",
    "text": "np.array([np.nan if each is None else len(each) for each in {0}], dtype=float)",
}


def source_of(kinds):
    lines = [f"def f_{name}({name}): return {FEATURE[kind].format(name)}" for name, kind in kinds.items()]
    return "\n".join(["import numpy as np", *lines])


def contract_of_kinds(kinds, missing=("", "NA")):
    columns = {name: {"kind": kind, "missing": list(missing)} for name, kind in kinds.items()}
    return loads(json.dumps({"meta": {"columns": {**columns, "y": {"kind": "text", "role": "target"}}}}).encode())


def as_typed(rows, kinds):
    """Return the table that a typed source would hold."""
    types = {"number": "float64", "boolean": "boolean", "date": "datetime64[us]"}
    columns = {}
    for name, kind in kinds.items():
        cells = [row.get(name) for row in rows]
        cells = [None if cell is None else float(cell) for cell in cells] if kind == "number" else cells
        cells = [cell and dt.datetime.fromisoformat(cell) for cell in cells] if kind == "date" else cells
        columns[name] = pd.Series(cells, dtype=types.get(kind, "str"))
    return pd.DataFrame(columns)


def as_text(rows, kinds):
    """Return the table that a text file would hold."""
    return pd.DataFrame(
        {
            name: pd.Series(
                [
                    "" if row.get(name) is None else repr(float(row[name])) if kind == "number" else str(row[name])
                    for row in rows
                ],
                dtype="str",
            )
            for name, kind in kinds.items()
        }
    )


def values_of(door, rows):
    checked = [door.check(row) for row in rows]
    assert not any(one.faults for one in checked)
    return [one.values for one in checked]


@st.composite
def tables(draw):
    """Draw the kinds of some columns, rows to learn from, and rows to encode; fields may be absent."""
    drawn = draw(st.lists(st.sampled_from(sorted(JSON)), min_size=1, max_size=5))
    kinds = {f"c{i}": kind for i, kind in enumerate(drawn)}
    row = st.fixed_dictionaries({}, optional={name: JSON[kind] for name, kind in kinds.items()})
    return kinds, draw(st.lists(row, min_size=1, max_size=8)), draw(st.lists(row, min_size=1, max_size=8))


@settings(max_examples=250)
@given(tables())
def test_any_row_is_encoded_the_same_from_a_typed_table_a_text_table_and_a_request(drawn):
    kinds, learned_from, rows = drawn
    contract = contract_of_kinds(kinds)
    loaded = features.load(source_of(kinds), contract)
    fitted = encoder.fit(read(as_typed(learned_from, kinds), contract, target=False).rows, contract, loaded.names)
    asked = values_of(Door(contract), [*rows, *learned_from])
    by_request = fitted.encode_rows([{**row, **loaded.of_row(row)} for row in asked])
    for form in (as_typed, as_text):
        table = read(form([*rows, *learned_from], kinds), contract, target=False)
        assert not table.unreadable
        by_frame = fitted.encode_table(table.rows.assign(**loaded.of_table(table.rows)))
        assert by_frame.tobytes() == by_request.tobytes(), form.__name__
    again = Encoder.loads(fitted.dumps())
    assert again.encode_rows([{**row, **loaded.of_row(row)} for row in asked]).tobytes() == by_request.tobytes()


KINDS = {"price": "number", "rooms": "number", "new": "boolean", "city": "category", "built": "date", "story": "text"}
CONTRACT = contract_of_kinds(KINDS)


def learned_rows(n_rows):
    rng = np.random.default_rng(4)
    rows = [
        {
            "price": rng.normal(),
            "rooms": int(rng.integers(1, 9)),
            "new": bool(rng.random() < 0.5),
            "city": rng.choice(["a", "b", "é"]),
            "story": "x" * int(rng.integers(0, 30)),
            "built": (FAR[2] + dt.timedelta(hours=int(rng.integers(1e6)))).isoformat(),
        }
        for _ in range(n_rows)
    ]
    return [{name: value for name, value in row.items() if rng.random() > 0.1} for row in rows]


@pytest.fixture(scope="session")
def predictors(family, tmp_path_factory):
    """One predictor of the family for each problem, saved and loaded."""
    rows = read(as_typed(learned_rows(240), KINDS), CONTRACT, target=False).rows
    source = source_of(KINDS)
    loaded = features.load(source, CONTRACT)
    columns = rows.assign(**loaded.of_table(rows))
    fitted = encoder.fit(rows, CONTRACT, loaded.names)
    X, module = fitted.encode_table(columns), plugins.load("families", family)
    signal = np.nan_to_num(X[:, 0]) + (np.nan_to_num(X[:, 1], nan=5) > 4)
    found = []
    for name in plugins.names("problems"):
        problem = plugins.load("problems", name)
        cuts = [0.5] if name == "binary" else [0.0, 1.0]
        y = signal if "number" in problem.KINDS else np.digitize(signal, cuts)
        classes = () if "number" in problem.KINDS else tuple("pqr"[: len(cuts) + 1])
        task = Task(len(classes), fitted.parts)
        model = module.fit(X, y, task, {**module.defaults(len(classes)), "rounds": 6}, seed=1, threads=1)
        folder = tmp_path_factory.mktemp("predictor") / name
        card = Card(name, family, classes, problem.choose(y, model.predict(X), None), {})
        predictor.save(folder, card, CONTRACT, fitted, source, model)
        found.append(predictor.load(folder))
    return found


ROW = st.fixed_dictionaries({}, optional={name: JSON[kind] for name, kind in KINDS.items()})


@pytest.fixture(scope="session")
def door():
    return Door(CONTRACT)


@settings(max_examples=60)
@given(rows=st.lists(ROW, min_size=1, max_size=12))
def test_any_row_is_answered_the_same_from_a_table_and_from_a_request(predictors, door, rows):
    table = read(as_typed(rows, KINDS), CONTRACT, target=False).rows
    asked = values_of(door, rows)
    for each in predictors:
        by_frame, by_request = each.predict_table(table), each.predict_rows(asked)
        assert by_frame.output.tobytes() == by_request.output.tobytes(), each.card.problem
        assert list(by_frame.values) == list(by_request.values)
        assert np.isfinite(by_frame.output).all()
        alone = each.predict_rows(asked[-1:])
        assert alone.output.tobytes() == by_frame.output[-1:].tobytes()


def test_the_predictors_tell_rows_apart(predictors):
    rows = read(as_typed(learned_rows(60), KINDS), CONTRACT, target=False).rows
    for each in predictors:
        assert len(set(each.predict_table(rows).output.ravel())) > 5


def test_no_rows_are_answered_with_no_answers(predictors):
    rows = read(as_typed(learned_rows(3), KINDS), CONTRACT, target=False).rows.iloc[:0]
    for each in predictors:
        assert list(each.predict_table(rows).values) == list(each.predict_rows([]).values) == []

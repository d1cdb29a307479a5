import datetime as dt
import json
import math

import numpy as np
import pandas as pd
import pytest

from lockstep import encoder
from lockstep.encoder import MAX_VOCABULARY, Encoder, Part

COLUMNS = {
    "n": {"kind": "number"},
    "b": {"kind": "boolean"},
    "c": {"kind": "category"},
    "d": {"kind": "date"},
    "t": {"kind": "text"},
    "key": {"kind": "text", "role": "id"},
    "when": {"kind": "date", "role": "time"},
}


@pytest.fixture(scope="module")
def contract(contract_of):
    return contract_of(COLUMNS)


def table(n=None, b=None, c=None, d=None, t=None):
    count = max(len(values) for values in (n, b, c, d, t) if values is not None)
    columns = {"n": (n, "float64"), "b": (b, "float64"), "c": (c, "str"), "d": (d, "datetime64[us]"), "t": (t, "str")}
    return pd.DataFrame(
        {
            name: pd.Series([None] * count if values is None else values).astype(kind)
            for name, (values, kind) in columns.items()
        }
    )


def parts_of(fitted, source):
    return [part.part for part in fitted.parts if part.source == source]


def test_inputs_come_in_the_order_of_the_contract_then_the_features_and_text_only_through_them(contract):
    fitted = encoder.fit(table(n=[1, 2], c=["a", "b"]).assign(f=1.0), contract, ["f"])
    assert fitted.names == ("n", "b", "c", "d.days", "f")
    assert [part.kind for part in fitted.parts] == ["number", "number", "category", "date", "feature"]


def test_numbers_and_booleans_are_as_they_are_and_missing_is_nan(contract):
    rows = table(n=[1.5, None, -0.0, 5e-324, 1e308], b=[1, 0, None, 1, 1])
    matrix = encoder.fit(rows, contract, []).encode_table(rows)
    assert matrix.dtype == np.float64
    np.testing.assert_array_equal(matrix[:, 0], [1.5, np.nan, -0.0, 5e-324, 1e308])
    np.testing.assert_array_equal(matrix[:, 1], [1, 0, np.nan, 1, 1])
    assert np.signbit(matrix[2, 0])


def test_a_category_is_its_place_in_the_alphabet_and_an_unseen_one_is_one_past_the_last(contract):
    fitted = encoder.fit(table(c=["b", "a", "b", None, "é"]), contract, [])
    part = fitted.parts[fitted.names.index("c")]
    assert (part.vocabulary, part.n_codes, part.other_seen) == (("a", "b", "é"), 3, False)
    matrix = fitted.encode_table(table(c=["é", "unseen", None, "a"]))
    np.testing.assert_array_equal(matrix[:, fitted.names.index("c")], [2, 3, np.nan, 0])


def test_the_vocabulary_keeps_the_most_frequent_and_says_that_there_were_others(contract):
    names = [f"c{i:03d}" for i in range(MAX_VOCABULARY + 2)]
    rows = table(c=names + names[2:])
    part = encoder.fit(rows, contract, []).parts[2]
    assert part.vocabulary == tuple(names[2:])
    assert part.other_seen
    exact = encoder.fit(table(c=names[:MAX_VOCABULARY]), contract, []).parts[2]
    assert (len(exact.vocabulary), exact.other_seen) == (MAX_VOCABULARY, False)


def test_among_equally_frequent_categories_the_alphabet_decides_whatever_the_order_of_rows(contract):
    names = [f"c{i:03d}" for i in range(MAX_VOCABULARY + 50)]
    forward, backward = (encoder.fit(table(c=order), contract, []) for order in (names, names[::-1]))
    assert forward.dumps() == backward.dumps()
    assert forward.parts[2].vocabulary == tuple(names[:MAX_VOCABULARY])


def test_a_column_without_any_value_is_encoded_as_missing(contract):
    rows = table(n=[None, None])
    fitted = encoder.fit(rows, contract, [])
    assert fitted.parts[2].vocabulary == ()
    assert np.isnan(fitted.encode_table(rows)).all()
    later = fitted.encode_table(table(n=[1], b=[1], c=["new"], d=["2024-01-31"]))
    np.testing.assert_array_equal(later, [[1, 1, 0, 19753]])


def test_a_date_gives_its_days_and_only_the_parts_that_vary(contract):
    assert parts_of(encoder.fit(table(d=["2024-01-31"] * 3), contract, []), "d") == ["days"]
    assert parts_of(encoder.fit(table(d=["2023-05-02", "2024-05-02", None]), contract, []), "d") == [
        "days",
        "year",
        "weekday",
    ]
    every = encoder.fit(table(d=["2023-05-02T10:00", "2024-06-03T11:30"]), contract, [])
    assert parts_of(every, "d") == ["days", "year", "month", "day", "weekday", "hour"]


def test_the_parts_of_a_date_are_those_of_the_calendar(contract):
    fitted = encoder.fit(table(d=["2023-05-02T10:00", "2024-06-03T11:30"]), contract, [])
    first = fitted.names.index("d.days")
    matrix = fitted.encode_table(table(d=["1970-01-02T12:00", "2024-02-29T23:59:59.999999", None]))[:, first:]
    np.testing.assert_array_equal(matrix[0], [1.5, 1970, 1, 2, 4, 12])
    np.testing.assert_array_equal(matrix[1, 1:], [2024, 2, 29, 3, 23])
    assert np.isnan(matrix[2]).all()


@pytest.mark.parametrize(
    "moment",
    [
        dt.datetime(1, 1, 1, 0, 0, 0, 1),
        dt.datetime(1600, 2, 29, 3, 4, 5, 678_901),
        dt.datetime(1969, 12, 31, 23, 59, 59, 999_999),
        dt.datetime(1970, 1, 1),
        dt.datetime(2255, 6, 5, 23, 47, 34, 740_993),
        dt.datetime(2891, 11, 13, 17, 1, 1, 333_333),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999_999),
    ],
)
def test_a_moment_near_or_far_is_the_same_number_at_both_doors(contract, moment):
    fitted = encoder.fit(table(d=["2023-05-02T10:00", "2024-06-03T11:30"]), contract, [])
    moments = [moment + dt.timedelta(microseconds=i) for i in range(200)] if moment.year < 9999 else [moment]
    rows = [{"n": None, "b": None, "c": None, "d": each} for each in moments]
    assert fitted.encode_rows(rows).tobytes() == fitted.encode_table(table(d=moments)).tobytes()


def test_rows_are_encoded_like_the_table_whatever_the_order_of_their_keys(contract):
    fitted = encoder.fit(table(n=[1, 2], c=["a", "b"]).assign(f=1.0), contract, ["f"])
    rows = [
        {"f": math.nan, "c": "b", "d": None, "n": 2.0, "b": 0.0, "t": "more", "key": "k"},
        {"n": None, "b": 1.0, "c": "zz", "d": dt.datetime(2024, 1, 31), "f": -0.0},
    ]
    frame = table(n=[2, None], b=[0, 1], c=["b", "zz"], d=[None, "2024-01-31"]).assign(f=[np.nan, -0.0])
    assert fitted.encode_rows(rows).tobytes() == fitted.encode_table(frame[frame.columns[::-1]]).tobytes()
    assert fitted.encode_rows(iter(rows)).shape == (2, 5)


def test_no_rows_give_a_matrix_of_no_rows(contract):
    fitted = encoder.fit(table(n=[1, 2]), contract, [])
    assert fitted.encode_rows([]).shape == fitted.encode_table(table(n=[1, 2]).iloc[:0]).shape == (0, 4)


def test_encoding_changes_nothing_of_the_table(contract):
    rows = table(n=[1, None], c=["a", "zz"], d=["2024-01-31", None])
    before = rows.copy(deep=True)
    encoder.fit(rows, contract, []).encode_table(rows)[:] = 0
    pd.testing.assert_frame_equal(rows, before)


def test_the_state_is_json_that_a_person_can_read_and_comes_back_equal(contract):
    rows = table(n=[1, 2], c=["é", "b"], d=["2023-05-02T10:00", "2024-06-03"])
    fitted = encoder.fit(rows, contract, [])
    text = fitted.dumps()
    assert "é" in text
    assert [part["name"] for part in json.loads(text)["parts"]] == list(fitted.names)
    back = Encoder.loads(text)
    assert back.parts == fitted.parts
    assert back.dumps() == text
    assert back.encode_table(rows).tobytes() == fitted.encode_table(rows).tobytes()


def test_numbers_have_no_codes():
    assert (Part("n", "n", "number").n_codes, Part("c", "c", "category", vocabulary=("a", "b")).n_codes) == (0, 2)

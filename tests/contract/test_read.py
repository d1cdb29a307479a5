import datetime as dt
import decimal
import io
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from lockstep.contract.model import Column
from lockstep.contract.read import is_missing, read, read_cells
from lockstep.errors import Breach

MISSING, UNREADABLE = "missing", "unreadable"
FAR = [
    dt.datetime(1, 1, 1),
    dt.datetime(1969, 12, 31, 23, 59, 59, 999_999),
    dt.datetime(2024, 2, 29, 12, 30),
    dt.datetime(9999, 12, 31, 23, 59, 59, 999_999),
]


def outcomes(cells, **column):
    """Read ``cells``; a value for each, or whether it is missing or unreadable."""
    column = Column(**column)
    values, missing = read_cells(cells, column), is_missing(cells, column)
    return [
        (MISSING if absent else UNREADABLE) if pd.isna(value) else value
        for value, absent in zip(values, missing, strict=True)
    ]


def text(*cells):
    return pd.Series(cells, dtype="str")


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1", 1.0),
        ("-1.5", -1.5),
        ("+1", 1.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e5", 1e5),
        ("1E-3", 1e-3),
        (" 7 ", 7.0),
        ("\t7\n", 7.0),
        ("-0.0", -0.0),
        ("007", 7.0),
        ("9007199254740993", 2.0**53),
        ("123456789012345678901", 1.2345678901234568e20),
        ("5e-324", 5e-324),
        ("1e-400", 0.0),
        ("", MISSING),
        ("   ", MISSING),
        (None, MISSING),
        ("inf", UNREADABLE),
        ("-inf", UNREADABLE),
        ("Infinity", UNREADABLE),
        ("1e999", UNREADABLE),
        ("nan", UNREADABLE),
        ("NaN", UNREADABLE),
        ("NA", UNREADABLE),
        ("1,234", UNREADABLE),
        ("1 234", UNREADABLE),
        ("1_000", UNREADABLE),
        ("0x10", UNREADABLE),
        ("--1", UNREADABLE),
        ("1.2.3", UNREADABLE),
        ("e5", UNREADABLE),
        (".", UNREADABLE),
        ("12 €", UNREADABLE),
        ("True", UNREADABLE),
        ("１２", UNREADABLE),
        ("1/2", UNREADABLE),
        ("50%", UNREADABLE),
    ],
)
def test_a_cell_of_text_is_a_plain_number_or_unreadable(cell, value):
    found = outcomes(text(cell), kind="number")[0]
    assert found == value
    assert isinstance(found, str) or math.copysign(1, found) == math.copysign(1, value)


@pytest.mark.parametrize(
    ("settings", "cell", "value"),
    [
        ({"thousands": ","}, "1,234", 1234.0),
        ({"thousands": ","}, "-1,234,567.5", -1234567.5),
        ({"thousands": ","}, "1234.5", 1234.5),
        ({"thousands": ","}, "12,34", UNREADABLE),
        ({"thousands": ","}, "1,2345", UNREADABLE),
        ({"thousands": ","}, ",123", UNREADABLE),
        ({"thousands": ","}, "1234,567", UNREADABLE),
        ({"thousands": " "}, "1 234", 1234.0),
        ({"thousands": "'"}, "1'234", 1234.0),
        ({"decimal": ","}, "1,5", 1.5),
        ({"decimal": ","}, "-,5", -0.5),
        ({"decimal": ","}, "1,5e3", 1500.0),
        ({"decimal": ","}, "1.5", UNREADABLE),
        ({"decimal": ","}, "1.234", UNREADABLE),
        ({"decimal": ",", "thousands": "."}, "1.234", 1234.0),
        ({"decimal": ",", "thousands": "."}, "1.234,5", 1234.5),
        ({"decimal": ",", "thousands": "."}, "12.34", UNREADABLE),
        ({"decimal": ",", "thousands": "."}, "1,234.5", UNREADABLE),
    ],
)
def test_thousands_and_the_decimal_mark_are_as_the_contract_says_and_never_guessed(settings, cell, value):
    assert outcomes(text(cell), kind="number", **settings) == [value]


@pytest.mark.parametrize(
    ("settings", "marks"),
    [
        ({"kind": "number"}, ("", "NA", "-999")),
        ({"kind": "number", "decimal": ","}, ("-999,0", "?")),
        ({"kind": "number", "thousands": ","}, ("9,999", "-")),
        ({"kind": "category"}, ("NA", "none")),
        ({"kind": "text"}, ("-",)),
        ({"kind": "boolean"}, ("unknown",)),
        ({"kind": "date"}, ("0000-00-00", "never")),
        ({"kind": "date", "format": "%d/%m/%Y"}, ("01/01/1900",)),
    ],
)
def test_each_mark_for_missing_is_missing_whatever_white_space_surrounds_it(settings, marks):
    assert outcomes(text(*marks, *(f" {mark}\t" for mark in marks)), missing=marks, **settings) == [MISSING] * 2 * len(
        marks
    )


def test_a_mark_that_is_not_stated_is_no_mark():
    assert outcomes(text("", "NA"), kind="category", missing=("NA",)) == ["", MISSING]
    assert outcomes(text("", "NA"), kind="number", missing=("NA",)) == [UNREADABLE, MISSING]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_a_number_written_in_full_is_read_back_to_the_last_bit(numbers):
    found = read_cells(text(*map(repr, numbers)), Column(kind="number"))
    assert found.to_numpy().tobytes() == np.array(numbers).tobytes()


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (pd.Series([1, -2], dtype="int8"), [1.0, -2.0]),
        (pd.Series([2**63], dtype="uint64"), [2.0**63]),
        (pd.Series([1, None], dtype="Int64"), [1.0, MISSING]),
        (pd.Series([1.5, None], dtype="Float64"), [1.5, MISSING]),
        (pd.Series([0.1], dtype="float32"), [float(np.float32(0.1))]),
        (pd.Series([True, False]), [1.0, 0.0]),
        (pd.Series([1.5, np.nan, np.inf, -np.inf]), [1.5, MISSING, UNREADABLE, UNREADABLE]),
        (pd.Series([decimal.Decimal("1.234"), None]), [1.234, MISSING]),
        (pd.Series([None, None]), [MISSING, MISSING]),
        (pd.Categorical([1, 2, None]), [1.0, 2.0, MISSING]),
        (pd.Categorical(["1,5", ""]), [1.5, MISSING]),
        (pd.to_datetime(pd.Series(["2024-01-31", None])), [UNREADABLE, MISSING]),
        (pd.to_timedelta(pd.Series(["1h"])), [UNREADABLE]),
    ],
)
def test_typed_cells_give_numbers_and_the_marks_of_text_play_no_part(cells, values):
    assert outcomes(pd.Series(cells), kind="number", decimal=",", thousands=".") == values


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (
            text("True", "false", "1", "0", "", "yes", "TRUE ", "1.0"),
            [1.0, 0.0, 1.0, 0.0, MISSING, UNREADABLE, 1.0, UNREADABLE],
        ),
        (pd.Series([True, False]), [1.0, 0.0]),
        (pd.Series([True, None], dtype="boolean"), [1.0, MISSING]),
        (pd.Series([True, None, False], dtype=object), [1.0, MISSING, 0.0]),
        (pd.Series([1, 0, 2]), [1.0, 0.0, UNREADABLE]),
        (pd.Series([1.0, np.nan, 0.5]), [1.0, MISSING, UNREADABLE]),
    ],
)
def test_booleans(cells, values):
    assert outcomes(cells, kind="boolean") == values


@pytest.mark.parametrize(
    "typed", [pd.Series([True, False]), pd.Series([True, None], dtype="boolean"), pd.Series([True, None], dtype=object)]
)
def test_own_words_for_true_and_false_are_for_text_and_typed_booleans_stay_what_they_are(typed):
    words = {"true": ("ja",), "false": ("nein",)}
    assert outcomes(text("ja", "nein", "True", "1"), kind="boolean", **words) == [1.0, 0.0, UNREADABLE, UNREADABLE]
    assert UNREADABLE not in outcomes(typed, kind="boolean", **words)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("2024-01-31", dt.datetime(2024, 1, 31)),
        ("2024-01-31T13:45", dt.datetime(2024, 1, 31, 13, 45)),
        (" 2024-01-31 13:45:01 ", dt.datetime(2024, 1, 31, 13, 45, 1)),
        ("2024-01-31T13:45:01.123456", dt.datetime(2024, 1, 31, 13, 45, 1, 123456)),
        ("2024-01-31T13:45:01.123456789", dt.datetime(2024, 1, 31, 13, 45, 1, 123456)),
        ("2024-01-31T13:45:00Z", dt.datetime(2024, 1, 31, 13, 45)),
        ("2024-01-31T13:45:00+02:00", dt.datetime(2024, 1, 31, 11, 45)),
        *((moment.isoformat(), moment) for moment in FAR),
        ("", MISSING),
        ("31/01/2024", UNREADABLE),
        ("2024-02-30", UNREADABLE),
        ("yesterday", UNREADABLE),
        ("1e5", UNREADABLE),
        ("2024-01-31T25:00", UNREADABLE),
    ],
)
def test_a_date_without_a_format_is_iso_8601_in_utc(cell, value):
    assert outcomes(text(cell), kind="date") == [value]


def test_a_date_is_read_the_same_whatever_stands_in_the_other_cells():
    cells = [
        "2024-01-31T13:45:01.123456789",
        *(moment.isoformat() for moment in FAR),
        "2024-01-31+02:00",
        "31/01/2024",
        "2024",
        "",
    ]
    assert outcomes(text(*cells), kind="date") == [outcomes(text(cell), kind="date")[0] for cell in cells]


def test_of_two_formats_in_one_column_the_one_not_stated_is_unreadable():
    cells = text("31/01/2024", "2024-01-31", "01/31/2024", "1/2/24", "", "01/01/0001", "31/12/9999")
    assert outcomes(cells, kind="date", format="%d/%m/%Y") == [
        dt.datetime(2024, 1, 31),
        UNREADABLE,
        UNREADABLE,
        UNREADABLE,
        MISSING,
        dt.datetime(1, 1, 1),
        dt.datetime(9999, 12, 31),
    ]


@pytest.mark.parametrize("format_", [None, "%d/%m/%Y"])
def test_no_date_is_read_from_the_clock(format_):
    assert outcomes(text("now", " today ", "NOW"), kind="date", format=format_) == [UNREADABLE] * 3


@pytest.mark.parametrize("format_", [None, "%d/%m/%Y"])
def test_typed_dates_need_no_format_and_lose_their_zone_in_utc(format_):
    zoned = pd.Series(pd.to_datetime(["2024-01-31T01:00:00+02:00", None]))
    naive = pd.Series(FAR).astype("datetime64[us]")
    days = pd.Series([dt.date(2024, 1, 31), None, dt.date(1, 1, 1)])
    assert outcomes(zoned, kind="date", format=format_) == [dt.datetime(2024, 1, 30, 23), MISSING]
    assert outcomes(zoned.dt.tz_convert("Asia/Tokyo"), kind="date", format=format_)[0] == dt.datetime(2024, 1, 30, 23)
    assert outcomes(naive, kind="date", format=format_) == FAR
    assert outcomes(days, kind="date", format=format_) == [dt.datetime(2024, 1, 31), MISSING, dt.datetime(1, 1, 1)]
    assert outcomes(pd.Series([20240131]), kind="date", format=format_) == [UNREADABLE]


def test_a_zoned_parquet_file_reads_like_the_text_of_the_same_moments(tmp_path):
    zoned = pd.to_datetime(pd.Series(["2024-03-31T00:30:00", "2024-10-27T02:30:00"])).dt.tz_localize("UTC")
    pd.DataFrame({"d": zoned.dt.tz_convert("Europe/Berlin")}).to_parquet(tmp_path / "a.parquet")
    back = pd.read_parquet(tmp_path / "a.parquet")["d"]
    written = text(*(moment.isoformat() for moment in back))
    assert written[0] == "2024-03-31T01:30:00+01:00"
    assert outcomes(back, kind="date") == outcomes(written, kind="date") == list(zoned.dt.tz_localize(None))


@pytest.mark.parametrize(
    "cells",
    [
        text("3", "10", "", "-1"),
        pd.Series([3, 10, None, -1], dtype="Int64"),
        pd.Series([3.0, 10.0, np.nan, -1.0]),
        pd.Series(["3", "10", None, "-1"], dtype="category"),
        pd.Series([3, 10, None, -1], dtype="category"),
        pd.Series([" 3", "10 ", " ", "-1"], dtype=object),
    ],
)
def test_a_category_is_the_same_word_however_it_was_stored(cells):
    assert outcomes(cells, kind="category") == ["3", "10", MISSING, "-1"]


def test_fractions_and_booleans_keep_their_words_as_categories():
    assert outcomes(pd.Series([1.5, -0.0, 1e16]), kind="category") == ["1.5", "0", "1e+16"]
    assert outcomes(pd.Series([True, False]), kind="category") == ["True", "False"]
    assert outcomes(text("3", "3.0"), kind="category") == ["3", "3.0"]


@pytest.mark.parametrize(
    "cells",
    [
        pd.Series([3, 9]),
        pd.Series([3.0, 9.0]),
        pd.Series([3, 9], dtype="category"),
        text("3", " 9"),
        pd.Series([3, 9], dtype="Int8"),
    ],
)
def test_a_category_equal_to_a_missing_mark_is_missing_however_it_was_stored(cells):
    assert outcomes(cells, kind="category", missing=("", "9")) == ["3", MISSING]


COLUMNS = {
    "n": {"kind": "number", "thousands": ",", "missing": ["", "NA"]},
    "whole": {"kind": "number"},
    "b": {"kind": "boolean", "true": ["yes"], "false": ["no"]},
    "c": {"kind": "category", "missing": ["", "?"]},
    "code": {"kind": "category"},
    "d": {"kind": "date", "format": "%d/%m/%Y %H:%M:%S.%f"},
    "day": {"kind": "date", "format": "%d.%m.%Y"},
    "t": {"kind": "text"},
    "y": {"kind": "category", "role": "target"},
}
CSV = """n,whole,b,c,code,d,day,t,y
"1,234.5",1,yes,a,3,31/01/2024 13:45:00.000001,31.01.2024, some words ,good
NA,,,?,,,,,bad
-0.0, 9007199254740993 ,no, b,10,01/01/0001 00:00:00.0,01.01.0001,"a, b",good
5e-324,0,yes,a,3,31/12/9999 23:59:59.999999,31.12.9999,\u00a0é\u00a0,bad
"""


def typed():
    return pd.DataFrame(
        {
            "n": [1234.5, None, -0.0, 5e-324],
            "whole": pd.array([1, None, 9007199254740993, 0], dtype="Int64"),
            "b": pd.array([True, None, False, True], dtype="boolean"),
            "c": ["a", None, "b", "a"],
            "code": pd.array([3, None, 10, 3], dtype="Int32"),
            "d": pd.Series([dt.datetime(2024, 1, 31, 13, 45, 0, 1), None, *FAR[::3]]).astype("datetime64[us]"),
            "day": [dt.date(2024, 1, 31), None, dt.date(1, 1, 1), dt.date(9999, 12, 31)],
            "t": ["some words", None, "a, b", "é"],
            "y": pd.Categorical(["good", "bad", "good", "bad"]),
        }
    )


def test_typed_parquet_and_the_text_of_the_same_table_give_the_same_typed_frame(contract_of, tmp_path):
    contract = contract_of(COLUMNS)
    typed().to_parquet(tmp_path / "a.parquet")
    from_text = read(pd.read_csv(io.StringIO(CSV), dtype="str", keep_default_na=False), contract)
    from_parquet = read(pd.read_parquet(tmp_path / "a.parquet"), contract)
    assert not from_text.unreadable
    assert not from_parquet.unreadable
    assert_frame_equal(from_text.rows, from_parquet.rows, check_exact=True)
    assert math.copysign(1, from_text.rows["n"][2]) == math.copysign(1, from_parquet.rows["n"][2]) == -1
    assert from_text.rows.dtypes.astype("str").to_dict() == {
        "n": "float64",
        "whole": "float64",
        "b": "float64",
        "c": "str",
        "code": "str",
        "d": "datetime64[us]",
        "day": "datetime64[us]",
        "t": "str",
        "y": "str",
    }
    assert from_text.rows.iloc[1].isna().sum() == 8
    assert from_text.rows.iloc[[0, 2, 3]].notna().all().all()


def test_unreadable_cells_are_kept_as_they_were_under_their_rows(contract_of):
    contract = contract_of({"x": {"kind": "number"}, "z": {"kind": "number"}})
    raw = pd.DataFrame({"x": ["1", " 1,5 ", "", "n/a"], "z": ["1"] * 4, "y": ["a"] * 4}, index=[7, 3, 9, 1])
    table = read(raw, contract)
    assert table.unreadable.keys() == {"x"}
    assert table.unreadable["x"].to_dict() == {3: " 1,5 ", 1: "n/a"}
    assert list(table.rows.index) == [7, 3, 9, 1]


def test_reading_changes_nothing_of_the_raw_table_and_order_of_columns_is_irrelevant(contract_of):
    contract, raw = contract_of(COLUMNS), typed()
    before = raw.copy(deep=True)
    forward = read(raw, contract).rows
    assert_frame_equal(raw, before)
    assert_frame_equal(read(raw[raw.columns[::-1]], contract).rows, forward)
    assert list(forward.columns) == list(COLUMNS)


def test_an_empty_table_keeps_the_types(contract_of):
    contract = contract_of(COLUMNS)
    assert read(typed().iloc[:0], contract).rows.dtypes.equals(read(typed(), contract).rows.dtypes)


ROLES = {
    "x": {"kind": "number", "required": True},
    "z": {"kind": "date"},
    "key": {"kind": "text", "role": "id"},
    "when": {"kind": "date", "role": "time"},
    "who": {"kind": "text", "role": "group"},
    "note": {"kind": "text", "role": "ignored"},
    "y": {"kind": "category", "role": "target"},
}


def of_roles(*left_out, **more):
    return pd.DataFrame({name: ["1"] if name == "x" else [""] for name in ROLES if name not in left_out} | more)


def test_an_ignored_column_may_be_there_or_not_and_is_never_read(contract_of):
    contract = contract_of(ROLES)
    for raw in (of_roles(), of_roles("note")):
        assert list(read(raw, contract).rows.columns) == ["x", "z", "key", "when", "who", "y"]


@pytest.mark.parametrize("name", ["x", "z", "key", "when", "who", "y"])
def test_training_refuses_a_missing_column_by_name(contract_of, name):
    with pytest.raises(
        Breach,
        match=rf"^column '{name}' is missing from the table; the contract requires "
        rf"\['{name}'\]\. See expectations/rows\.json\.$",
    ):
        read(of_roles(name), contract_of(ROLES))


def test_a_renamed_column_is_guessed(contract_of):
    with pytest.raises(Breach, match=r"^column 'when' is missing .*Was it renamed\? The table has \['wen'\]"):
        read(of_roles("when", wen=[""]), contract_of(ROLES))


@pytest.mark.parametrize("target", [True, False])
def test_a_new_column_is_refused_by_name_with_the_near_match(contract_of, target):
    with pytest.raises(Breach, match=r"^column 'nota' is not in the contract; .* Did you mean 'note'\?"):
        read(of_roles(nota=[""]), contract_of(ROLES), target=target)


def test_a_doubled_column_is_refused_by_name(contract_of):
    raw = pd.concat([of_roles(), of_roles()[["z", "x"]]], axis=1)
    with pytest.raises(Breach, match=r"^column names must differ; \['x', 'z'\] stand more than once"):
        read(raw, contract_of(ROLES))


def test_prediction_needs_required_inputs_alone_and_takes_absent_inputs_for_missing(contract_of):
    contract = contract_of(ROLES)
    bare = read(of_roles("z", "key", "when", "who", "y", "note"), contract, target=False)
    assert bare.rows.to_dict("list") == {"x": [1.0], "z": [pd.NaT]}
    assert bare.rows.dtypes.equals(read(of_roles(), contract, target=False).rows.dtypes[["x", "z"]])
    assert not bare.unreadable
    with pytest.raises(Breach, match=r"^column 'x' is missing"):
        read(of_roles("x"), contract, target=False)


def test_a_time_that_is_an_input_is_missing_where_a_prediction_lacks_it(contract_of):
    columns = {**ROLES, "when": {"kind": "date", "role": "time", "input": True}}
    rows = read(of_roles("when", "y"), contract_of(columns), target=False).rows
    assert rows["when"].isna().all()
    assert rows["when"].dtype == "datetime64[us]"


def test_prediction_does_not_look_at_the_target(contract_of):
    assert "y" not in read(of_roles(), contract_of(ROLES), target=False).rows


def test_the_contract_used_here_reads_every_kind():
    assert {column["kind"] for column in json.loads(json.dumps(COLUMNS)).values()} == {
        "number",
        "boolean",
        "category",
        "date",
        "text",
    }

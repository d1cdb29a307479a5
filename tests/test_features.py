import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lockstep import contract as contracts
from lockstep import features
from lockstep.errors import FeatureError

COLUMNS = {
    "price": {"kind": "number"},
    "rooms": {"kind": "number"},
    "new": {"kind": "boolean"},
    "city": {"kind": "category"},
    "built": {"kind": "date"},
    "story": {"kind": "text"},
    "key": {"kind": "text", "role": "id"},
    "y": {"kind": "number", "role": "target"},
}
ALL_KINDS = """
import numpy as np
from math import sqrt
from numpy import where

LIMIT = 3

def per_room(price, rooms):
    return price / rooms

def is_long(story):
    return _lengths(story) > LIMIT

def _lengths(texts):
    return np.array([np.nan if text is None else len(text) for text in texts])

def in_north(city):
    return city == "north"

def age(built, new):
    return (np.datetime64("2024-01-01") - built) / np.timedelta64(1, "D") * new
"""


@pytest.fixture(scope="module")
def contract(contract_of):
    return contract_of(COLUMNS)


@pytest.fixture
def rows():
    return pd.DataFrame(
        {
            "price": [10.0, -0.0, np.nan, 1e308, 5.0] * 10,
            "rooms": [2.0, 0.0, 3.0, 1e-5, np.nan] * 10,
            "new": [1.0, 0.0, np.nan, 1.0, 1.0] * 10,
            "city": pd.Series(["north", None, "south", "é", "north"] * 10, dtype="str"),
            "built": pd.Series(
                [
                    dt.datetime(2000, 1, 1),
                    None,
                    dt.datetime(1, 1, 1),
                    dt.datetime(9999, 1, 1),
                    dt.datetime(2024, 1, 1, 12),
                ]
                * 10
            ).astype("datetime64[us]"),
            "story": pd.Series(["long text", "", None, "ab", "日本語 x"] * 10, dtype="str"),
        }
    )


def as_row(rows, i):
    return {
        name: None if pd.isna(value) else value.to_pydatetime() if isinstance(value, pd.Timestamp) else value
        for name, value in rows.iloc[i].items()
    }


def test_the_public_functions_of_the_file_are_the_features_in_its_order(contract):
    assert features.load(ALL_KINDS, contract).names == ("per_room", "is_long", "in_north", "age")


def test_a_table_and_its_rows_alone_give_the_same_numbers_to_the_last_bit(contract, rows):
    loaded = features.load(ALL_KINDS, contract)
    whole = loaded.of_table(rows)
    for i in range(len(rows)):
        alone = loaded.of_row(as_row(rows, i))
        for name in loaded.names:
            assert np.float64(alone[name]).tobytes() == whole[name][i].tobytes(), (name, i)
    assert all(values.dtype == np.float64 and values.shape == (50,) for values in whole.values())
    loaded.check(rows)


def test_an_infinite_result_is_missing_at_both_doors_and_no_warning_is_given(contract, rows):
    loaded = features.load(ALL_KINDS, contract)
    assert np.isnan(loaded.of_table(rows)["per_room"][3])
    assert np.isnan(loaded.of_row(as_row(rows, 3))["per_room"])
    assert np.isnan(loaded.of_table(rows)["per_room"][1])


@pytest.mark.parametrize(
    ("column", "holds"),
    [
        ("price", "price.dtype == np.float64 and np.isnan(price[-1])"),
        ("new", "new.dtype == np.float64 and np.isnan(new[-1])"),
        ("built", "built.dtype == np.dtype('datetime64[us]') and np.isnat(built[-1])"),
        ("city", "city.dtype == object and city[-1] is None"),
        ("story", "story.dtype == object and story[-1] is None"),
    ],
)
def test_columns_arrive_as_plain_arrays_with_missing_values_of_their_kind_at_both_doors(contract, column, holds):
    loaded = features.load(f"import numpy as np\ndef f({column}): return np.full(len({column}), {holds})", contract)
    kind = {"built": "datetime64[us]", "city": "str", "story": "str"}.get(column, "float64")
    empty = pd.DataFrame({column: pd.Series([None, None], dtype=kind)})
    assert list(loaded.of_table(empty)["f"]) == [1.0, 1.0]
    assert loaded.of_row({column: None}) == {"f": 1.0}


def test_a_file_without_functions_has_no_features(contract, rows):
    loaded = features.load("import numpy as np\nLIMIT = 3\n", contract)
    assert (loaded.names, loaded.of_table(rows), loaded.of_row({})) == ((), {}, {})
    loaded.check(rows)


def test_imported_functions_helpers_and_classes_are_no_features(contract):
    source = (
        "from os.path import join\nfrom textwrap import *\n"
        "def _h(a): return a\nclass C: pass\ndef f(price): return price"
    )
    assert features.load(source, contract).names == ("f",)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "def f(prise): return prise",
            r"'f' asks for 'prise', which is no input; expected one of \[.*\]\. Did you mean 'price'\?$",
        ),
        ("def f(y): return y", "'f' asks for 'y', which is no input"),
        ("def f(key): return key", "'f' asks for 'key', which is no input"),
        ("def f(price, scale=2): return price", "'f' asks for 'scale', which is no input"),
        ("def f(): return 1", "'f' must take at least one column; a leading underscore hides a helper"),
        ("def price(rooms): return rooms", "'price' is already a column of the contract"),
        ("def y(rooms): return rooms", "'y' is already a column of the contract"),
        ("def f(price) return price", "does not run: SyntaxError"),
        ("import no_such_package", "does not run: ModuleNotFoundError: No module named 'no_such_package'"),
        ("1 / 0", "does not run: ZeroDivisionError"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_what_is_wrong(contract, source, message):
    with pytest.raises(FeatureError, match=rf"^src/features\.py:? {message}"):
        features.load(source, contract)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("price[:-1]", r"must return one number a row, shape \(50,\); got \(49,\)"),
        ("price.mean()", r"must return one number a row, shape \(50,\); got \(\)"),
        ("np.column_stack([price, price])", r"must return one number a row, shape \(50,\); got \(50, 2\)"),
        ("None", r"must return one number a row, shape \(50,\); got \(\)"),
        ("price + 'x'", "failed: .*Error"),
        ("city", "failed: ValueError: could not convert string to float"),
        ("1 / 0", "failed: ZeroDivisionError: division by zero"),
    ],
)
def test_a_function_that_fails_or_gives_no_number_a_row_is_named(contract, rows, body, message):
    loaded = features.load(f"import numpy as np\ndef bad(price, city): return {body}", contract)
    with pytest.raises(FeatureError, match=rf"^src/features\.py: 'bad' {message}"):
        loaded.of_table(rows)


@pytest.mark.parametrize(
    "body",
    [
        "price - np.nanmean(price)",
        "np.cumsum(rooms)",
        "np.roll(rooms, 1)",
        "np.argsort(price)",
        "rooms / len(rooms)",
        "np.full(len(price), len(price))",
        "np.nan_to_num(rooms, nan=np.nanmedian(rooms))",
        "np.r_[rooms[1:], rooms[0]]",
        "np.where(city == city[0], 1, 0)",
        "rooms[::-1]",
        "np.clip(price, *np.quantile(price, [0.05, 0.95]))",
    ],
)
def test_a_feature_that_peeks_at_its_neighbours_is_refused(contract, rows, body):
    rooms = np.where(np.arange(50) == 46, np.nan, np.arange(50.0) ** 2)
    loaded = features.load(f"import numpy as np\ndef peeks(price, rooms, city): return {body}", contract)
    with pytest.raises(
        FeatureError,
        match=r"^src/features\.py: 'peeks' must give each row the same value alone as in "
        r"the table; row \d+ gives .* Does it look at its neighbours\?$",
    ):
        loaded.check(rows.assign(rooms=rooms, price=np.linspace(1, 9, 50)))


@pytest.mark.parametrize("row", [46, 47])
@pytest.mark.parametrize(
    "body",
    [
        "np.where(np.isnan(price), np.nanmedian(price), price)",
        "np.clip(rooms, *np.quantile(rooms, [0.001, 0.999]))",
        "np.where(rooms > 5, np.nanmean(price), price)",
    ],
)
def test_peeking_for_the_sake_of_one_row_in_a_thousand_is_refused_too(contract, rows, row, body):
    many = pd.concat([rows] * 20, ignore_index=True)
    here = np.arange(len(many)) == row
    price = np.random.default_rng(0).normal(size=1_000)
    many = many.assign(price=np.where(here, np.nan, price), rooms=np.where(here, 100.0, 2.0))
    loaded = features.load(f"import numpy as np\ndef peeks(price, rooms): return {body}", contract)
    with np.errstate(all="ignore"), pytest.raises(FeatureError, match=rf"'peeks' .* row {row} gives .* in half of it"):
        loaded.check(many)


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("price", "price[0] = 5"),
        ("price", "price[np.isnan(price)] = 0"),
        ("city", "city[city == None] = 'none'"),
        ("built", "built += np.timedelta64(1, 'D')"),
        ("new", "new.sort()"),
    ],
)
def test_a_feature_that_changes_its_input_is_refused(contract, rows, column, change):
    source = (
        f"import numpy as np\ndef other({column}): return np.ones(len({column}))\n"
        f"def changes({column}):\n    {change}\n    return np.ones(len({column}))"
    )
    loaded = features.load(source, contract)
    with pytest.raises(FeatureError, match=rf"^src/features\.py: a feature changes its input '{column}'; work on"):
        loaded.check(rows)


def test_computing_features_leaves_the_table_as_it_was(contract, rows):
    before = rows.copy(deep=True)
    loaded = features.load("def changes(price):\n    price[:] = 0\n    return price", contract)
    loaded.of_table(rows)
    pd.testing.assert_frame_equal(rows, before)
    with pytest.raises(FeatureError, match="changes its input 'price'"):
        loaded.check(rows)
    pd.testing.assert_frame_equal(rows, before)


def test_the_features_that_ship_fit_the_contract_that_ships():
    root = Path(__file__).parents[1]
    shipped = contracts.load(root)
    assert features.load((root / features.FILE).read_text("utf-8"), shipped).names

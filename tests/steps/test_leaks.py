from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lockstep.contract import Contract
from lockstep.errors import LeakError
from lockstep.steps import leaks, sums

N = 2_000


def rows_of(target: Any, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({**columns, "y": target})


def accused(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    names = [name for name in rows if name != "y"]
    return [leak.columns for leak in leaks.find(rows, "y", names, seed=1) if leak.certain]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def label(rng: np.random.Generator) -> np.ndarray:
    return rng.choice(["no", "yes"], N, p=[0.8, 0.2])


def test_a_column_that_repeats_the_target_in_other_words_is_accused(
    label: np.ndarray, rng: np.random.Generator
) -> None:
    other = np.where(label == "yes", rng.choice(["gone", "left"], N), "here")
    assert accused(rows_of(label, other=other, honest=rng.normal(size=N))) == [("other",)]


def test_a_number_that_a_cut_turns_into_the_target_is_accused(label: np.ndarray, rng: np.random.Generator) -> None:
    assert accused(rows_of(label, score=np.where(label == "yes", 5.0, 3.0) + rng.random(N))) == [("score",)]


def test_a_number_that_two_cuts_turn_into_the_target_is_accused(label: np.ndarray, rng: np.random.Generator) -> None:
    middle = rng.uniform(-1, 1, N)
    outer = rng.choice([-1, 1], N) * rng.uniform(1.01, 3, N)
    assert accused(rows_of(label, score=np.where(label == "yes", outer, middle))) == [("score",)]


def test_codes_in_no_order_that_stand_for_the_target_are_accused(label: np.ndarray, rng: np.random.Generator) -> None:
    odd = 2.0 * rng.integers(0, 20, N) + 1
    assert accused(rows_of(label, code=np.where(label == "yes", odd, odd + 1))) == [("code",)]


def test_a_column_that_is_filled_for_one_class_alone_is_accused(label: np.ndarray, rng: np.random.Generator) -> None:
    refund = np.where(label == "yes", rng.normal(size=N), np.nan)
    day = pd.Series(pd.Timestamp("2024-01-01"), index=range(N)).where(pd.Series(label == "yes"))
    assert set(accused(rows_of(label, refund=refund, day=day.to_numpy()))) == {("refund",), ("day",)}


def test_one_number_for_many_classes_is_accused(rng: np.random.Generator) -> None:
    classes = rng.integers(0, 30, N)
    rows = rows_of(np.char.mod("class %d", classes), code=classes + 0.5 * rng.random(N), noise=rng.random(N))
    assert accused(rows) == [("code",)]


@pytest.mark.parametrize("share_wrong", [0.05, 0.15])
def test_a_strong_but_honest_column_is_not_accused(
    label: np.ndarray, rng: np.random.Generator, share_wrong: float
) -> None:
    wrong = rng.random(N) < share_wrong * 0.2 / 0.5
    strong = np.where((label == "yes") ^ wrong, "a", "b")
    number = np.where(label == "yes", 1.0, -1.0) + rng.normal(size=N) / 2
    assert accused(rows_of(label, strong=strong, number=number)) == []


def test_a_column_of_many_values_is_not_accused_for_what_could_be_learned_by_heart(
    label: np.ndarray, rng: np.random.Generator
) -> None:
    town = rng.integers(0, 700, N).astype(str)
    assert accused(rows_of(label, id=[f"c{i}" for i in range(N)], town=town, x=rng.normal(size=N))) == []


def test_doubled_rows_do_not_make_a_column_tell_the_target(label: np.ndarray, rng: np.random.Generator) -> None:
    rows = rows_of(label, x=rng.normal(size=N), name=[f"c{i}" for i in range(N)]).iloc[:1000]
    assert accused(pd.concat([rows, rows.iloc[:900]], ignore_index=True)) == []


def test_nothing_is_said_of_a_handful_of_rows() -> None:
    assert accused(rows_of(["a", "b"] * 5, x=[0.0, 1.0] * 5)) == []


def test_a_suspicious_column_is_found_but_not_certain(label: np.ndarray, rng: np.random.Generator) -> None:
    wrong = rng.random(N) < 0.01
    rows = rows_of(label, nearly=np.where((label == "yes") ^ wrong, "a", "b"))
    (leak,) = leaks.find(rows, "y", ["nearly"], seed=1)
    assert not leak.certain
    assert 0.02 < leak.figures["error_left"] < 0.1


def test_the_members_of_a_sum_are_accused_among_other_columns(rng: np.random.Generator) -> None:
    a, b = rng.integers(0, 300, N).astype(float), rng.integers(0, 50, N).astype(float)
    others = {f"x{i}": rng.normal(size=N) for i in range(20)}
    (leak,) = leaks.find(rows_of(a + b, **others, a=a, b=b), "y", [*others, "a", "b"], seed=1)
    assert leak.columns == ("a", "b")
    assert leak.reason == "a + b = y in every row"


@pytest.mark.parametrize(
    ("weights", "constant", "said"),
    [
        ((1, -1, 0), 0.0, "a - b = y in every row"),
        ((1, 1, 1), 0.0, "a + b + c = y in every row"),
        ((0.5, 0.5, 0), 0.0, "0.5 * a + 0.5 * b = y in every row"),
        ((3, 1, 0), 0.0, "3 * a + b = y in every row"),
        ((1, -1, -1), 2.5, "a - b - c + 2.5 = y in every row"),
        ((1.8, 0, 0), 32.0, "1.8 * a + 32 = y in every row"),
    ],
)
def test_differences_means_and_scaled_copies_are_sums_too(
    rng: np.random.Generator, weights: tuple[float, ...], constant: float, said: str
) -> None:
    X = rng.gamma(2, 50, (N, 3)).round(2)
    rows = rows_of(X @ np.array(weights) + constant, a=X[:, 0], b=X[:, 1], c=X[:, 2], other=rng.normal(size=N))
    (total,) = sums.find(rows, "y", ["a", "b", "c", "other"], seed=1)
    assert total.sentence("y") == said


def test_a_sum_of_rounded_members_is_found_and_so_is_a_rounded_copy(rng: np.random.Generator) -> None:
    a, b = rng.gamma(2, 5_000, N), rng.gamma(2, 5_000, N)
    rows = rows_of((a + b).round(2), a=a.round(2), b=b.round(2), euro=((a + b) * 0.9).round(2))
    assert {total.columns for total in sums.find(rows, "y", ["a", "b", "euro"], seed=1)} == {("a", "b"), ("euro",)}


def test_spoiled_cells_and_missing_ones_do_not_hide_a_sum(rng: np.random.Generator) -> None:
    a, b = rng.gamma(2, 50, N).round(2), rng.gamma(2, 50, N).round(2)
    rows = rows_of((a + b).round(2), a=a, b=b, x=rng.normal(size=N))
    rows.loc[:15, "a"] = -999.0
    rows.loc[100:500, "b"] = np.nan
    (total,) = sums.find(rows, "y", ["a", "b", "x"], seed=1)
    assert total.columns == ("a", "b")
    assert 0.98 < total.share < 1


def test_a_total_that_a_fee_breaks_in_some_rows_is_still_a_sum(rng: np.random.Generator) -> None:
    fare, tip = rng.gamma(2, 10, N).round(2), np.where(rng.random(N) < 0.6, 0, rng.gamma(2, 2, N).round(2))
    fee = np.where(rng.random(N) < 0.12, 2.75, 0.0)
    rows = rows_of((fare + tip + fee).round(2), fare=fare, tip=tip, x=rng.normal(size=N))
    found = sums.find(rows, "y", ["fare", "tip", "x"], seed=1)
    assert [total.columns for total in found] == [("fare", "tip")]


def test_one_column_that_is_often_the_target_is_no_sum(rng: np.random.Generator) -> None:
    before = rng.gamma(2, 50, N).round(2)
    now = np.where(rng.random(N) < 0.1, rng.gamma(2, 50, N).round(2), before)
    assert sums.find(rows_of(now, before=before), "y", ["before"], seed=1) == ()


def test_columns_that_are_mostly_nought_like_the_target_are_no_sum(rng: np.random.Generator) -> None:
    y, a, b = (np.where(rng.random(N) < 0.95, 0, rng.gamma(2, 50, N)).round(2) for _ in range(3))
    assert sums.find(rows_of(y, a=a, b=b), "y", ["a", "b"], seed=1) == ()


def test_an_honest_linear_law_of_odd_weights_is_no_sum(rng: np.random.Generator) -> None:
    X = rng.normal(size=(N, 6))
    rows = rows_of(X @ np.array([3.14, 2.7, 1.4, -1.7, 0.6, 7.3]), **{f"x{i}": X[:, i] for i in range(6)})
    assert sums.find(rows, "y", [f"x{i}" for i in range(6)], seed=1) == ()


def test_a_noisy_sum_and_a_small_wide_table_are_no_sums(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(2, N))
    assert sums.find(rows_of(a + b + rng.normal(size=N) / 100, a=a, b=b), "y", ["a", "b"], seed=1) == ()
    wide = pd.DataFrame(rng.normal(size=(40, 60)), columns=[f"x{i}" for i in range(60)]).assign(y=rng.normal(size=40))
    assert sums.find(wide, "y", [f"x{i}" for i in range(60)], seed=1) == ()


def test_the_target_bent_by_a_curve_is_accused_and_an_honest_lag_is_not(rng: np.random.Generator) -> None:
    price = 100 + np.cumsum(rng.normal(size=N))
    rows = rows_of(price[1:], yesterday=price[:-1], log=np.log(price[1:]))
    assert accused(rows) == [("log",)]


def test_a_certain_leak_stops_the_line_unless_accepted(
    contract_of: Callable[..., Contract], rng: np.random.Generator
) -> None:
    a, b = rng.integers(0, 300, N).astype(float), rng.integers(0, 50, N).astype(float)
    rows = rows_of(a + b, a=a, b=b, spare=a)
    number = {"kind": "number"}
    contract = contract_of(
        {"a": number, "b": number, "spare": {**number, "role": "id"}, "y": {**number, "role": "target"}}
    )
    with pytest.raises(LeakError, match=r"'a', 'b' give the target away: a \+ b = y in every row.*split\.accept_leaks"):
        leaks.refuse(rows, contract, [], seed=1)
    with pytest.raises(LeakError, match="'a', 'b' give"):
        leaks.refuse(rows, contract, ["a"], seed=1)
    leaks.refuse(rows, contract, ["a", "b"], seed=1)


def test_what_only_looks_strange_does_not_stop_the_line(
    contract_of: Callable[..., Contract], label: np.ndarray, rng: np.random.Generator
) -> None:
    nearly = np.where((label == "yes") ^ (rng.random(N) < 0.01), "a", "b")
    contract = contract_of({"nearly": {"kind": "category"}})
    leaks.refuse(rows_of(label, nearly=nearly), contract, [], seed=1)


def test_the_same_seed_finds_the_same_and_rows_stay_as_they_are(label: np.ndarray, rng: np.random.Generator) -> None:
    rows = rows_of(label, a=rng.normal(size=N), b=np.where(label == "yes", "u", "v"))
    before = rows.copy()
    assert leaks.find(rows, "y", ["a", "b"], seed=5) == leaks.find(rows, "y", ["a", "b"], seed=5)
    pd.testing.assert_frame_equal(rows, before)


@pytest.mark.parametrize(
    ("name", "target", "expected"),
    [
        ("titanic/titanic.csv", "survived", [("alive",)]),
        ("bike_sharing/hour.csv", "cnt", [("casual", "registered")]),
        ("telco_churn/Telco-Customer-Churn.csv", "Churn", []),
        ("penguins/penguins.csv", "species", []),
        ("credit_default/UCI_Credit_Card.csv", "Y", []),
        ("california_housing/housing.csv", "median_house_value", []),
        ("elec2/elec.csv", "class", []),
    ],
)
def test_real_tables_are_accused_of_their_leaks_and_of_nothing_else(
    table: Callable[[str], Path], name: str, target: str, expected: list[tuple[str, ...]]
) -> None:
    rows = pd.read_csv(table(name))
    numbers = rows.select_dtypes(include=["number"]).astype("float64")
    rows = rows.astype("str").where(rows.notna()).assign(**{column: numbers[column] for column in numbers})
    if target in ("survived", "Y", "class"):
        rows[target] = rows[target].astype("str")
    found = leaks.find(rows, target, [column for column in rows if column != target], seed=1)
    assert [leak.columns for leak in found if leak.certain] == expected

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lockstep.contract import loads
from lockstep.contract.read import read
from lockstep.contract.request import Door
from lockstep.errors import FitError, SourceError, UnknownName
from lockstep.params import Validate
from lockstep.sources import file
from lockstep.sources._guess import guess
from lockstep.steps.suggest import Suggestion, suggest
from lockstep.steps.validate import validate

N = 600


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture
def raw(rng: np.random.Generator) -> pd.DataFrame:
    """Return a table of texts, as a CSV gives it, with a number ``x`` and a target ``y`` of two classes."""
    return pd.DataFrame({"x": rng.normal(size=N).round(2), "y": rng.choice(["no", "yes"], N)}).astype("str")


def roles(found: Suggestion) -> dict[str, str]:
    return {decision.column: decision.decision for decision in found.decisions}


def why(found: Suggestion, column: str) -> str:
    return next(decision.why for decision in found.decisions if decision.column == column)


def days(n: int, form: str = "%Y-%m-%d") -> np.ndarray:
    return pd.date_range("2020-01-01", periods=n).strftime(form).to_numpy()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["no", "yes"], "binary"),
        (["0", "1"], "binary"),
        (["a", "b", "c"], "multiclass"),
        ([str(i) for i in range(10)], "multiclass"),
        ([str(i) for i in range(1, 6)], "multiclass"),
        ([str(i) for i in range(3, 10)], "regression"),
        ([str(i) for i in range(40)], "regression"),
        (["0.5", "1.5", "2"], "regression"),
    ],
)
def test_the_problem_is_told_from_the_target(
    raw: pd.DataFrame, rng: np.random.Generator, values: list[str], problem: str
) -> None:
    found = suggest(raw.assign(y=rng.choice(values, N)), "y")
    assert found.problem == problem
    assert problem in why(found, "y")


def test_the_choice_for_a_few_whole_numbers_is_explained_and_can_be_overruled(
    raw: pd.DataFrame, rng: np.random.Generator
) -> None:
    grades = raw.assign(y=rng.integers(3, 10, N).astype(str))
    assert "not counted from 0 or 1, so a scale rather than codes" in why(suggest(grades, "y"), "y")
    assert suggest(grades, "y", problem="multiclass").problem == "multiclass"


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["yes"] * 500 + ["no"] * 100, ("no", "yes")),
        (["good"] * 500 + ["bad"] * 100, ("good", "bad")),
        (["1"] * 500 + ["0"] * 100, ("0", "1")),
        ([">50K"] * 100 + ["<=50K"] * 500, ("<=50K", ">50K")),
    ],
)
def test_the_positive_class_stands_last_a_yes_else_the_rarer(
    raw: pd.DataFrame, values: list[str], classes: tuple[str, ...]
) -> None:
    contract = loads(suggest(raw.assign(y=values), "y").contract.encode())
    assert contract.columns["y"].classes == classes


@pytest.mark.parametrize(
    ("values", "problem", "message"),
    [
        ([f"class {i % 300}" for i in range(N)], None, "at most 100 classes; found 300"),
        (["a"] * N, None, "must take more than one value"),
        (["a", "b"] * 299 + ["a", "c"], None, r"at least 2 rows; \['c'\] has one"),
        (["a", "b", "c"] * 200, "binary", "must have two classes"),
        (
            ["a", "b"] * 300,
            "regression",
            "must be a number for problem 'regression'; it holds category cells such as 'a'",
        ),
        ([*days(N)], None, "nothing here predicts a date"),
        ([""] * 590 + ["a", "b"] * 5, None, "at least 25 rows with a target"),
    ],
)
def test_a_target_that_cannot_be_learned_is_refused(
    raw: pd.DataFrame, values: list[str], problem: str | None, message: str
) -> None:
    with pytest.raises(FitError, match=message):
        suggest(raw.assign(y=values), "y", problem=problem)


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"target": "yy"}, r"--target: no column 'yy'.*Did you mean 'y'"),
        ({"time": "tme"}, "--time: no column 'tme'"),
        ({"ignore": ["z"]}, "--ignore: no column 'z'"),
        ({"id": "x", "group": "x"}, "one role; 'x' was given several"),
        ({"problem": "classification"}, "no problem named 'classification'"),
    ],
)
def test_a_misspelt_wish_is_answered_with_the_list(raw: pd.DataFrame, wishes: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownName, match=message):
        suggest(raw, **{"target": "y", **wishes})


def test_identifiers_constants_and_empty_columns_are_no_inputs(raw: pd.DataFrame, rng: np.random.Generator) -> None:
    found = suggest(
        raw.assign(
            key=[f"C-{i}" for i in rng.permutation(N)],
            number=[str(i) for i in range(1, N + 1)],
            account_no=rng.choice(range(10**5, 10**6), N, replace=False).astype(str),
            empty="",
            same="x",
        ),
        "y",
    )
    assert roles(found) == {
        "y": "target",
        "x": "input",
        "key": "id",
        "number": "id",
        "account_no": "id",
        "empty": "ignored",
        "same": "ignored",
    }
    assert why(found, "same") == "every row holds 'x'"


def test_a_unique_measurement_is_no_identifier(raw: pd.DataFrame, rng: np.random.Generator) -> None:
    found = suggest(
        raw.assign(
            income=np.sort(rng.choice(90_000, N, replace=False)).astype(str), weight=rng.normal(size=N).astype(str)
        ),
        "y",
    )
    assert roles(found)["income"] == roles(found)["weight"] == "input"


def test_a_column_that_repeats_another_is_ignored_and_one_that_follows_is_kept_with_a_word(
    raw: pd.DataFrame, rng: np.random.Generator
) -> None:
    grade, who = rng.integers(1, 4, N), rng.choice(["man", "woman", "child"], N)
    found = suggest(
        raw.assign(
            grade_name=np.array(["", "First", "Second", "Third"])[grade],
            grade=grade.astype(str),
            who=who,
            adult_male=np.where(who == "man", "True", "False"),
        ),
        "y",
    )
    assert why(found, "grade_name") == "repeats 'grade', value for value"
    assert roles(found)["grade"] == "input"
    assert why(found, "adult_male") == "kept, though it follows from 'who'"


def test_measurements_of_a_few_things_are_no_copies_of_each_other(raw: pd.DataFrame, rng: np.random.Generator) -> None:
    thing = rng.integers(0, 100, N)
    found = suggest(
        raw.assign(height=rng.normal(size=100)[thing].astype(str), income=rng.normal(size=100)[thing].astype(str)), "y"
    )
    assert roles(found)["height"] == roles(found)["income"] == "input"


def test_leaks_are_ignored_with_the_reason_and_all_members_of_a_sum_are(
    raw: pd.DataFrame, rng: np.random.Generator
) -> None:
    left = suggest(raw.assign(left=np.where(raw["y"] == "yes", "gone", "here")), "y")
    assert roles(left)["left"] == "ignored"
    assert "gives the target away" in why(left, "left")
    a, b = rng.integers(0, 50, (2, N))
    total = suggest(raw.assign(a=a.astype(str), b=b.astype(str), y=(a + b).astype(str)), "y")
    assert roles(total)["a"] == roles(total)["b"] == "ignored"
    assert "a + b = y in every row" in why(total, "a")


def test_rows_in_order_of_a_date_are_split_by_time_and_others_are_not(
    raw: pd.DataFrame, rng: np.random.Generator
) -> None:
    ordered = suggest(raw.assign(day=days(N, "%d/%m/%Y")), "y")
    assert (ordered.split, roles(ordered)["day"]) == ("time", "time")
    assert suggest(raw.assign(day=days(N)[::-1]), "y").split == "time"
    shuffled = suggest(raw.assign(day=rng.permutation(days(N))), "y")
    assert (shuffled.split, roles(shuffled)["day"]) == ("random", "input")
    assert any("give --time day" in note for note in shuffled.notes)
    assert suggest(raw.assign(day=rng.permutation(days(N))), "y", time="day").split == "time"


def test_a_time_that_is_no_date_is_refused_and_says_why(raw: pd.DataFrame) -> None:
    mixed = raw.assign(day=np.where(np.arange(N) % 2, days(N), days(N, "%d/%m/%Y")))
    with pytest.raises(SourceError, match=r"--time 'day' must hold dates or numbers.*several formats"):
        suggest(mixed, "y", time="day")
    assert roles(suggest(mixed, "y"))["day"] == "ignored"


def test_the_key_of_something_with_several_rows_is_the_group(raw: pd.DataFrame, rng: np.random.Generator) -> None:
    customer = rng.integers(0, 60, N)
    found = suggest(raw.assign(customer_id=[f"C{i}" for i in customer]), "y")
    assert (found.split, roles(found)["customer_id"]) == ("group", "group")
    plain = suggest(raw.assign(shop_id=customer.astype(str), town=rng.choice(list("abc"), N)), "y")
    assert roles(plain)["shop_id"] == "input"
    fixed = suggest(raw.assign(shop_id=customer.astype(str), town=rng.choice(list("abc"), 60)[customer]), "y")
    assert roles(fixed)["shop_id"] == "group"


def test_what_the_user_says_stands(raw: pd.DataFrame, rng: np.random.Generator) -> None:
    given = raw.assign(a=rng.normal(size=N).astype(str), shop=rng.choice(list("abcdefghij"), N), day=days(N))
    found = suggest(given, "y", ignore=["a"], group="shop")
    assert roles(found) == {"y": "target", "x": "input", "a": "ignored", "shop": "group", "day": "input"}
    assert found.split == "group"


def test_rows_in_an_order_that_matters_are_warned_of(raw: pd.DataFrame) -> None:
    runs = np.repeat(np.arange(N // 10) % 2, 10)
    found = suggest(raw.assign(y=np.where(runs, "up", "down")), "y")
    assert any("neighbouring rows have like values of 'y'" in note for note in found.notes)
    assert not suggest(raw.sort_values("y", ignore_index=True), "y").notes


def test_a_mark_for_missing_among_numbers_is_asked_about(raw: pd.DataFrame, rng: np.random.Generator) -> None:
    found = suggest(raw.assign(age=np.where(rng.random(N) < 0.1, "-999", rng.integers(18, 90, N).astype(str))), "y")
    assert any(note.startswith("age: -999 stands in") for note in found.notes)


def test_private_columns_are_marked_and_none_of_their_values_is_written_down(raw: pd.DataFrame) -> None:
    found = suggest(raw.assign(email=[f"person{i}@example.org" for i in range(N)]), "y")
    assert loads(found.contract.encode()).columns["email"].private
    assert "@example.org" not in found.contract


def test_texts_alone_are_named_as_needing_features(raw: pd.DataFrame) -> None:
    found = suggest(raw.drop(columns="x").assign(message=[f"message number {i} is here" for i in range(N)]), "y")
    assert (found.texts, found.n_inputs) == (("message",), 0)


def test_a_table_of_nothing_but_identifiers_is_refused(raw: pd.DataFrame) -> None:
    with pytest.raises(FitError, match="no column is left to learn 'y' from; 'key': id"):
        suggest(raw.drop(columns="x").assign(key=[f"C-{i}" for i in range(N)]), "y")


def test_the_rules_suggested_are_of_the_severity_that_fits(raw: pd.DataFrame, rng: np.random.Generator) -> None:
    given = raw.assign(
        price=rng.gamma(2, 50, N).round(2),
        day=days(N),
        gaps=np.where(rng.random(N) < 0.1, "", "a"),
        key=[f"k{i}" for i in range(N)],
        town=rng.choice(["north", "south"], N),
    ).astype("str")
    contract = loads(suggest(given, "y").contract.encode())
    rules = {(rule.type.removeprefix("expect_"), rule.columns, rule.severity): rule.kwargs for rule in contract.rules}
    assert rules["table_row_count_to_be_between", (), "critical"]["min_value"] == N // 2
    assert rules["column_values_to_be_between", ("price",), "warning"]["min_value"] == 0
    assert rules["column_values_to_be_between", ("price",), "info"]["max_value"] > given["price"].astype(float).max()
    assert "max_value" not in rules["column_values_to_be_between", ("day",), "info"]
    assert rules["column_values_to_be_in_set", ("town",), "info"]["value_set"] == ["north", "south"]
    assert rules["column_values_to_be_in_set", ("y",), "critical"]["value_set"] == ["no", "yes"]
    assert ("column_values_to_be_unique", ("key",), "warning") in rules
    assert ("column_values_to_not_be_null", ("y",), "warning") in rules
    assert rules["column_proportion_of_non_null_values_to_be_between", ("gaps",), "warning"]["min_value"] < 0.85
    assert contract.columns["price"].required
    assert not contract.columns["gaps"].required


def passes(raw: pd.DataFrame, found: Suggestion) -> int:
    """Check a suggested contract on its own table and its examples at its own door; return the rows set aside."""
    contract = loads(found.contract.encode())
    verdict = validate(read(raw, contract), contract, Validate(max_quarantine=found.max_quarantine))
    assert verdict.breaches == ()
    broken = [rule for rule in verdict.result["rules"] if not rule["success"]]
    assert all(rule["columns"] == [contract.target] for rule in broken), broken
    row = {
        name: column.example
        for name, column in contract.columns.items()
        if column.role not in ("target", "ignored") and column.example is not None
    }
    checked = Door(contract).check(row)
    assert checked.faults == checked.warnings == ()
    return len(verdict.quarantine)


def test_rows_without_a_target_are_set_aside_and_nothing_else(raw: pd.DataFrame, rng: np.random.Generator) -> None:
    given = raw.assign(
        y=raw["y"].mask(rng.random(N) < 0.2, ""),
        age=rng.integers(18, 90, N).astype(str),
        flag=rng.choice(["True", "False", ""], N),
        day=rng.permutation(days(N, "%m/%d/%Y")),
        price=[f"{value:,.2f}" for value in rng.gamma(2, 2_000, N)],
    )
    assert passes(given, suggest(given, "y")) == (given["y"] == "").sum()


def test_a_typed_table_is_read_and_passes_as_well(rng: np.random.Generator) -> None:
    given = pd.DataFrame(
        {
            "flag": rng.random(N) < 0.5,
            "day": pd.date_range("2020", periods=N)[rng.permutation(N)],
            "grade": rng.integers(0, 5, N),
            "y": rng.random(N) < 0.3,
            "share": np.where(rng.random(N) < 0.1, np.nan, rng.normal(size=N)),
        }
    )
    found = suggest(given, "y")
    assert loads(found.contract.encode()).columns["y"].classes == ("False", "True")
    assert passes(given, found) == 0


def test_the_same_table_gives_the_same_contract_and_is_not_changed(raw: pd.DataFrame) -> None:
    before = raw.copy()
    assert suggest(raw, "y") == suggest(raw, "y")
    pd.testing.assert_frame_equal(raw, before)


REAL: list[tuple[str, str, str, str, dict[str, str]]] = [
    ("telco_churn/Telco-Customer-Churn.csv", "Churn", "binary", "random", {"customerID": "id"}),
    ("adult_uci/adult.data", "column_15", "binary", "random", {"column_4": "ignored"}),
    (
        "titanic/titanic.csv",
        "survived",
        "binary",
        "random",
        {"alive": "ignored", "class": "ignored", "embark_town": "ignored"},
    ),
    ("penguins/penguins.csv", "species", "multiclass", "random", {}),
    ("california_housing/housing.csv", "median_house_value", "regression", "random", {}),
    (
        "bike_sharing/hour.csv",
        "cnt",
        "regression",
        "time",
        {"instant": "id", "dteday": "time", "casual": "ignored", "registered": "ignored"},
    ),
    ("credit_default/UCI_Credit_Card.csv", "Y", "binary", "random", {"ID": "id"}),
    ("wine_quality/winequality-red.csv", "column_12", "regression", "random", {}),
    ("sms_spam/sms.tsv", "column_1", "binary", "random", {}),
    ("elec2/elec.csv", "class", "binary", "random", {}),
]


@pytest.mark.parametrize(("name", "target", "problem", "split", "others"), REAL)
def test_real_tables_are_decided_upon_as_a_person_would_and_pass_their_own_contract(
    table: Callable[[str], Path], name: str, target: str, problem: str, split: str, others: dict[str, str]
) -> None:
    raw = file.read(guess(table(name), str(table(name))).settings, Path("/"))
    found = suggest(raw, target)
    assert (found.problem, found.split) == (problem, split)
    assert {column: role for column, role in roles(found).items() if role not in ("input", "target")} == others
    assert passes(raw, found) == 0


def test_the_blanks_of_total_charges_are_missing_numbers(table: Callable[[str], Path]) -> None:
    path = table("telco_churn/Telco-Customer-Churn.csv")
    raw = file.read(file.Settings(path=str(path)), Path("/"))
    contract = loads(suggest(raw, "Churn").contract.encode())
    values = read(raw, contract).rows["TotalCharges"]
    assert contract.columns["TotalCharges"].kind == "number"
    assert values.isna().sum() == 11


def test_question_marks_of_adult_are_missing(table: Callable[[str], Path]) -> None:
    raw = file.read(file.Settings(path=str(table("adult_uci/adult.data")), header=False), Path("/"))
    contract = loads(suggest(raw, "column_15").contract.encode())
    assert contract.columns["column_2"].missing == ("", "?")
    assert read(raw, contract).rows["column_2"].isna().sum() == 1_836

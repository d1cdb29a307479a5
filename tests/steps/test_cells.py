from typing import Any

import pandas as pd
import pytest

from lockstep.steps.cells import look


def cells(*values: str) -> pd.Series:
    return pd.Series(values, dtype="str")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("1", "2.5", "", "-3e2"), {"kind": "number"}),
        ((" 1", "2 ", "?"), {"kind": "number", "missing": ("", "?")}),
        (("1", "N/A", "null", "-"), {"kind": "number", "missing": ("", "N/A", "null", "-")}),
        (("1,234", "2,345.5", "7"), {"kind": "number", "thousands": ","}),
        (("1.234,5", "2,25"), {"kind": "number", "thousands": ".", "decimal": ","}),
        (("1,5", "2,25"), {"kind": "number", "decimal": ","}),
        (("1 234", "12 345"), {"kind": "number", "thousands": " "}),
        (("02139", "10001"), {"kind": "category"}),
        (("True", "False", ""), {"kind": "boolean"}),
        (("yes", "no"), {"kind": "category"}),
        (("0", "1"), {"kind": "number"}),
        (("a", "NA", "b"), {"kind": "category", "missing": ("", "NA")}),
        (("AF", "AN", "NA", "EU"), {"kind": "category"}),
        (("", ""), {"kind": "category"}),
        (("1", "2", "3", "5+") * 5, {"kind": "category"}),
        (("2024-01-31", "2024-02-01T12:00:00"), {"kind": "date"}),
        (("1/13/2011", "2/1/2011"), {"kind": "date", "format": "%m/%d/%Y"}),
        (("13/1/2011", "2/1/2011"), {"kind": "date", "format": "%d/%m/%Y"}),
        (("1/1/2011", "2/1/2011", "3/1/2011"), {"kind": "date", "format": "%m/%d/%Y"}),
        (("1/1/2011", "1/2/2011", "1/3/2011"), {"kind": "date", "format": "%d/%m/%Y"}),
        (("1/13/2011 0:00", "2/1/2011 23:30"), {"kind": "date", "format": "%m/%d/%Y %H:%M"}),
        (("5 Jan 2020", "12 Feb 2021"), {"kind": "date", "format": "%d %b %Y"}),
        (("31.12.2020", "1.2.2021"), {"kind": "date", "format": "%d.%m.%Y"}),
        (("12:30", "13:45"), {"kind": "category"}),
        (("10.0.0.1", "192.168.0.1"), {"kind": "category"}),
        (("$1,200", "$3"), {"kind": "category"}),
    ],
)
def test_the_kind_of_cells_and_how_they_are_written_is_told(values: tuple[str, ...], expected: dict[str, Any]) -> None:
    assert look(cells(*values), "x").column.model_dump(exclude_defaults=True) == expected | {"kind": expected["kind"]}


def test_days_written_as_one_number_are_dates_where_the_name_says_so() -> None:
    assert look(cells("20200131", "20201231"), "order_date").column.format == "%Y%m%d"
    assert look(cells("20200131", "20201231"), "amount").kind == "number"


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (("1/13/2011", "2/1/2011"), "dates read as %m/%d/%Y, as '1/13/2011' says"),
        (("1/3/2011", "2/1/2011"), "but every one could be %d/%m/%Y too: check"),
        (("1,5", "2,5"), "decimals are marked by ','"),
        (("45%", "3%"), "would be numbers without their signs"),
    ],
)
def test_what_is_doubtful_is_said(values: tuple[str, ...], note: str) -> None:
    assert any(note in said for said in look(cells(*values), "x").notes)


@pytest.mark.parametrize("other", ["13/01/2020", "Jan 5, 2020"])
def test_two_date_formats_mixed_are_said_and_never_guessed_through(other: str) -> None:
    found = look(cells(*["2020-01-25", other] * 20), "day")
    assert found.mixed
    assert "dates in several formats (50%" in found.notes[0]


def test_a_few_strange_cells_among_numbers_are_taken_for_missing_and_many_go_to_quarantine() -> None:
    numbers = [str(i) for i in range(2_000)]
    few = look(cells(*numbers, "12abc"), "x")
    assert few.column.missing == ("", "12abc")
    assert "1 cells such as '12abc' are no number: taken for missing" in few.notes
    many = look(cells(*numbers, *[f"{i}abc" for i in range(15)]), "x")
    assert many.kind == "number"
    assert "their rows go to quarantine" in many.notes[0]
    assert look(cells(*numbers, *[f"{i}abc" for i in range(500)]), "x").kind in ("category", "text")


def test_texts_differ_from_categories_by_being_different_or_long() -> None:
    assert look(cells(*[f"message number {i}" for i in range(100)]), "x").kind == "text"
    assert look(cells(*["a long answer that many give " * 3] * 50, *["no"] * 50), "x").kind == "category"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, False], "boolean"),
        ([1, 2], "number"),
        (pd.to_datetime(["2024-01-01", None]), "date"),
        (pd.array([1, None], dtype="Int64"), "number"),
        ([True, None], "boolean"),
    ],
)
def test_typed_columns_keep_their_kind(values: Any, kind: str) -> None:
    assert look(pd.Series(values), "x").kind == kind

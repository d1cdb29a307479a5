from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lockstep.errors import SourceError
from lockstep.sources import file
from lockstep.sources._guess import Guess, guess, looks_like_header


def guessed(folder: Path, name: str, content: bytes, **given: Any) -> Guess:
    (folder / name).write_bytes(content)
    return guess(folder / name, name, **given)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("t.csv", b"a,b\n1,x\n2,y\n", {}),
        ("t.csv", b'a;b\n1,5;"x, y"\n2,5;z\n', {"separator": ";"}),
        ("t.txt", b"a|b\n1|x\n", {"separator": "|"}),
        ("t.dat", b"a b\n1 2\n", {"separator": " "}),
        ("t.csv", b"a\tb\n1\t2\n", {"separator": "\t"}),
        ("t.tsv", b"a\tb\n1\t2\n", {}),
        ("t.table", b"a,b\n1,2\n", {"format": "csv"}),
        ("t.table", b'{"a": 1}\n', {"format": "jsonl"}),
        ("t.csv", "a,b\né,1\n".encode("latin-1"), {"encoding": "cp1252"}),
        ("t.csv", "a,b\né,1\n".encode("utf-16"), {"encoding": "utf-16"}),
        ("t.csv", b'"a","b"\n"1","line\nbreak"\n"2","z"\n', {}),
        ("t.tsv", b'a\tb\n1\t"x\n2\ty" z\n3\tq\n', {"quoting": False}),
    ],
)
def test_a_file_is_read_as_it_is_cut(tmp_path: Path, name: str, content: bytes, expected: dict[str, Any]) -> None:
    found = guessed(tmp_path, name, content).settings
    assert found.model_dump(exclude_defaults=True, exclude={"path"}) == expected
    assert file.read(found, tmp_path).columns[0] == "a"


def test_a_quote_that_is_never_closed_stays_an_error_and_is_not_taken_for_a_character(tmp_path: Path) -> None:
    found = guessed(tmp_path, "t.csv", b"id,text\n" + b'1,"abc, d"\n' * 9 + b'2,"ab')
    with pytest.raises(SourceError, match="never closed"):
        file.read(found.settings, tmp_path)


def test_what_is_given_is_not_guessed(tmp_path: Path) -> None:
    found = guessed(tmp_path, "t.csv", b"a,b;c\n1,2;3\n", separator=";", header=False, names=("x", "y")).settings
    assert (found.separator, found.header, found.names) == (";", False, ("x", "y"))


def test_a_first_row_of_data_is_said_and_columns_are_numbered(tmp_path: Path) -> None:
    (note,) = guessed(tmp_path, "t.csv", b"5.1,3.5,setosa\n4.9,3.0,setosa\n").notes
    assert "the first row is data" in note
    assert "column_1 to column_3" in note


def test_cells_parted_by_runs_of_spaces_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="runs of spaces"):
        guessed(tmp_path, "t.data", b"1  2   3\n4   5  6\n")


@pytest.mark.parametrize(
    ("records", "header"),
    [
        ([["name", "age"], ["Ann", "31"], ["Bob", "4"]], True),
        ([["name", "town"], ["Ann", "Oslo"], ["Bob", "Rome"]], True),
        ([["Ann", "Oslo"], ["Bob", "Rome"], ["Ann", "Rome"]], False),
        ([["1", "2"], ["3", "4"]], False),
        ([["land", "2019", "2020"], ["1", "3", "5"], ["2", "4", "6"]], True),
        ([["?", "5", "x"], ["3", "6", "y"]], False),
        ([["", "a"], ["0", "5"], ["1", "6"]], True),
        ([["a", "b"]], True),
    ],
)
def test_a_header_is_told_from_data(records: list[list[str]], header: bool) -> None:
    assert looks_like_header(records) == header


@pytest.mark.parametrize(
    ("name", "expected", "n_rows"),
    [
        ("adult_uci/adult.data", {"header": False}, 32_561),
        ("adult_uci/adult.test", {"header": False}, 16_281),
        ("wine_quality/winequality-red.csv", {"header": False}, 1_599),
        ("sms_spam/sms.tsv", {"header": False, "quoting": False}, 5_574),
        ("telco_churn/Telco-Customer-Churn.csv", {}, 7_043),
        ("elec2/elec.csv", {}, 45_312),
        ("nyc_green_taxi/green_tripdata_2022-01.parquet", {}, 62_495),
    ],
)
def test_real_files_are_cut_as_their_publishers_meant(
    table: Callable[[str], Path], name: str, expected: dict[str, Any], n_rows: int
) -> None:
    found = guess(table(name), str(table(name))).settings
    assert found.model_dump(exclude_defaults=True, exclude={"path"}) == expected
    assert len(file.read(found, Path("/"))) == n_rows

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lockstep.errors import ParamsError, SourceError
from lockstep.params import parse
from lockstep.sources import file

ROWS = b"a,b,c\n1,,NA\n 2,x y,?\n"


def settings(path: str, **others: Any) -> file.Settings:
    return parse(file.Settings, {"kind": "file", "path": path, **others}, where="source")


def read(folder: Path, name: str, content: bytes, **others: Any) -> pd.DataFrame:
    (folder / name).write_bytes(content)
    return file.read(settings(name, **others), folder)


def test_every_cell_of_a_csv_stays_the_text_that_it_is(tmp_path: Path) -> None:
    rows = read(tmp_path, "t.csv", ROWS)
    assert rows.to_dict("list") == {"a": ["1", " 2"], "b": ["", "x y"], "c": ["NA", "?"]}
    assert list(rows.index) == [0, 1]
    assert all(str(dtype) == "str" for dtype in rows.dtypes)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b"\xef\xbb\xbf" + ROWS),
        ("t.csv", ROWS.replace(b"\n", b"\r\n")),
        ("t.csv", ROWS.rstrip(b"\n")),
        ("t.csv", ROWS.replace(b"\n", b"\n\n")),
        ("t.csv.gz", gzip.compress(ROWS, mtime=0)),
        ("t.csv", gzip.compress(ROWS, mtime=0)),
        ("t.tsv", ROWS.replace(b",", b"\t")),
        ("t.data", ROWS),
        ("t.test", ROWS),
        ("T.TXT", ROWS),
    ],
)
def test_marks_line_ends_blank_lines_gzip_and_endings_do_not_change_the_table(
    tmp_path: Path, name: str, content: bytes
) -> None:
    pd.testing.assert_frame_equal(read(tmp_path, name, content), read(tmp_path, "plain.csv", ROWS))


def test_a_quoted_cell_may_hold_separators_quotes_and_line_ends(tmp_path: Path) -> None:
    rows = read(tmp_path, "t.csv", b'a,b\n"x, ""y""","1\n2"\nz,3\n')
    assert rows["a"].tolist() == ['x, "y"', "z"]
    assert rows["b"].tolist() == ["1\n2", "3"]


def test_quotes_are_ordinary_characters_where_quoting_is_off(tmp_path: Path) -> None:
    rows = read(tmp_path, "t.tsv", b'a\tb\n1\t"x\n2\ty"\n', quoting=False)
    assert rows["b"].tolist() == ['"x', 'y"']


def test_without_a_header_columns_are_numbered_or_named_as_given(tmp_path: Path) -> None:
    assert list(read(tmp_path, "t.csv", b"1,2\n3,4\n", header=False)) == ["column_1", "column_2"]
    named = read(tmp_path, "t.csv", b"1,2\n3,4\n", header=False, names=["x", "y"])
    assert named.to_dict("list") == {"x": ["1", "3"], "y": ["2", "4"]}
    assert len(read(tmp_path, "t.csv", b"a,b\n3,4\n", names=["x", "y"])) == 1


def test_a_column_without_a_name_is_called_by_its_position(tmp_path: Path) -> None:
    assert list(read(tmp_path, "t.csv", b",a \n0,1\n")) == ["column_1", "a"]


def test_another_encoding_and_separator_are_read_as_stated(tmp_path: Path) -> None:
    rows = read(tmp_path, "t.csv", "café;b\nñ;1\n".encode("cp1252"), encoding="cp1252", separator=";")
    assert rows.to_dict("list") == {"café": ["ñ"], "b": ["1"]}
    assert read(tmp_path, "t.csv", "a,b\né,1\n".encode("utf-16"), encoding="utf-16")["a"].tolist() == ["é"]


def test_json_lines_keep_numbers_as_written_and_null_and_absent_as_missing(tmp_path: Path) -> None:
    rows = read(tmp_path, "t.jsonl", b'{"a": 1.50, "b": null, "c": true}\n\n{"b": "x", "a": -3e5, "d": ""}\n')
    assert rows["a"].tolist() == ["1.50", "-3e5"]
    assert rows["b"].isna().tolist() == [True, False]
    assert rows["c"].iloc[0] == "true"
    assert rows["c"].isna().tolist() == [False, True]
    assert rows["d"].iloc[1] == ""


def test_parquet_stays_typed_and_dictionaries_are_unpacked(tmp_path: Path) -> None:
    given = pd.DataFrame(
        {"a": [1, 2], "b": pd.Categorical(["x", None]), "c": pd.to_datetime(["2024-01-01", None])},
        index=pd.Index([7, 9], name="key"),
    )
    given.to_parquet(tmp_path / "t.parquet")
    rows = file.read(settings("t.parquet"), tmp_path)
    assert rows.dtypes.astype(str).to_dict() == {"a": "int64", "b": "str", "c": "datetime64[us]", "key": "int64"}
    assert list(rows.index) == [0, 1]


BROKEN: list[tuple[str, bytes, str]] = [
    ("t.csv", b"", "the file is empty"),
    ("t.csv", b"\n\n", "nothing but blank lines"),
    ("t.csv", b"a,b\n", "must hold rows"),
    ("t.csv", b"a,b", "must hold rows"),
    ("t.csv", b"a,b,c\n1,2,3\n\n4,5\n6,7,8\n", "line 4 must hold 3 cells like the first row; found 2"),
    ("t.csv", b'a,b\n1,"x\ny"\n3,4,5\n6,7\n', "line 4 must hold 2 cells like the first row; found 3"),
    ("t.csv", b"a,b,c\n1,2,3\n4,5\n", "line 3 .* was the file cut off"),
    ("t.csv", b'a,b\n1,"x\n2,3\n4,5\n', "double quote opened on line 2 is never closed"),
    ("t.csv", b'a,b\n1,"x"\n2,"y', "double quote opened on line 3 is never closed"),
    ("t.csv", b"a,b,a\n1,2,3\n", r"names must differ; \['a'\]"),
    ("t.csv", b"a,b\n1,caf\xe9\n", r"byte 9 \(0xe9\) is not. Set source.encoding: cp1252"),
    ("t.csv", b"a,b\n1,\x81\n", r"byte 6 \(0x81\) is not. Set source.encoding: latin-1"),
    ("t.csv", "a,b\n1,2\n".encode("utf-16"), "Set source.encoding: utf-16"),
    ("t.csv", bytes(range(256)), "it is a binary file"),
    ("t.csv", b"PAR1....", "it is a Parquet file; set source.format: parquet"),
    ("t.csv", b"PK\x03\x04....", "an Excel workbook; save the table as CSV"),
    ("t.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 99_999, mtime=0)[:-200], "must be a whole gzip file"),
    ("t.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:5], "must be a whole gzip file"),
    ("t.csv.gz", gzip.compress(b"", mtime=0), "empty once unpacked"),
    ("t.jsonl", b'{"a": 1}\n{"a": }\n', "line 2 must be one flat JSON object; Expecting value at character 7"),
    ("t.jsonl", b'{"a": 1}\n{"a": {"b": 1}}\n', "line 2 .* 'a' holds an object"),
    ("t.jsonl", b'{"a": 1, "a": 2}\n', "'a' stands in it twice"),
    ("t.jsonl", b'[{"a": 1}]\n', "line 1 must be one flat JSON object"),
    ("t.jsonl", b'{"a": 1}\n{"a": "\xe9"}\n', "byte 16"),
    ("t.parquet", b"PAR1 cut off", "must be a whole Parquet file"),
    ("t.xyz", b"a,b\n1,2\n", "the ending '.xyz' tells no format"),
]


@pytest.mark.parametrize(("name", "content", "message"), BROKEN)
def test_a_broken_file_is_refused_in_one_line_that_says_where(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        read(tmp_path, name, content)
    assert "\n" not in str(caught.value)
    assert f"source {name!r}" in str(caught.value)


def test_a_truncated_parquet_file_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"a": range(10_000)}).to_parquet(tmp_path / "t.parquet")
    content = (tmp_path / "t.parquet").read_bytes()
    with pytest.raises(SourceError, match="must be a whole Parquet file"):
        read(tmp_path, "t.parquet", content[:-500])


def test_a_parquet_file_without_rows_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1]}).iloc[:0].to_parquet(tmp_path / "t.parquet")
    with pytest.raises(SourceError, match="must hold rows"):
        file.read(settings("t.parquet"), tmp_path)


def test_the_byte_named_is_right_beyond_the_first_piece_of_a_large_file(tmp_path: Path) -> None:
    content = b"a,b\n" + "é,1\n".encode() * 400_000 + b"\xff,1\n"
    with pytest.raises(SourceError, match=rf"byte {content.index(0xFF)} \(0xff\)"):
        read(tmp_path, "t.csv", content)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"source 'no\.csv' must be a file; it is not there"):
        file.read(settings("no.csv"), tmp_path)
    with pytest.raises(SourceError, match="it is a folder"):
        file.read(settings(".", format="csv"), tmp_path)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"encoding": "utf9"}, "source.encoding must be one that Python knows"),
        ({"encoding": "base64"}, "source.encoding must be one that Python knows"),
        ({"names": ["x", "x"]}, r"must name each column once; found \['x'\]"),
        ({"separator": ";;"}, "source.separator must"),
        ({"seperator": ";"}, "Did you mean 'separator'"),
        ({"format": "xml"}, "no source.format 'xml'"),
    ],
)
def test_impossible_settings_are_refused_by_name(others: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        settings("t.csv", **others)


def test_names_that_do_not_fit_the_first_row_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"the first row has 2 cells, source\.names has 1"):
        read(tmp_path, "t.csv", b"1,2\n", header=False, names=["x"])


def test_the_lock_changes_with_the_bytes_and_with_how_they_are_cut_and_is_plain_json(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(ROWS)
    first = file.lock(settings("t.csv", names=["x", "y", "z"]), tmp_path)
    assert json.loads(json.dumps(first)) == first
    assert first["path"] == "t.csv"
    assert first["bytes"] == len(ROWS)
    assert file.lock(settings("t.csv"), tmp_path) != first
    (tmp_path / "t.csv").write_bytes(ROWS + b"3,4,5\n")
    assert file.lock(settings("t.csv", names=["x", "y", "z"]), tmp_path)["sha256"] != first["sha256"]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.jsonl", "t.parquet"])
def test_pieces_put_together_are_the_whole_table(tmp_path: Path, name: str) -> None:
    given = pd.DataFrame({"a": [str(i) for i in range(1000)], "b": ["x", "y"] * 500})
    match name:
        case "t.jsonl":
            given.to_json(tmp_path / name, orient="records", lines=True)
        case "t.parquet":
            given.to_parquet(tmp_path / name)
        case _:
            given.to_csv(tmp_path / name, index=False)
    pieces = list(file.read_chunks(settings(name), tmp_path, 300))
    assert max(map(len, pieces)) <= 300
    pd.testing.assert_frame_equal(pd.concat(pieces), file.read(settings(name), tmp_path), check_index_type=False)


def test_a_fault_far_down_stops_the_pieces_too(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,b\n" + b"1,2\n" * 5000 + b"3\n")
    with pytest.raises(SourceError, match="line 5002"):
        list(file.read_chunks(settings("t.csv"), tmp_path, 100))

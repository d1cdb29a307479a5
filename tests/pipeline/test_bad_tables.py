"""A table that cannot be read, or breaks the contract, stops the line with one line; nothing is made of it."""

import gzip
import importlib
import json
from pathlib import Path

import pytest
from spoil import Edit, both, cell, content, parquet, refuse, run, settings, table

from lockstep import params
from lockstep.errors import LockstepError

SOURCES: dict[str, tuple[Edit, str]] = {
    "a missing file": (lambda root: (root / "table.csv").unlink(), r"'table.csv' must be a file; it is not there"),
    "a folder": (settings({"source": {"path": "src"}}), r"'src' must be a file; it is a folder"),
    "an empty file": (content(lambda b: b""), r"'table.csv' must hold a table; the file is empty"),
    "a file of blank lines": (content(lambda b: b"\n\n\n"), r"nothing but blank lines"),
    "a header alone": (content(lambda b: b.split(b"\n")[0] + b"\n"), r"'table.csv' must hold rows; there is none"),
    "a truncated CSV": (content(lambda b: b[:-60]), r"line 401 must hold 16 cells .* was the file cut off\?"),
    "a truncated gzip": (
        content(lambda b: gzip.compress(b)[:-200], "table.csv.gz"),
        r"must be a whole gzip file.*Fetch it again",
    ),
    "a truncated Parquet file": (parquet(lambda b: b[:-500]), r"must be a whole Parquet file; .*Was it cut off"),
    "a binary file": (content(lambda b: bytes(range(256)) * 9), r"'table.csv' must be text; it is a binary file"),
    "an Excel workbook": (
        content(lambda b: b"PK\x03\x04" + b),
        r"zip archive or an Excel workbook; save the table as CSV",
    ),
    "doubled names": (content(lambda b: b.replace(b"plan", b"region", 1)), r"column names must differ; \['region'\]"),
    "another encoding": (
        content(lambda b: b.replace(b"north", "nörd".encode("cp1252"))),
        r"must be utf-8; byte \d+ \(0xf6\) is not. Set source.encoding: cp1252",
    ),
    "an ending that says nothing": (content(bytes, "table.xyz"), r"ending '.xyz' tells no format; set source.format"),
    "a number of cells that changes": (
        content(lambda b: b + b"1,2,3\n1,2,3\n"),
        r"line 402 must hold 16 cells .* found 3",
    ),
    "a misspelt setting": (
        settings({"source": {"seperator": ";"}}),
        r"unknown key 'source.seperator'; .* Did you mean 'separator'\?",
    ),
    "another type of setting": (settings({"source": {"header": "yes please"}}), r"source.header must be .*yes please"),
    "an encoding that nobody knows": (settings({"source": {"encoding": "utf-9"}}), r"source.encoding must be one that"),
    "a setting of another source": (
        settings({"source": {"kind": "simulate", "rows": 300}}),
        r"unknown key 'source.path'",
    ),
}


@pytest.mark.parametrize("case", SOURCES)
def test_a_table_that_cannot_be_read_stops_ingest(case: str, root: Path) -> None:
    edit, said = SOURCES[case]
    edit(root)

    refuse(root, ["ingest"], said)

    assert not (root / "data" / "raw.parquet").exists()


def test_a_table_that_changed_behind_the_lock_stops_ingest(root: Path) -> None:
    run(root)
    cell("usage_gb", "1.5")(root)

    with pytest.raises(
        LockstepError, match=r"the source must be the locked one; bytes was .*; sha256 was .*`lockstep refresh`"
    ):
        importlib.import_module("lockstep.stages.ingest").run(root, params.load(root))


BREACHES: dict[str, tuple[Edit, str]] = {
    "a renamed column": (
        table(lambda rows: rows.rename(columns={"plan": "Plan"})),
        r"column 'plan' is missing .*Was it renamed\? The table has \['Plan'\].*expectations/rows.json",
    ),
    "a dropped column": (table(lambda rows: rows.drop(columns="plan")), r"column 'plan' is missing from the table"),
    "a dropped target": (
        table(lambda rows: rows.drop(columns="churned")),
        r"column 'churned' is missing from the table",
    ),
    "an added column": (
        table(lambda rows: rows.assign(discount="1")),
        r"column 'discount' is not in the contract; .*role 'ignored'",
    ),
    "thousands in a number": (
        cell("usage_gb", "1,234"),
        r"column 'usage_gb' must be_a_number; 1 of 400 rows do not \(row 3: '1,234'\)",
    ),
    "text in a number": (cell("usage_gb", "much"), r"column 'usage_gb' must be_a_number; .*'much'"),
    "a blank in a required number": (cell("monthly_charge", " "), r"column 'monthly_charge' must not_be_null.*row 3"),
    "infinity in a text file": (cell("usage_gb", "inf"), r"column 'usage_gb' must be_a_number; .*'inf'"),
    "infinity in Parquet": (
        parquet(edit_rows=lambda rows: rows.__setitem__("usage_gb", float("inf"))),
        r"column 'usage_gb' must be_a_number; 400 of 400 rows",
    ),
    "an empty required column": (cell("plan", "", slice(None)), r"column 'plan' must"),
    "an empty optional column": (cell("satisfaction", "", slice(None)), r"column 'satisfaction' must have_a_value"),
    "two date formats": (
        cell("snapshot_month", "01/02/2024", slice(0, 50)),
        r"column 'snapshot_month' must be_a_date; 50 of 400 rows do not \(row 0: '01/02/2024'",
    ),
    "a category beyond a critical set": (cell("plan", "gold"), r"column 'plan' must be_in_set.*row 3: 'gold'"),
    "a missing target": (cell("churned", ""), r"column 'churned' must not_be_null"),
    "too much quarantine": (
        cell("contract", "lifetime", slice(0, 50)),
        r"quarantine may take at most 0.02 .*validate.max_quarantine.*50 of 400.*column 'contract'",
    ),
    "too many warnings": (
        both(settings({"validate": {"max_warnings": 0}}), cell("satisfaction", "", slice(1, None))),
        r"at most 0 table rules .*validate.max_warnings.*satisfaction",
    ),
    "too few rows": (table(lambda rows: rows.head(50)), r"the table must table_row_count_to_be_between.*observed 50"),
}


@pytest.mark.parametrize("case", BREACHES)
def test_a_table_that_breaks_the_contract_stops_validate(case: str, root: Path) -> None:
    edit, said = BREACHES[case]
    edit(root)

    refuse(root, ["ingest", "validate"], said)

    assert not (root / "data" / "valid.parquet").exists()


def test_a_breach_can_be_looked_at(root: Path) -> None:
    cell("usage_gb", "1,234")(root)
    refuse(root, ["ingest", "validate"], "be_a_number")

    result = json.loads((root / "reports" / "validation.json").read_text("utf-8"))
    page = (root / "reports" / "validation.html").read_text("utf-8")

    assert [r["columns"] for r in result["rules"] if not r["success"]] == [["usage_gb"]]
    assert "1,234" in page


def test_columns_in_another_order_change_no_bit_after_validate(root: Path) -> None:
    names = ["data/valid.parquet", "data/quarantine.parquet", "reports/validation.json"]
    run(root, "ingest", "validate")
    before = [(root / name).read_bytes() for name in names]

    table(lambda rows: rows[rows.columns[::-1]])(root)
    run(root, "ingest", "validate")

    assert [(root / name).read_bytes() for name in names] == before

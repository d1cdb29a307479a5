"""Gate the table by the contract."""

from pathlib import Path

from lockstep import contract as contracts
from lockstep.contract import read
from lockstep.params import Params
from lockstep.report.validation import validation_page
from lockstep.stages.files import read_table, write_json, write_table, write_text
from lockstep.steps.validate import raise_on, validate


def run(root: Path, params: Params) -> None:
    """``data/raw.parquet``, the contract -> ``data/valid.parquet``, ``data/quarantine.parquet``, the two reports.

    The reports are written before a breach is raised, so that it can be looked at.
    """
    contract = contracts.load(root)
    table = read.read(read_table(root / "data" / "raw.parquet"), contract)
    found = validate(table, contract, params.validate_)
    write_json(found.result, root / "reports" / "validation.json")
    write_text(validation_page(found.result, found.breaches), root / "reports" / "validation.html")
    raise_on(found.breaches)
    write_table(found.valid, root / "data" / "valid.parquet")
    write_table(found.quarantine, root / "data" / "quarantine.parquet")
    aside = len(found.quarantine)
    print(f"{len(found.valid)} rows keep the contract, {aside} went to quarantine")
    for entry in found.result["quarantine"][:5]:
        print(f"  {entry['column']}: {entry['rule']}: {entry['n_rows']} rows; {entry['n_only']} come back without it")

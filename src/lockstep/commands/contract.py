"""Check a contract, alone or against a table, and suggest one."""

from pathlib import Path

from lockstep import contract as contracts
from lockstep import params, plugins
from lockstep.answers import without_row_numbers
from lockstep.contract import read
from lockstep.contract.rules import row_checks
from lockstep.params import parse
from lockstep.sources import file
from lockstep.steps.validate import raise_on, validate


def check(root: Path, table: Path | None) -> str:
    """Check the contract's file; with a table, check every rule on its rows and say what they found.

    Raises
    ------
    LockstepError
        The contract is broken, or the table breaks it.
    """
    contract = contracts.load(root)
    row_checks(contract, set(contract.columns))
    summary = (
        f"{contracts.FILE}: {len(contract.columns)} columns, {len(contract.row_rules)} rules on rows, "
        f"{len(contract.table_rules)} on the table; it is consistent."
    )
    if table is None:
        return summary
    values = params.load(root)
    cut = values.source if values.source["kind"] == "file" else {"kind": "file"}
    settings = parse(file.Settings, {**cut, "path": str(table)}, where="source")
    raw = without_row_numbers(file.read(settings, Path.cwd()), contract)
    found = validate(read.read(raw, contract), contract, values.validate_)
    lines = [
        f"{rule['severity']:9} {', '.join(rule['columns']) or '(table)'}: {rule['rule']}: "
        f"{rule['n_unexpected']} of {len(raw)}"
        for rule in found.result["rules"]
        if not rule["success"]
    ]
    print("\n".join(lines or ["every rule holds"]))
    raise_on(found.breaches)
    return f"{len(found.valid)} rows keep the contract, {len(found.quarantine)} would go to quarantine."


def suggest(root: Path) -> str:
    """Return the contract that the source's table suggests, as JSON; the target is today's."""
    from lockstep.steps import suggest as steps

    values = params.load(root)
    source = plugins.load("sources", values.source["kind"])
    raw = source.read(parse(source.Settings, values.source, where="source"), root)
    return steps.suggest(raw, contracts.load(root).target, problem=values.problem).contract

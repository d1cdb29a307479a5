"""Validate a table against the contract by Great Expectations, and set bad rows aside."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lockstep.contract import FILE, Column, Contract, Rule
from lockstep.contract.read import Table
from lockstep.contract.rules import row_checks
from lockstep.errors import Breach
from lockstep.params import Validate
from lockstep.steps.expect import expect
from lockstep.steps.profile import plain, profile, shown

Positions = np.ndarray[Any, np.dtype[np.int64]]

N_EXAMPLES = 5
REASONS = "__rules__"
PRIVATE = "(private)"
"""Shown for a value of a column that the contract calls private."""


@dataclass(frozen=True)
class Finding:
    """What one rule found."""

    rule: str
    type: str
    columns: tuple[str, ...]
    severity: str
    scope: str
    success: bool
    n_unexpected: int
    share: float
    positions: np.ndarray[Any, np.dtype[np.int64]]
    examples: list[dict[str, Any]]
    observed: Any = None


@dataclass(frozen=True)
class Validation:
    """A table divided by its contract."""

    valid: pd.DataFrame
    quarantine: pd.DataFrame
    """The rows set aside, with a column ``__rules__`` that names why."""
    result: dict[str, Any]
    """The stable content of ``reports/validation.json``."""
    breaches: tuple[str, ...]
    """Sentences on what stops the line; empty if nothing does."""


def validate(table: Table, contract: Contract, settings: Validate) -> Validation:
    """Check every rule, divide the rows, and say what stops the line; raises nothing on bad data.

    Raises
    ------
    ContractError
        A rule cannot be evaluated at all.
    """
    rows = table.rows
    findings = _unreadable(table, contract) + _empty_columns(rows, contract) + _row_findings(table, contract)
    aside = np.zeros(len(rows), dtype=bool)
    for finding in findings:
        if finding.severity == "warning":
            aside[finding.positions] = True
    valid = rows[~aside]
    if len(valid):
        findings += _table_findings(valid, contract)
    quarantine = rows[aside].assign(**{REASONS: _reasons(findings, aside)})
    return Validation(
        valid, quarantine, _result(rows, contract, findings, aside), tuple(_breaches(rows, findings, aside, settings))
    )


def raise_on(breaches: Sequence[str]) -> None:
    """Stop the line if there are breaches.

    Raises
    ------
    Breach
        With the first of them, and how many more there are.
    """
    if breaches:
        more = f" (and {len(breaches) - 1} more)" if len(breaches) > 1 else ""
        raise Breach(f"{breaches[0]}{more} See reports/validation.html and {FILE}.")


def _unreadable(table: Table, contract: Contract) -> list[Finding]:
    found = []
    for name, cells in table.unreadable.items():
        column = contract.columns[name]
        name_of_rule = f"be_a_{column.kind}" + (f"(format={column.format!r})" if column.format else "")
        rule = Rule("readable", {}, column.unreadable, (name,))
        positions = table.rows.index.get_indexer(cells.index)
        found.append(_finding(name_of_rule, rule, "read", positions, cells, len(table.rows), column))
    return found


def _empty_columns(rows: pd.DataFrame, contract: Contract) -> list[Finding]:
    empty = [name for name in rows if contract.columns[name].is_input and len(rows) and rows[name].isna().all()]
    rules = [Rule("not_all_null", {}, "critical", (name,)) for name in empty]
    return [_table_finding("have_a_value", rule, len(rows), success=False, n_unexpected=len(rows)) for rule in rules]


def _row_findings(table: Table, contract: Contract) -> list[Finding]:
    """Judge rows by the rules; a cell that could not be read is told once, not again as a missing value."""
    rows = table.rows
    rules = [rule for rule, _ in row_checks(contract, set(rows.columns))]  # compiled, so a broken one is named
    unread = {name: rows.index.get_indexer(cells.index) for name, cells in table.unreadable.items()}
    found = []
    for rule, outcome in zip(rules, expect(rows, rules, contract), strict=True):
        positions = np.asarray(sorted(outcome["result"].get("unexpected_index_list") or []), dtype=np.int64)
        for name in rule.columns:
            positions = np.setdiff1d(positions, unread.get(name, []))
        first = rule.columns[0]
        cells = rows[first].iloc[positions]
        found.append(_finding(rule.name, rule, "row", positions, cells, len(rows), contract.columns[first]))
    return found


def _table_findings(rows: pd.DataFrame, contract: Contract) -> list[Finding]:
    found = []
    for rule, outcome in zip(contract.table_rules, expect(rows, contract.table_rules, contract), strict=True):
        result, success = outcome["result"], bool(outcome["success"])
        private = any(contract.columns[name].private for name in rule.columns)
        observed = PRIVATE if private else plain(result.get("observed_value"))
        n_unexpected = int(result.get("unexpected_count") or 0)
        found.append(
            _table_finding(rule.name, rule, len(rows), success=success, n_unexpected=n_unexpected, observed=observed)
        )
    return found


def _finding(
    name: str, rule: Rule, scope: str, positions: Positions, cells: pd.Series, n_rows: int, column: Column
) -> Finding:
    """Return what a rule on rows found; ``cells`` are those at ``positions``."""
    examples = [
        {"row": int(row), "value": PRIVATE if column.private else shown(cell)}
        for row, cell in cells.iloc[:N_EXAMPLES].items()
    ]
    n_bad = len(positions)
    return Finding(
        name,
        rule.type,
        rule.columns,
        rule.severity,
        scope,
        n_bad == 0,
        n_bad,
        n_bad / n_rows if n_rows else 0.0,
        positions,
        examples,
    )


def _table_finding(
    name: str, rule: Rule, n_rows: int, *, success: bool, n_unexpected: int, observed: Any = None
) -> Finding:
    nowhere = np.empty(0, dtype=np.int64)
    share = n_unexpected / n_rows
    return Finding(
        name, rule.type, rule.columns, rule.severity, "table", success, n_unexpected, share, nowhere, [], observed
    )


def _reasons(findings: Sequence[Finding], aside: np.ndarray[Any, np.dtype[np.bool_]]) -> list[str]:
    reasons: list[list[str]] = [[] for _ in range(len(aside))]
    for finding in findings:
        if finding.severity == "warning":
            for position in finding.positions:
                reasons[position].append(f"{finding.columns[0]}: {finding.rule}")
    return ["; ".join(reasons[position]) for position in np.flatnonzero(aside)]


def _breaches(
    rows: pd.DataFrame, findings: Sequence[Finding], aside: np.ndarray[Any, np.dtype[np.bool_]], settings: Validate
) -> list[str]:
    if not len(rows):
        return ["the table is empty; a contract is not met by no rows."]
    said = [
        _sentence(finding, len(rows)) for finding in findings if finding.severity == "critical" and not finding.success
    ]
    if aside.all():
        said.append(f"no row of {len(rows)} is left: every one would go to quarantine.")
    elif aside.mean() > settings.max_quarantine:
        worst = max((f for f in findings if f.severity == "warning"), key=lambda finding: finding.n_unexpected)
        said.append(
            f"quarantine may take at most {settings.max_quarantine:.4g} of the rows "
            f"(validate.max_quarantine); it would take {aside.sum()} of {len(rows)}. Most by "
            f"{_sentence(worst, len(rows))}"
        )
    warned = [
        finding
        for finding in findings
        if finding.scope == "table" and finding.severity == "warning" and not finding.success
    ]
    if len(warned) > settings.max_warnings:
        said.append(
            f"at most {settings.max_warnings} table rules of severity warning may fail "
            f"(validate.max_warnings); {len(warned)} do, the first: {_sentence(warned[0], len(rows))}"
        )
    return said


def _sentence(finding: Finding, n_rows: int) -> str:
    where = f"column {finding.columns[0]!r}" if len(finding.columns) == 1 else f"columns {list(finding.columns)}"
    where = where if finding.columns else "the table"
    if finding.scope == "table":
        observed = f"; observed {finding.observed}" if finding.observed is not None else ""
        return f"{where} must {finding.rule}{observed}."
    shown = ", ".join(f"row {example['row']}: {example['value']!r}" for example in finding.examples[:3])
    return f"{where} must {finding.rule}; {finding.n_unexpected} of {n_rows} rows do not ({shown})."


def _result(
    rows: pd.DataFrame, contract: Contract, findings: Sequence[Finding], aside: np.ndarray[Any, np.dtype[np.bool_]]
) -> dict[str, Any]:
    return {
        "n_rows": len(rows),
        "n_valid": int((~aside).sum()),
        "n_quarantined": int(aside.sum()),
        "contract": contract.digest,
        "success": all(finding.success for finding in findings if finding.severity == "critical"),
        "rules": [
            {
                "rule": f.rule,
                "type": f.type,
                "columns": list(f.columns),
                "severity": f.severity,
                "scope": f.scope,
                "success": f.success,
                "n_unexpected": f.n_unexpected,
                "share": f.share,
                "examples": f.examples,
                "observed": f.observed,
            }
            for f in findings
        ],
        "quarantine": _quarantine_summary(findings, len(rows)),
        "columns": {name: profile(rows[name], contract.columns[name]) for name in rows.columns},
    }


def _quarantine_summary(findings: Sequence[Finding], n_rows: int) -> list[dict[str, Any]]:
    """Say for each rule how many rows it sets aside, and how many would come back without it."""
    causes = [finding for finding in findings if finding.severity == "warning" and len(finding.positions)]
    hits = np.zeros(n_rows, dtype=np.int64)
    for finding in causes:
        hits[finding.positions] += 1
    return sorted(
        (
            {
                "rule": f.rule,
                "column": f.columns[0],
                "n_rows": f.n_unexpected,
                "n_only": int((hits[f.positions] == 1).sum()),
            }
            for f in causes
        ),
        key=lambda entry: (-entry["n_only"], entry["column"], entry["rule"]),
    )

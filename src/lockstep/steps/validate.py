"""Validate a table against the contract by Great Expectations, and set bad rows aside."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lockstep.contract import FILE, Column, Contract, Rule
from lockstep.contract.read import Table
from lockstep.contract.rules import bound
from lockstep.errors import Breach, ContractError
from lockstep.params import Validate

N_EXAMPLES = 5
N_TOP = 10
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
    findings = _unreadable(table, contract) + _empty_columns(rows, contract) + _row_findings(rows, contract)
    aside = np.zeros(len(rows), dtype=bool)
    for finding in findings:
        if finding.severity == "warning":
            aside[finding.positions] = True
    valid = rows[~aside]
    if len(valid):
        findings += _table_findings(valid, contract)
    quarantine = rows[aside].assign(**{REASONS: _reasons(findings, aside)})
    return Validation(valid, quarantine, _result(rows, contract, findings, aside),
                      tuple(_breaches(rows, findings, aside, settings)))


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
        positions = table.rows.index.get_indexer(cells.index)
        found.append(_finding(f"be_a_{column.kind}{_as_read(column)}", "readable", (name,), column.unreadable, "read",
                              table.rows, positions, cells, column.private))
    return found


def _as_read(column: Column) -> str:
    return f"(format={column.format!r})" if column.format else ""


def _empty_columns(rows: pd.DataFrame, contract: Contract) -> list[Finding]:
    empty = [name for name in rows.columns if contract.columns[name].is_input and len(rows) and rows[name].isna().all()]
    return [Finding("have_a_value", "not_all_null", (name,), "critical", "table", False, len(rows), 1.0,
                    np.empty(0, dtype=np.int64), []) for name in empty]


def _row_findings(rows: pd.DataFrame, contract: Contract) -> list[Finding]:
    rules = [rule for rule in contract.row_rules if set(rule.columns) <= set(rows.columns)]
    found = []
    for rule, outcome in zip(rules, _expect(rows, rules, contract), strict=True):
        positions = np.asarray(sorted(outcome["result"].get("unexpected_index_list") or []), dtype=np.int64)
        found.append(_finding(rule.name, rule.type, rule.columns, rule.severity, "row", rows, positions,
                              rows[rule.columns[0]], contract.columns[rule.columns[0]].private))
    return found


def _table_findings(rows: pd.DataFrame, contract: Contract) -> list[Finding]:
    found = []
    for rule, outcome in zip(contract.table_rules, _expect(rows, contract.table_rules, contract), strict=True):
        result, success = outcome["result"], bool(outcome["success"])
        n_unexpected = int(result.get("unexpected_count") or 0)
        found.append(Finding(rule.name, rule.type, rule.columns, rule.severity, "table", success, n_unexpected,
                             n_unexpected / len(rows), np.empty(0, dtype=np.int64), [],
                             _plain(result.get("observed_value"))))
    return found


def _finding(name: str, kind: str, columns: tuple[str, ...], severity: str, scope: str, rows: pd.DataFrame,
             positions: np.ndarray[Any, np.dtype[np.int64]], cells: pd.Series, private: bool) -> Finding:
    first = rows.index[positions[:N_EXAMPLES]]
    examples = [{"row": int(row), "value": PRIVATE if private else _shown(cells.loc[row])} for row in first]
    share = len(positions) / len(rows) if len(rows) else 0.0
    return Finding(name, kind, columns, severity, scope, len(positions) == 0, len(positions), share, positions, examples)


def _expect(rows: pd.DataFrame, rules: Sequence[Rule], contract: Contract) -> list[dict[str, Any]]:
    """Run ``rules`` by Great Expectations; one outcome a rule, in order."""
    if not rules:
        return []
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.exceptions import GreatExpectationsError

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("rows").get_batch({"dataframe": rows.reset_index(drop=True)})
    entries = [{"type": rule.type, "kwargs": _bounds(rule, contract), "meta": {"number": number}}
               for number, rule in enumerate(rules)]
    try:
        suite = gx.ExpectationSuite(name="rows", expectations=entries)
    except (GreatExpectationsError, ValueError, TypeError) as error:
        raise ContractError(f"{FILE} holds a rule that cannot be built: {' '.join(str(error).split())[:300]}") from error
    outcomes: list[dict[str, Any]] = [{}] * len(rules)
    for outcome in batch.validate(suite, result_format="COMPLETE").results:
        number = outcome.expectation_config.meta["number"]
        _refuse_exception(outcome.exception_info, rules[number])
        outcomes[number] = {"success": outcome.success, "result": outcome.result}
    return outcomes


def _bounds(rule: Rule, contract: Contract) -> dict[str, Any]:
    if rule.type not in {f"expect_column_values_to_{name}" for name in ("be_between", "be_in_set", "not_be_in_set")}:
        return rule.kwargs
    column, typed = contract.columns[rule.columns[0]], dict(rule.kwargs)
    typed |= {key: bound(typed[key], column) for key in ("min_value", "max_value") if key in typed}
    if "value_set" in typed:  # pandas does not find dates among strings beyond the range of nanoseconds
        typed["value_set"] = [bound(value, column) for value in typed["value_set"]]
    return typed


def _refuse_exception(info: Any, rule: Rule) -> None:
    faults = [info] if "raised_exception" in info else list(info.values())
    for fault in faults:
        if fault["raised_exception"]:
            raise ContractError(f"{FILE}: rule {rule.name} on {list(rule.columns)} cannot be evaluated: "
                                f"{' '.join(str(fault['exception_message']).split())[:200]}")


def _reasons(findings: Sequence[Finding], aside: np.ndarray[Any, np.dtype[np.bool_]]) -> list[str]:
    reasons: list[list[str]] = [[] for _ in range(len(aside))]
    for finding in findings:
        if finding.severity == "warning":
            for position in finding.positions:
                reasons[position].append(f"{finding.columns[0]}: {finding.rule}")
    return ["; ".join(reasons[position]) for position in np.flatnonzero(aside)]


def _breaches(rows: pd.DataFrame, findings: Sequence[Finding], aside: np.ndarray[Any, np.dtype[np.bool_]],
              settings: Validate) -> list[str]:
    if not len(rows):
        return ["the table is empty; a contract is not met by no rows."]
    said = [_sentence(finding, len(rows)) for finding in findings
            if finding.severity == "critical" and not finding.success]
    if aside.mean() > settings.max_quarantine:
        worst = max((f for f in findings if f.severity == "warning"), key=lambda finding: finding.n_unexpected)
        said.append(f"quarantine may take at most {settings.max_quarantine:.4g} of the rows "
                    f"(validate.max_quarantine); it would take {aside.sum()} of {len(rows)}. Most by "
                    f"{_sentence(worst, len(rows))}")
    warned = [finding for finding in findings if finding.scope == "table" and finding.severity == "warning"
              and not finding.success]
    if len(warned) > settings.max_warnings:
        said.append(f"at most {settings.max_warnings} table rules of severity warning may fail "
                    f"(validate.max_warnings); {len(warned)} do, the first: {_sentence(warned[0], len(rows))}")
    return said


def _sentence(finding: Finding, n_rows: int) -> str:
    where = f"column {finding.columns[0]!r}" if len(finding.columns) == 1 else f"columns {list(finding.columns)}"
    where = where if finding.columns else "the table"
    if finding.scope == "table":
        observed = f"; observed {finding.observed}" if finding.observed is not None else ""
        return f"{where} must {finding.rule}{observed}."
    shown = ", ".join(f"row {example['row']}: {example['value']!r}" for example in finding.examples[:3])
    return f"{where} must {finding.rule}; {finding.n_unexpected} of {n_rows} rows do not ({shown})."


def _result(rows: pd.DataFrame, contract: Contract, findings: Sequence[Finding],
            aside: np.ndarray[Any, np.dtype[np.bool_]]) -> dict[str, Any]:
    return {
        "n_rows": len(rows), "n_valid": int((~aside).sum()), "n_quarantined": int(aside.sum()),
        "contract": contract.digest,
        "success": all(finding.success for finding in findings if finding.severity == "critical"),
        "rules": [{"rule": f.rule, "type": f.type, "columns": list(f.columns), "severity": f.severity,
                   "scope": f.scope, "success": f.success, "n_unexpected": f.n_unexpected, "share": f.share,
                   "examples": f.examples, "observed": f.observed} for f in findings],
        "quarantine": _quarantine_summary(findings, len(rows)),
        "columns": {name: _profile(rows[name], contract.columns[name]) for name in rows.columns},
    }


def _quarantine_summary(findings: Sequence[Finding], n_rows: int) -> list[dict[str, Any]]:
    """Say for each rule how many rows it sets aside, and how many would come back without it."""
    causes = [finding for finding in findings if finding.severity == "warning" and len(finding.positions)]
    hits = np.zeros(n_rows, dtype=np.int64)
    for finding in causes:
        hits[finding.positions] += 1
    return sorted(({"rule": f.rule, "column": f.columns[0], "n_rows": f.n_unexpected,
                    "n_only": int((hits[f.positions] == 1).sum())} for f in causes),
                  key=lambda entry: (-entry["n_only"], entry["column"], entry["rule"]))


def _profile(values: pd.Series, column: Column) -> dict[str, Any]:
    known = values.dropna()
    profile: dict[str, Any] = {"kind": column.kind, "role": column.role, "n_missing": int(values.isna().sum()),
                               "share_missing": float(values.isna().mean()) if len(values) else 0.0,
                               "n_distinct": int(known.nunique())}
    if column.private or not len(known):
        return profile
    if column.kind in ("number", "boolean"):
        return {**profile, "min": float(known.min()), "mean": float(known.mean()), "max": float(known.max())}
    if column.kind == "date":
        return {**profile, "min": known.min().isoformat(), "max": known.max().isoformat()}
    counts = known.value_counts()
    ranked = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:N_TOP]
    return {**profile, "top": [[_shown(value), int(count)] for value, count in ranked]}


def _plain(value: Any) -> Any:
    """Return an observed value as stable JSON; long ones as text, cut."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | np.number):
        return float(value) if np.isfinite(value) else str(value)
    return str(value)[:200]


def _shown(value: Any) -> str:
    return "missing" if value is None or value != value else str(value)[:64]

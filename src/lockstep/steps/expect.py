"""Have Great Expectations evaluate the rules of the contract."""

import difflib
import os
from collections.abc import Sequence
from typing import Any

import pandas as pd

from lockstep.contract import FILE, Contract, Rule
from lockstep.contract.rules import bound
from lockstep.errors import ContractError, expected_one_of


def expect(rows: pd.DataFrame, rules: Sequence[Rule], contract: Contract) -> list[dict[str, Any]]:
    """Run ``rules`` on ``rows``; one outcome (``success``, ``result``) a rule, in order.

    Positions of unexpected rows are complete, and count from the first row.

    Raises
    ------
    ContractError
        A rule cannot be built, or not be evaluated on these rows.
    """
    if not rules:
        return []
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("rows").get_batch({"dataframe": rows.reset_index(drop=True)})
    suite = gx.ExpectationSuite(name="rows", expectations=[_build(rule, contract, i) for i, rule in enumerate(rules)])
    outcomes: list[dict[str, Any]] = [{}] * len(rules)
    for outcome in batch.validate(suite, result_format="COMPLETE").results:
        number = outcome.expectation_config.meta["number"]
        _refuse_exception(outcome.exception_info, rules[number])
        outcomes[number] = {"success": outcome.success, "result": outcome.result}
    return outcomes


def _build(rule: Rule, contract: Contract, number: int) -> Any:
    """Return the expectation; a suite given names and arguments leaves out those that it cannot build, and goes on."""
    from great_expectations.expectations import registry

    known = registry.list_registered_expectation_implementations()
    if rule.type not in known:
        near = difflib.get_close_matches(rule.type, known, n=3, cutoff=0)
        raise ContractError(f"{FILE}: Great Expectations has no {rule.type!r}; {expected_one_of(rule.type, near)}")
    try:
        return registry.get_expectation_impl(rule.type)(**_bounds(rule, contract), meta={"number": number})
    except (ValueError, TypeError) as error:
        said = " ".join(str(error).split())[:200]
        raise ContractError(f"{FILE}: rule {rule.name} on {list(rule.columns)} cannot be built; {said}.") from error


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
            raise ContractError(
                f"{FILE}: rule {rule.name} on {list(rule.columns)} cannot be evaluated: "
                f"{' '.join(str(fault['exception_message']).split())[:200]}"
            )

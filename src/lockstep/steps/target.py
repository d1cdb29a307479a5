"""Check that the target is there, of the kind that the problem needs, and can be learned."""

from types import ModuleType

import pandas as pd

from lockstep.contract import FILE, Contract
from lockstep.errors import FitError


def check(rows: pd.DataFrame, contract: Contract, problem: ModuleType) -> None:
    """Refuse a target that nothing can be learned from.

    Raises
    ------
    FitError
        With what was found.
    """
    name, kind = contract.target, contract.columns[contract.target].kind
    asked = problem.__name__.rpartition(".")[2]
    if kind not in problem.KINDS:
        raise FitError(
            f"problem {asked!r} needs a target of kind {' or '.join(map(repr, problem.KINDS))}; {name!r} is of "
            f"kind {kind!r} in {FILE}. Change one of the two."
        )
    n_missing = int(rows[name].isna().sum())
    if n_missing:
        raise FitError(
            f"target {name!r} must be there in every row; {n_missing} of {len(rows)} rows miss it. Make it "
            f"not-null of severity warning in {FILE}, which puts such rows into quarantine."
        )
    problem.check_target(rows[name], name)

"""What every test may use; property tests draw the same examples on each run."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

from lockstep.contract import Contract, loads

settings.register_profile("lockstep", derandomize=True, deadline=None, print_blob=False)
settings.load_profile("lockstep")


@pytest.fixture(scope="session")
def contract_of() -> Callable[..., Contract]:
    """Build a contract from its columns and its expectations; a target ``y`` is added if there is none."""

    def build(columns: dict[str, Any], *expectations: dict[str, Any]) -> Contract:
        if not any(column.get("role") == "target" for column in columns.values()):
            columns = {**columns, "y": {"kind": "category", "role": "target"}}
        suite = {"expectations": list(expectations), "meta": {"columns": columns}}
        return loads(json.dumps(suite).encode())

    return build

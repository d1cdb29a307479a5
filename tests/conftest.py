"""What every test may use; property tests draw the same examples on each run."""

import json
import os
from collections.abc import Callable
from pathlib import Path
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


@pytest.fixture(scope="session")
def tables() -> Path:
    """Return the folder of real tables, read in place; without it such tests skip, but where CI asks for it fail."""
    folder = Path(os.environ.get("LOCKSTEP_TABLES", Path(__file__).parents[2] / "shared" / "data"))
    if folder.is_dir():
        return folder
    reason = f"no real tables at {folder}; name their folder by LOCKSTEP_TABLES"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def table(tables: Path) -> Callable[[str], Path]:
    """Return the place of a real table by its name: ``table("titanic/titanic.csv")``."""

    def find(name: str) -> Path:
        path = tables / name
        assert path.is_file(), f"{name} is missing from {tables}"
        return path

    return find

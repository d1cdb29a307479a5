from pathlib import Path

import pandas as pd
import pytest

from lockstep import contract as contracts
from lockstep.commands.contract import check, suggest
from lockstep.contract import show
from lockstep.errors import Breach, ContractError


def test_a_contract_alone_is_checked(root: Path) -> None:
    assert check(root, None) == (
        "expectations/rows.json: 13 columns, 10 rules on rows, 1 on the table; it is consistent."
    )


def test_a_rule_that_cannot_be_compiled_is_found_without_a_table(root: Path) -> None:
    path = root / contracts.FILE
    path.write_text(path.read_text().replace("^A\\\\d{4}$", "^A(\\\\d{4}$"))

    with pytest.raises(ContractError, match=r"regex of column 'account' is broken; .*"):
        check(root, None)


def test_a_table_that_keeps_it_is_counted(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = check(root, root / "table.csv")

    assert said == "40 rows keep the contract, 0 would go to quarantine."
    shown = capsys.readouterr().out
    assert all(line.startswith("info") for line in shown.splitlines()), "only what is flagged is shown"


def test_a_table_that_breaks_it_is_refused_with_every_rule_that_failed(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pd.read_csv(root / "table.csv", dtype=str, keep_default_na=False)
    rows.loc[3, "low"] = "-5"
    rows.loc[4, "colour"] = "pink"
    rows.to_csv(tmp_path / "bad.csv", index=False)

    with pytest.raises(Breach, match=r"column 'low' must be_between\(min_value=0, max_value=1000\); 1 of 40 rows"):
        check(root, tmp_path / "bad.csv")
    shown = capsys.readouterr().out
    assert "critical  low: be_between(min_value=0, max_value=1000): 1 of 40" in shown
    assert "warning   colour: be_in_set(value_set=['red', 'green', 'blue']): 1 of 40" in shown


def test_the_lines_own_table_can_be_checked(root: Path) -> None:
    assert "100 rows keep the contract" in check(root, root / "data" / "test.parquet")


def test_a_suggestion_is_a_contract_of_the_same_target_and_changes_nothing(root: Path) -> None:
    before = (root / contracts.FILE).read_bytes()

    suggested = contracts.loads(suggest(root).encode())

    assert suggested.target == "target"
    assert list(suggested.columns) == list(pd.read_csv(root / "table.csv").columns)
    assert (root / contracts.FILE).read_bytes() == before


def test_a_contract_is_shown_as_two_tables_the_gravest_rules_first(root: Path) -> None:
    shown = show.describe(contracts.load(root))

    columns, rules = shown.split("\n\n")
    assert [line.split()[:3] for line in columns.splitlines()[1:4]] == [
        ["account", "category", "id"],
        ["low", "number", "input"],
        ["high", "number", "input"],
    ]
    assert "seen" in columns
    assert "time+input" in columns
    severities = [line.split()[0] for line in rules.splitlines()[1:]]
    assert severities == sorted(severities, key=["critical", "warning", "info"].index)
    assert "(table)" in rules

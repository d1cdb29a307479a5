"""A broken contract, a target that cannot be learned, a feature that cheats: each stops its stage with one line."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from spoil import Edit, both, cell, refuse, rule, run, settings, suite, table, without_rule_on

from lockstep.errors import LockstepError
from lockstep.stages.files import n_threads


def codes(rows: pd.DataFrame) -> None:
    rows["churned"] = [f"class {i % 300}" for i in range(len(rows))]


def not_many_yes(rows: pd.DataFrame) -> None:
    rows["churned"] = ["yes", *["no"] * (len(rows) - 1)]


CONTRACTS: dict[str, tuple[Edit, str]] = {
    "no JSON": (lambda root: (root / "expectations/rows.json").write_text("{,}"), r"rows.json must be JSON; .*line 1"),
    "no contract": (
        lambda root: (root / "expectations/rows.json").unlink(),
        r"rows.json is missing; .*contract suggest",
    ),
    "an unknown column": (
        rule(type="expect_column_values_to_not_be_null", kwargs={"column": "usage_bg"}),
        r"names column 'usage_bg'; .* Did you mean 'usage_gb'\?",
    ),
    "mostly": (
        rule(type="expect_column_values_to_be_between", kwargs={"column": "usage_gb", "min_value": 0, "mostly": 0.9}),
        r"uses 'mostly'; .*validate.max_quarantine",
    ),
    "a broken expression": (
        rule(type="expect_column_values_to_match_regex", kwargs={"column": "plan", "regex": "("}),
        r"rows.json: regex of column 'plan' is broken",
    ),
    "an unknown kind": (
        suite(lambda s: s["meta"]["columns"]["plan"].update(kind="string")),
        r"meta.columns.plan.kind 'string'; expected one of",
    ),
    "an unknown key": (
        suite(lambda s: s["meta"]["columns"]["plan"].update(requird=True)),
        r"Did you mean 'required'\?",
    ),
    "an unknown expectation": (
        rule(type="expect_column_values_to_be_nice", kwargs={"column": "plan"}),
        r"no 'expect_column_values_to_be_nice'; expected one of \['expect_column_values_to_",
    ),
    "a misspelt argument": (
        rule(type="expect_table_row_count_to_be_between", kwargs={"min": 3}),
        r"rule table_row_count_to_be_between\(min=3\) .*cannot be built; .*extra fields",
    ),
    "two targets": (
        suite(lambda s: s["meta"]["columns"]["plan"].update(role="target")),
        r"exactly one column may have role 'target'; found \['plan', 'churned'\]",
    ),
}


@pytest.mark.parametrize("case", CONTRACTS)
def test_a_contract_that_is_broken_stops_validate(case: str, root: Path) -> None:
    edit, said = CONTRACTS[case]
    edit(root)

    refuse(root, ["ingest", "validate"], said)


SPLITS: dict[str, tuple[Edit, str]] = {
    "a constant target": (cell("churned", "no", slice(None)), r"target 'churned' must take more than one value"),
    "one row of a class": (
        table(not_many_yes),
        r"each class of target 'churned' must have at least 2 rows; \['yes'\] has one",
    ),
    "300 classes": (
        both(table(codes), without_rule_on("churned"), settings({"problem": "multiclass"})),
        r"target 'churned' may have at most 100 classes; found 300",
    ),
    "three classes for two": (
        both(cell("churned", "maybe", slice(0, 30)), without_rule_on("churned")),
        r"must have two classes for problem 'binary'; found 3: .* Set problem: multiclass",
    ),
    "classes for a number": (
        settings({"problem": "regression"}),
        r"problem 'regression' needs a target of kind 'number'",
    ),
    "a leak": (
        both(table(lambda rows: rows.assign(plan=rows["churned"].map({"no": "basic", "yes": "premium"})))),
        r"'plan'.*split.accept_leaks",
    ),
    "no column that divides": (
        settings({"split": {"kind": "predefined", "column": "fold"}}),
        r"split.column 'fold' is no column",
    ),
    "too few rows": (
        both(
            table(lambda rows: rows.head(12).assign(churned=["yes", "no"] * 6)),
            suite(lambda s: s["expectations"].clear()),
        ),
        r"at least 20 rows to train",
    ),
}


@pytest.mark.parametrize("case", SPLITS)
def test_rows_that_nothing_can_be_learned_from_stop_split(case: str, root: Path) -> None:
    edit, said = SPLITS[case]
    edit(root)

    refuse(root, ["ingest", "validate", "split"], said)


FEATURES: dict[str, tuple[str, str]] = {
    "peeks at neighbours": (
        "def peek(usage_gb):\n    return usage_gb - usage_gb.mean()\n",
        r"src/features.py: 'peek' must give each row the same value alone",
    ),
    "changes its input": (
        "def spoil(usage_gb):\n    usage_gb[:] = 0\n    return usage_gb\n",
        r"a feature changes its input 'usage_gb'; work on a copy",
    ),
    "raises": ("def fail(usage_gb):\n    return usage_gb['x']\n", r"src/features.py: 'fail' failed: IndexError"),
    "does not run": ("def broken(\n", r"src/features.py does not run: SyntaxError"),
    "asks for the target": (
        "def cheat(churned):\n    return churned\n",
        r"'cheat' asks for 'churned', which is no input",
    ),
    "asks for a misspelt column": ("def sum(usage_bg):\n    return usage_bg\n", r"Did you mean 'usage_gb'\?"),
    "loses rows": ("def some(usage_gb):\n    return usage_gb[1:]\n", r"must return one number a row, shape \(\d+,\)"),
}


@pytest.fixture(scope="module")
def divided(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the project with its rows divided."""
    root = Path(shutil.copytree(plain, tmp_path_factory.mktemp("divided") / "project"))
    run(root, "ingest", "validate", "split")
    return root


@pytest.mark.parametrize("case", FEATURES)
def test_a_feature_that_breaks_its_promise_stops_featurize(case: str, divided: Path, tmp_path: Path) -> None:
    source, said = FEATURES[case]
    root = Path(shutil.copytree(divided, tmp_path / "project"))
    (root / "src/features.py").write_text(source)

    refuse(root, ["featurize"], said)


def test_a_missing_or_damaged_table_between_stages_is_named(divided: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(divided, tmp_path / "project"))
    (root / "data/train.parquet").write_bytes((root / "data/train.parquet").read_bytes()[:200])
    refuse(root, ["featurize"], r"train.parquet is damaged .*`dvc checkout`")

    (root / "data/train.parquet").unlink()
    refuse(root, ["featurize"], r"train.parquet is missing; run `dvc repro`")


def test_threads_must_be_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_THREADS", "many")

    with pytest.raises(LockstepError, match=r"LOCKSTEP_THREADS must be a whole number of at least 1; got 'many'"):
        n_threads()

"""Bad input gets one line that says where, what and how to go on; nothing is lost, and nothing is made of it."""

import gzip
import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import project
import pytest

from lockstep import params, release
from lockstep.commands.predict import predict
from lockstep.errors import IntegrityError, LockstepError
from lockstep.stages.files import n_threads
from lockstep.steps import lock

Edit = Callable[[Path], object]
N_ROWS = 400


@pytest.fixture(scope="module")
def plain(line: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the files that stages read, and a table in CSV that keeps the contract."""
    root = tmp_path_factory.mktemp("plain")
    for name in ("params.yaml", "requirements.lock", "expectations/rows.json", "src/features.py"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(line / name, root / name)
    project.change_params(root, {"source": None})
    project.change_params(root, {"source": {"kind": "file", "path": "table.csv"}})
    pd.read_parquet(line / "data" / "valid.parquet").iloc[:N_ROWS].assign(signup_date="2020-01-31").to_csv(
        root / "table.csv", index=False
    )
    return root


@pytest.fixture
def root(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "project"))


def run(root: Path, *stages: str) -> None:
    """Take the source up as it is now, and run stages in this process."""
    settings = params.load(root)
    lock.write(root, settings)
    for name in stages:
        importlib.import_module(f"lockstep.stages.{name}").run(root, settings)


def refuse(root: Path, stages: list[str], said: str) -> None:
    """Run stages, of which the last must stop with one line, and write nothing that a later one reads."""
    if stages[:-1]:
        run(root, *stages[:-1])
    with pytest.raises(LockstepError, match=said) as caught:
        run(root, *stages[-1:])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def table(change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> Edit:
    """Change the table's cells, which are text."""

    def edit(root: Path) -> None:
        rows = pd.read_csv(root / "table.csv", dtype=str, keep_default_na=False)
        changed = change(rows)
        (rows if changed is None else changed).to_csv(root / "table.csv", index=False)

    return edit


def cell(column: str, value: str, rows: slice = slice(3, 4)) -> Edit:
    """Set cells of one column."""

    def change(table: pd.DataFrame) -> None:
        table.loc[table.index[rows], column] = value

    return globals()["table"](change)


def content(change: Callable[[bytes], bytes], name: str = "table.csv") -> Edit:
    """Change the bytes of the table's file; under another name if given."""

    def edit(root: Path) -> None:
        (root / name).write_bytes(change((root / "table.csv").read_bytes()))
        project.change_params(root, {"source": {"path": name}})

    return edit


def parquet(change: Callable[[bytes], bytes] = bytes, edit_rows: Callable[[pd.DataFrame], Any] = len) -> Edit:
    """Give the table as Parquet, typed."""

    def edit(root: Path) -> None:
        rows = pd.read_csv(root / "table.csv")
        edit_rows(rows)
        rows.to_parquet(root / "table.parquet", index=False)
        (root / "table.parquet").write_bytes(change((root / "table.parquet").read_bytes()))
        project.change_params(root, {"source": {"path": "table.parquet"}})

    return edit


def suite(change: Callable[[dict[str, Any]], object]) -> Edit:
    return lambda root: project.change_contract(root, change)


def settings(change: dict[str, Any]) -> Edit:
    return lambda root: project.change_params(root, change)


def both(*edits: Edit) -> Edit:
    return lambda root: [edit(root) for edit in edits]


def without_rule_on(column: str) -> Edit:
    def change(found: dict[str, Any]) -> None:
        found["expectations"] = [e for e in found["expectations"] if e["kwargs"].get("column") != column]
        found["meta"]["columns"][column].pop("classes", None)

    return suite(change)


def rule(**kwargs: Any) -> Edit:
    return suite(lambda found: found["expectations"].append({"severity": "warning", **kwargs}))


def codes(rows: pd.DataFrame) -> None:
    rows["churned"] = [f"class {i % 300}" for i in range(len(rows))]


def not_many_yes(rows: pd.DataFrame) -> None:
    rows["churned"] = ["yes", *["no"] * (len(rows) - 1)]


HEADER = "customer_id,snapshot_month,x\n"
SOURCES: dict[str, tuple[Edit, str]] = {
    "a missing file": (lambda root: (root / "table.csv").unlink(), r"'table.csv' must be a file; it is not there"),
    "a folder": (settings({"source": {"path": "src"}}), r"'src' must be a file; it is a folder"),
    "an empty file": (content(lambda b: b""), r"'table.csv' must hold a table; the file is empty"),
    "a file of blank lines": (content(lambda b: b"\n\n\n"), r"nothing but blank lines"),
    "a header alone": (content(lambda b: b.split(b"\n")[0] + b"\n"), r"'table.csv' must hold rows; there is none"),
    "a truncated CSV": (content(lambda b: b[:-60]), r"line 401 must hold 16 cells .* was the file cut off\?"),
    "a truncated gzip": (
        content(lambda b: gzip.compress(b)[:-200], "table.csv.gz"),
        r"must be a whole gzip file.*Fetch it again",
    ),
    "a truncated Parquet file": (parquet(lambda b: b[:-500]), r"must be a whole Parquet file; .*Was it cut off"),
    "a binary file": (content(lambda b: bytes(range(256)) * 9), r"'table.csv' must be text; it is a binary file"),
    "an Excel workbook": (
        content(lambda b: b"PK\x03\x04" + b),
        r"zip archive or an Excel workbook; save the table as CSV",
    ),
    "doubled names": (content(lambda b: b.replace(b"plan", b"region", 1)), r"column names must differ; \['region'\]"),
    "another encoding": (
        content(lambda b: b.replace(b"north", "nörd".encode("cp1252"))),
        r"must be utf-8; byte \d+ \(0xf6\) is not. Set source.encoding: cp1252",
    ),
    "an ending that says nothing": (content(bytes, "table.xyz"), r"ending '.xyz' tells no format; set source.format"),
    "a number of cells that changes": (
        content(lambda b: b + b"1,2,3\n1,2,3\n"),
        r"line 402 must hold 16 cells .* found 3",
    ),
    "a misspelt setting": (
        settings({"source": {"seperator": ";"}}),
        r"unknown key 'source.seperator'; .* Did you mean 'separator'\?",
    ),
    "another type of setting": (settings({"source": {"header": "yes please"}}), r"source.header must be .*yes please"),
    "an encoding that nobody knows": (settings({"source": {"encoding": "utf-9"}}), r"source.encoding must be one that"),
    "a setting of another source": (
        settings({"source": {"kind": "simulate", "rows": 300}}),
        r"unknown key 'source.path'",
    ),
}


@pytest.mark.parametrize("case", SOURCES)
def test_a_table_that_cannot_be_read_stops_ingest(case: str, root: Path) -> None:
    edit, said = SOURCES[case]
    edit(root)

    refuse(root, ["ingest"], said)

    assert not (root / "data" / "raw.parquet").exists()


def test_a_table_that_changed_behind_the_lock_stops_ingest(root: Path) -> None:
    run(root)
    cell("usage_gb", "1.5")(root)

    with pytest.raises(
        LockstepError, match=r"the source must be the locked one; bytes was .*; sha256 was .*`lockstep refresh`"
    ):
        importlib.import_module("lockstep.stages.ingest").run(root, params.load(root))


BREACHES: dict[str, tuple[Edit, str]] = {
    "a renamed column": (
        table(lambda rows: rows.rename(columns={"plan": "Plan"})),
        r"column 'plan' is missing .*Was it renamed\? The table has \['Plan'\].*expectations/rows.json",
    ),
    "a dropped column": (table(lambda rows: rows.drop(columns="plan")), r"column 'plan' is missing from the table"),
    "a dropped target": (
        table(lambda rows: rows.drop(columns="churned")),
        r"column 'churned' is missing from the table",
    ),
    "an added column": (
        table(lambda rows: rows.assign(discount="1")),
        r"column 'discount' is not in the contract; .*role 'ignored'",
    ),
    "thousands in a number": (
        cell("usage_gb", "1,234"),
        r"column 'usage_gb' must be_a_number; 1 of 400 rows do not \(row 3: '1,234'\)",
    ),
    "text in a number": (cell("usage_gb", "much"), r"column 'usage_gb' must be_a_number; .*'much'"),
    "a blank in a required number": (cell("monthly_charge", " "), r"column 'monthly_charge' must not_be_null.*row 3"),
    "infinity in a text file": (cell("usage_gb", "inf"), r"column 'usage_gb' must be_a_number; .*'inf'"),
    "infinity in Parquet": (
        parquet(edit_rows=lambda rows: rows.__setitem__("usage_gb", float("inf"))),
        r"column 'usage_gb' must be_a_number; 400 of 400 rows",
    ),
    "an empty required column": (cell("plan", "", slice(None)), r"column 'plan' must"),
    "an empty optional column": (cell("satisfaction", "", slice(None)), r"column 'satisfaction' must have_a_value"),
    "two date formats": (
        cell("snapshot_month", "01/02/2024", slice(0, 50)),
        r"column 'snapshot_month' must be_a_date; 50 of 400 rows do not \(row 0: '01/02/2024'",
    ),
    "a category beyond a critical set": (cell("plan", "gold"), r"column 'plan' must be_in_set.*row 3: 'gold'"),
    "a missing target": (cell("churned", ""), r"column 'churned' must not_be_null"),
    "too much quarantine": (
        cell("contract", "lifetime", slice(0, 50)),
        r"quarantine may take at most 0.02 .*validate.max_quarantine.*50 of 400.*column 'contract'",
    ),
    "too many warnings": (
        both(settings({"validate": {"max_warnings": 0}}), cell("satisfaction", "", slice(1, None))),
        r"at most 0 table rules .*validate.max_warnings.*satisfaction",
    ),
    "too few rows": (table(lambda rows: rows.head(50)), r"the table must table_row_count_to_be_between.*observed 50"),
}


@pytest.mark.parametrize("case", BREACHES)
def test_a_table_that_breaks_the_contract_stops_validate(case: str, root: Path) -> None:
    edit, said = BREACHES[case]
    edit(root)

    refuse(root, ["ingest", "validate"], said)

    assert not (root / "data" / "valid.parquet").exists()


def test_a_breach_can_be_looked_at(root: Path) -> None:
    cell("usage_gb", "1,234")(root)
    refuse(root, ["ingest", "validate"], "be_a_number")

    result = json.loads((root / "reports" / "validation.json").read_text("utf-8"))
    page = (root / "reports" / "validation.html").read_text("utf-8")

    assert [r["columns"] for r in result["rules"] if not r["success"]] == [["usage_gb"]]
    assert "1,234" in page


def test_columns_in_another_order_change_no_bit_after_validate(root: Path) -> None:
    names = ["data/valid.parquet", "data/quarantine.parquet", "reports/validation.json"]
    run(root, "ingest", "validate")
    before = [(root / name).read_bytes() for name in names]

    table(lambda rows: rows[rows.columns[::-1]])(root)
    run(root, "ingest", "validate")

    assert [(root / name).read_bytes() for name in names] == before


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


# What a user meets at the command line.

KEYS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a misspelt key": ({"tune": {"trails": 3}}, ["params.yaml: unknown key 'tune.trails'", "Did you mean 'trials'?"]),
    "a misspelt block": ({"tuen": {"trials": 3}}, ["params.yaml: unknown key 'tuen'", "Did you mean 'tune'?"]),
    "a key out of range": ({"tune": {"trials": 0}}, ["params.yaml: tune.trials must be at least 1; got 0."]),
    "another type": ({"split": {"folds": "five"}}, ["params.yaml: split.folds must be", "'five'"]),
    "a misspelt choice": ({"split": {"kind": "randon"}}, ["split.kind 'randon'", "Did you mean 'random'?"]),
    "a misspelt family": (
        {"families": ["linear", "xgbost"]},
        ["no family named 'xgbost'", "'hist_gradient', 'linear'", "Did you mean 'xgboost'?"],
    ),
    "a misspelt problem": ({"problem": "binray"}, ["no problem named 'binray'", "Did you mean 'binary'?"]),
    "a misspelt source": (
        {"source": {"kind": "simulat"}},
        ["no source named 'simulat'", "['file', 'simulate']", "Did you mean 'simulate'?"],
    ),
    "a family twice": ({"families": ["linear", "linear"]}, ["families must name each family once"]),
}


@pytest.mark.parametrize("case", KEYS)
def test_params_that_make_no_sense_are_named_before_anything_runs(case: str, edited: Path) -> None:
    change, parts = KEYS[case]
    project.change_params(edited, change)

    project.refused(project.lockstep(edited, "check"), *parts)


@pytest.fixture
def edited(kept: Path) -> Any:
    """Give the copy that tests share, and put back what git knows of it."""
    yield kept
    project.git(kept, "checkout", "--quiet", "--", ".")


@pytest.mark.parametrize("case", ["a key out of range", "a misspelt problem", "a misspelt source"])
def test_dvc_repro_shows_the_same_line_and_keeps_what_was_made(case: str, copied: Path) -> None:
    change, parts = KEYS[case]
    project.change_params(copied, change)
    before = (copied / "dvc.lock").read_bytes()

    project.refused(project.repro(copied), *parts)

    assert (copied / "dvc.lock").read_bytes() == before
    project.git(copied, "checkout", "--quiet", "params.yaml")
    again = project.repro(copied, "package")
    assert project.said(again)
    assert project.stages_run(again) == []


def test_dvc_names_the_file_of_a_misspelt_family(copied: Path) -> None:
    project.change_params(copied, {"families": ["linear", "xgbost"]})

    asked = project.repro(copied)

    assert asked.returncode != 0
    assert re.search(r"ERROR: failed to reproduce 'tune@xgbost': .*src/lockstep/families/xgbost.py", asked.stderr)


def test_a_password_in_a_url_is_refused_and_written_nowhere(copied: Path) -> None:
    address = "https://reader:hunter2hunter2@example.org/table.csv"
    project.change_params(copied, {"source": None})
    project.change_params(copied, {"source": {"kind": "file", "path": address}})

    asked = [
        project.repro(copied),
        project.lockstep(copied, "refresh"),
        project.lockstep(copied, "status"),
        project.lockstep(copied, "doctor"),
        project.stage(copied, "ingest"),
    ]

    assert all(run.returncode for run in asked)
    project.refused(asked[0], "source holds a URL with a password", "environment variable")
    assert "hunter2" not in "".join(run.stdout + run.stderr for run in asked)
    holders = [path for path in copied.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert holders == [copied / "params.yaml"]


def test_a_python_without_the_packages_is_told_how_to_get_them(kept: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)

    asked = project.run(kept, str(tmp_path / "bare" / "bin" / "python"), "src/lockstep", "ingest")

    project.refused(
        asked,
        "lockstep ingest:",
        "has no package 'packaging': the environment is not active",
        "Run `make env`, then `source .venv/bin/activate`.",
    )


def test_the_environment_of_another_project_is_refused(edited: Path) -> None:
    lock_file = edited / "requirements.lock"
    text = lock_file.read_text("utf-8")
    pinned = re.search(r"^optuna==(\S+)", text, flags=re.MULTILINE)
    assert pinned
    lock_file.write_text(text.replace(f"optuna=={pinned[1]}", "optuna==3.6.0"))

    project.refused(
        project.stage(edited, "validate"),
        "is not this project's environment",
        f"optuna must be 3.6.0; found {pinned[1]}",
        "Run `make env`",
    )


def test_a_stage_runs_its_own_code_whatever_the_path_says(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "lockstep").mkdir()
    (tmp_path / "lockstep" / "__init__.py").write_text("raise RuntimeError('another lockstep')")

    project.said(project.stage(kept, "ingest", PYTHONPATH=str(tmp_path)))


def test_a_command_outside_a_project_says_so(tmp_path: Path) -> None:
    project.refused(project.lockstep(tmp_path, "status"), "is not inside a project", "lockstep new")


# A byte of the model changed on disk.


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(content))


def engine(folder: Path) -> Path:
    """Return the file of a predictor that holds the model itself."""
    return max(
        (path for path in folder.iterdir() if path.name != "manifest.json"), key=lambda path: path.stat().st_size
    )


@pytest.mark.parametrize("stage", ["evaluate", "package"])
def test_a_changed_byte_of_the_predictor_stops_a_stage_by_name(
    stage: str, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = engine(copied / "models" / "predictor")
    flip(changed)
    monkeypatch.setenv("BENTOML_HOME", str(copied / ".lockstep" / "bento"))

    with pytest.raises(
        IntegrityError, match=rf"predictor/{changed.name} was changed: .*`dvc checkout`, or `dvc repro`"
    ):
        importlib.import_module(f"lockstep.stages.{stage}").run(copied, params.load(copied))


def test_dvc_repro_heals_a_changed_byte_of_the_predictor(copied: Path) -> None:
    changed = engine(copied / "models" / "predictor")
    before = changed.read_bytes()
    flip(changed)

    project.said(project.repro(copied))

    assert changed.read_bytes() == before


def test_a_changed_byte_of_the_live_release_stops_predict_and_the_service_by_name(copied: Path, tmp_path: Path) -> None:
    live = release.live(copied)
    assert live
    changed = engine(copied / ".lockstep" / "releases" / live["release"] / "predictor")
    flip(changed)

    with pytest.raises(
        IntegrityError, match=rf"release {live['release'][:16]} is damaged: .*predictor/{changed.name} was"
    ):
        predict(copied, copied / "data" / "test.parquet", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()

    served = project.run(copied, "bentoml", "serve", "--port", "0", timeout=60)
    assert served.returncode != 0
    assert f"{changed.name} was changed" in served.stdout + served.stderr

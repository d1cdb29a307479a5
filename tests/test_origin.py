"""Where a predictor was made, told by commits, by a lock that was not committed, and by the ledger."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from lockstep import graph, ledger, origin, rerun
from lockstep.errors import IntegrityError, ReleaseError

GRAPH = """
stages:
  validate:
    cmd: python validate.py
    deps: [data/raw.parquet, validate.py]
    outs: [data/valid.parquet]
  fit:
    cmd: python fit.py
    params: [seed]
    deps: [data/valid.parquet, code]
    outs: [models/predictor]
"""
IDENTITY = ("-c", "user.name=A. Person", "-c", "user.email=person@example.org")
BEGAN = datetime(2026, 5, 1, 12, tzinfo=UTC)


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *IDENTITY, *words], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(root: Path) -> str:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "more")
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("data", "models/predictor", "code"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    (tmp_path / "params.yaml").write_text("seed: 7\n")
    (tmp_path / "requirements.lock").write_text("pyyaml==6.0.2\n")
    (tmp_path / ".gitignore").write_text(".lockstep/\n/data/\n/models/\n")
    (tmp_path / "validate.py").write_text("")
    (tmp_path / "code" / "fit.py").write_text("")
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    commit(tmp_path)
    return tmp_path


def run(root: Path, raw: str, predictor: str, hours: int = 0) -> str:
    """Run both stages as if for real; return the predictor's digest."""
    (root / "data" / "raw.parquet").write_text(raw)
    (root / "data" / "valid.parquet").write_text(f"valid rows of {raw}")
    (root / "models" / "predictor" / "model").write_text(predictor)
    for minutes, name in enumerate(("validate", "fit")):
        ledger.write(root, name, BEGAN + timedelta(hours=hours, minutes=minutes), 1.0)
    return graph.digest(root / "models" / "predictor")


def lock(root: Path) -> None:
    """Write dvc.lock, as DVC would."""
    entries = {}
    for stage in graph.load(root):
        files = {
            kind: [{"path": path, "md5": graph.digest(root / path)} for path in paths]
            for kind, paths in (("deps", stage.deps), ("outs", stage.outs))
        }
        entries[stage.name] = {**files, "params": {"params.yaml": dict.fromkeys(stage.params, 7)}}
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": entries}))


def fit_entry(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what the ledger says of the only fit."""
    (path,) = (root / ".lockstep" / "ledger" / "fit").glob("*.json")
    entry = json.loads(path.read_text())
    change(entry)
    path.write_text(json.dumps(entry))


def test_the_first_commit_whose_lock_holds_the_predictor_is_told_on_whatever_branch(root: Path) -> None:
    git(root, "checkout", "--quiet", "-b", "try")
    md5 = run(root, "rows", "model")
    raw = graph.md5(root / "data" / "raw.parquet")
    lock(root)
    holding = commit(root)
    commit(root)
    git(root, "checkout", "--quiet", "main")

    found = origin.find(root, md5)

    assert (found.commit, found.recorder, found.patch) == (holding, "its dvc.lock", None)
    assert found.outs["models/predictor"] == md5
    assert found.read["validate"]["data/raw.parquet"] == raw
    assert found.read["fit"]["params.yaml: seed"] == 7
    assert found.made_with.startswith("Python 3.")


def test_of_a_run_that_was_not_committed_the_lock_that_lies_here_tells_the_digests(root: Path) -> None:
    (root / "params.yaml").write_text("seed: 8\n")
    md5 = run(root, "rows", "model")
    lock(root)

    found = origin.find(root, md5)

    assert (found.commit, found.recorder) == (git(root, "rev-parse", "HEAD"), "the dvc.lock that lies here")
    assert found.patch
    assert "+seed: 8" in found.patch.read_text()


def test_where_the_lock_went_on_the_ledger_tells_of_each_stage_what_led_to_the_predictor(root: Path) -> None:
    md5 = run(root, "rows", "model")
    raw = graph.md5(root / "data" / "raw.parquet")
    run(root, "later rows", "another model", hours=1)
    lock(root)

    found = origin.find(root, md5)

    assert found.recorder == "the ledger"
    assert found.read["validate"]["data/raw.parquet"] == raw
    assert found.outs.keys() == {"data/valid.parquet", "models/predictor"}
    assert found.outs["models/predictor"] == md5


def test_a_predictor_of_which_nobody_knows_is_refused(root: Path) -> None:
    run(root, "rows", "model")

    with pytest.raises(ReleaseError, match=r"no commit's dvc\.lock holds the predictor .* the ledger does not know"):
        origin.find(root, "0123456789abcdef0123456789abcdef.dir")


def test_a_run_outside_of_git_is_refused(root: Path) -> None:
    md5 = run(root, "rows", "model")
    fit_entry(root, lambda entry: entry.update(commit=None, dirty=None))

    with pytest.raises(ReleaseError, match="made outside of git"):
        origin.find(root, md5)


def test_a_patch_that_is_missing_changed_or_was_too_large_is_named(root: Path) -> None:
    (root / "params.yaml").write_text("seed: 8\n")
    md5 = run(root, "rows", "model")
    patch = origin.find(root, md5).patch
    assert patch

    patch.write_text(patch.read_text().replace("seed: 8", "seed: 9"))
    with pytest.raises(IntegrityError, match=r"\.patch was changed"):
        origin.find(root, md5)
    patch.unlink()
    with pytest.raises(ReleaseError, match=f"patch {patch.stem}, .* is missing"):
        origin.find(root, md5)
    fit_entry(root, lambda entry: entry.update(patch=None))
    with pytest.raises(ReleaseError, match="above 4 MiB they are not kept"):
        origin.find(root, md5)


def test_a_file_that_git_did_not_know_is_named_where_a_stage_reads_it_and_no_other(root: Path) -> None:
    (root / "notes.txt").write_text("remember")
    md5 = run(root, "rows", "model")
    rerun.check_sources(root, origin.find(root, md5))

    (root / "code" / "mine.py").write_text("")
    md5 = run(root, "rows", "another model")
    found = origin.find(root, md5)

    assert found.untracked == ("code/mine.py", "notes.txt")
    with pytest.raises(ReleaseError, match=r"untracked files were part of the run, .*: code/mine\.py; `git add`"):
        rerun.check_sources(root, found)


def test_stages_from_the_raw_table_on_are_run_again_and_no_more(root: Path) -> None:
    more = "  ingest:\n    cmd: python i.py\n    outs: [data/raw.parquet]\n"
    more += "  evaluate:\n    cmd: python e.py\n    deps: [models/predictor]\n    outs: [metrics.json]\n"
    (root / "dvc.yaml").write_text(GRAPH + more)

    assert [stage.name for stage in rerun.stages(root)] == ["validate", "fit"]

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from lockstep import graph, release
from lockstep.commands.status import describe
from lockstep.digest import dump_json, read_object
from lockstep.errors import IntegrityError, UnknownName


def record(root: Path) -> None:
    """Write the lock that DVC would write now."""
    (root / "reports/metrics.json").write_text("{}")
    values = yaml.safe_load((root / "params.yaml").read_text())
    stages: dict[str, Any] = {}
    for stage in graph.load(root):
        stages[stage.name] = {
            "cmd": stage.command,
            "deps": [{"path": path, "md5": graph.digest(root / path)} for path in stage.deps],
            "outs": [{"path": path, "md5": graph.digest(root / path)} for path in stage.outs],
            "params": {"params.yaml": {key: values[key] for key in stage.params}},
        }
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def packaged(root: Path) -> dict[str, str]:
    """Record the live release as the one packaged last."""
    live = release.live(root)
    assert live
    (root / "models" / "bento.json").write_text(
        dump_json({"bento": live["bento"], "release": live["release"], "predictor": live["model"]})
    )
    return live


def test_before_the_first_run_every_stage_would_run(root: Path) -> None:
    said = describe(root)

    assert f"project   {root}" in said
    assert (
        "line      2 of 2 stages would run by `dvc repro`:\n  fit: never run\n  evaluate: never run; waits for fit"
        in said
    )
    assert "packaged  nothing yet; `make run` packages the winner" in said


def test_when_nothing_is_stale_it_says_so_and_names_what_is_packaged_and_live(root: Path) -> None:
    record(root)
    live = packaged(root)

    said = describe(root)

    assert "line      all 2 stages are up to date" in said
    assert f"packaged  {live['bento']} (predictor {live['model'][:12]})\n" in said
    assert f"live      {live['bento']} (predictor {live['model'][:12]})" in said
    assert "bento store" not in said


def test_what_changed_is_named_and_what_waits_for_it(root: Path) -> None:
    record(root)
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("seed: 7", "seed: 8"))
    (root / "table.csv").write_text("other")

    said = describe(root)

    assert "line      2 of 2 stages would run" in said
    assert "  fit: table.csv changed; params.yaml: seed changed\n  evaluate: waits for fit\n" in said


def test_many_reasons_are_cut(root: Path) -> None:
    record(root)
    shutil.rmtree(root / "models")
    (root / "table.csv").unlink()
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("seed: 7", "seed: 8").replace("problem: binary", "problem: multiclass"))

    assert "table.csv is missing; models/predictor is missing; params.yaml: problem changed (and 1 more)" in describe(
        root
    )


def test_a_bento_that_is_not_in_the_store_is_reported_with_its_cure(root: Path) -> None:
    packaged(root)
    live = read_object(root / ".lockstep" / "live.json")
    shutil.rmtree(root / ".lockstep")

    said = describe(root)

    assert f"packaged  {live['bento']}" in said
    assert "it is not in the bento store; `make run` builds it again, to the recorded digest" in said
    assert "live      nothing" in said


def test_a_misspelt_family_is_named_first(root: Path) -> None:
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("xgboost", "xgbost"))

    with pytest.raises(UnknownName, match=r"no family named 'xgbost'; .*Did you mean 'xgboost'\?"):
        describe(root)


def test_a_damaged_record_is_named(root: Path) -> None:
    (root / "models" / "bento.json").write_text("{")

    with pytest.raises(IntegrityError, match=r"bento.json is damaged .*`make run`"):
        describe(root)


def test_files_are_named_by_the_digest_that_dvc_gives_them(root: Path) -> None:
    content = (root / "table.csv").read_bytes()

    assert graph.digest(root / "table.csv") == hashlib.md5(content).hexdigest()

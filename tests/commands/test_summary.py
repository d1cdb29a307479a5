import re
from pathlib import Path

import pytest

from lockstep import release
from lockstep.commands.summary import describe
from lockstep.digest import dump_json
from lockstep.errors import IntegrityError

SCORES = {
    "roc_auc": 0.81234, "roc_auc_low": 0.7, "roc_auc_high": 0.9, "trivial_roc_auc": 0.5, "linear_roc_auc": 0.79,
    "log_loss": 0.4, "log_loss_low": 0.3, "log_loss_high": 0.5, "trivial_log_loss": 0.6, "n_rows": 100,
}  # fmt: skip


def test_each_score_stands_beside_the_baselines(root: Path) -> None:
    (root / "reports" / "metrics.json").write_text(dump_json(SCORES))
    live = release.live(root)
    assert live

    said = describe(root)

    assert "winner    xgboost, accepted, on 100 test rows" in said
    assert re.search(r"roc_auc \(\+\)\s+0.81234\s+0.7 to 0.9\s+0.79\s+0.5$", said, flags=re.MULTILINE)
    assert re.search(r"log_loss \(-\)\s+0.4\s+0.3 to 0.5\s+-\s+0.6$", said, flags=re.MULTILINE)
    assert f"live      {live['bento']}" in said
    assert " f1 (" not in said, "a score that was not computed is not shown"


def test_a_rejected_winner_is_shown_with_the_gate_that_rejected_it(root: Path) -> None:
    (root / "reports" / "metrics.json").write_text(dump_json(SCORES))
    gate = {"gate": "better_than_trivial", "passed": False, "reason": "it is not.", "figures": {}}
    verdict = {"accepted": False, "problem": "binary", "family": "linear", "predictor": "0", "gates": [gate]}
    (root / "reports" / "verdict.json").write_text(dump_json(verdict))
    (root / ".lockstep" / "live.json").unlink()

    said = describe(root)

    assert "winner    linear, REJECTED" in said
    assert "gate better_than_trivial failed: it is not." in said
    assert "live      nothing" in said


def test_before_the_first_run_it_says_what_to_run(root: Path) -> None:
    (root / "reports" / "metrics.json").unlink()
    with pytest.raises(IntegrityError, match=r"metrics.json is missing .*`make run`"):
        describe(root)

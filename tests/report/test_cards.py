import json

from lockstep.report import cards


def put(root, path, value):
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_text(json.dumps(value))


def test_each_report_that_a_stage_made_becomes_a_text(tmp_path):
    put(tmp_path, "reports/metrics.json", {"n_rows": 4, "r2": 0.5, "trivial_r2": 0.0})
    put(tmp_path, "reports/verdict.json", {"accepted": True, "family": "linear", "predictor": "ab" * 32, "gates": []})

    shown = cards.of(tmp_path, ("reports/metrics.json", "reports/verdict.json", "reports/plots", "models/bento.json"))

    assert sorted(shown) == ["scores", "verdict"]


def test_validation_tells_each_rule_that_was_broken():
    rule = {"severity": "warning", "columns": ["age"], "rule": "be_between(0)", "n_unexpected": 1200, "success": False}
    kept = {**rule, "columns": ["name"], "success": True}

    text = cards.validation({"success": True, "n_valid": 9000, "n_quarantined": 1200, "rules": [rule, kept]})

    assert "9,000 rows valid, 1,200 set aside" in text
    assert "| warning | age | be_between(0) | 1,200 |" in text
    assert "name" not in text


def test_of_many_broken_rules_the_rest_is_counted():
    rule = {"severity": "warning", "columns": ["a"], "rule": "r", "n_unexpected": None, "success": False}

    text = cards.validation({"success": False, "n_valid": 0, "n_quarantined": 0, "rules": [rule] * 25})

    assert "breaks the contract" in text
    assert text.endswith("and 5 more")


def test_the_leaderboard_marks_the_winner():
    entry = {"loss": 0.25, "standard_error": 0.01, "difference": 0.0, "difference_error": 0.0, "n_trials": 8}

    text = cards.leaderboard(
        [{**entry, "family": "xgboost", "chosen": False}, {**entry, "family": "linear", "chosen": True}]
    )

    assert "| linear (chosen) | 0.25 |" in text
    assert "| xgboost | 0.25 |" in text


def test_scores_stand_beside_the_baselines():
    values = {"roc_auc": 0.9, "roc_auc_low": 0.8, "roc_auc_high": 0.95}
    metrics = {
        "n_rows": 54,
        **values,
        **{f"{who}_{name}": v / 2 for who in ("trivial", "linear") for name, v in values.items()},
    }

    text = cards.scores(metrics)

    assert "On 54 test rows" in text
    assert text.count("\n| roc_auc") == 1
    assert "| roc_auc | 0.9 | 0.8 to 0.95 | 0.45 | 0.45 |" in text


def test_the_verdict_tells_each_gate_and_keeps_the_table_whole():
    gate = {"gate": "better_than_trivial", "passed": False, "reason": "a | b"}

    text = cards.verdict({"accepted": False, "family": "linear", "predictor": "ab" * 32, "gates": [gate]})

    assert text.startswith("**Rejected**: linear, abababababababab.")
    assert "| better_than_trivial | failed | a \\| b |" in text


def test_progress_tells_the_best_search_first():
    searches = [
        cards.Progress("linear", 1, 8, None),
        cards.Progress("xgboost", 3, 8, 0.5),
        cards.Progress("hist_gradient", 2, None, 0.25),
    ]

    lines = cards.progress(searches).splitlines()

    assert lines[-3:] == ["| hist_gradient | 2 | 0.25 |", "| xgboost | 3 of 8 | 0.5 |", "| linear | 1 of 8 |  |"]

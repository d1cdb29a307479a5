import numpy as np
import pytest

from lockstep import plugins
from lockstep.errors import ParamsError
from lockstep.params import Gates
from lockstep.steps.evaluate import Judged, judge, resample, score

BINARY = plugins.load("problems", "binary")
N_ROWS = 800


def models(strength: float, linear: float = 1.0, seed: int = 0) -> tuple[np.ndarray, dict[str, Judged]]:
    """Labels drawn from known chances; models that know their logits more or less well."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, N_ROWS)
    y = (rng.random(N_ROWS) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    constant = np.full(N_ROWS, y.mean())
    outputs = {
        "": 1 / (1 + np.exp(-strength * logits)),
        "linear_": 1 / (1 + np.exp(-linear * logits)),
        "trivial_": constant,
    }
    return y, {name: Judged(np.column_stack([1 - p, p]), (p >= 0.5).astype(np.int64)) for name, p in outputs.items()}


def gates(strength: float, linear: float = 1.0, **settings: object) -> dict[str, bool]:
    y, judged = models(strength, linear)
    drawn = resample(N_ROWS, 200, seed=1)
    scores = score(BINARY, y, judged, drawn)
    return {gate.gate: gate.passed for gate in judge(BINARY, y, judged, scores, drawn, Gates(**settings))}


def test_every_metric_stands_with_its_interval_for_the_winner_and_both_baselines():
    y, judged = models(1.0)
    scores = score(BINARY, y, judged, resample(N_ROWS, 200, seed=1))
    for prefix in ("", "linear_", "trivial_"):
        for name in BINARY.METRICS:
            low, value, high = (scores[f"{prefix}{name}{end}"] for end in ("_low", "", "_high"))
            assert low <= value <= high
    assert scores["n_rows"] == N_ROWS
    assert scores["trivial_roc_auc"] == 0.5


def test_an_interval_covers_the_true_score_about_as_often_as_it_says():
    hits = 0
    truth = np.mean(
        [score(BINARY, *models(1.0, seed=s), resample(N_ROWS, 50, seed=0))["log_loss"] for s in range(100, 140)]
    )
    for seed in range(60):
        y, judged = models(1.0, seed=seed)
        scores = score(BINARY, y, {"": judged[""]}, resample(N_ROWS, 200, seed=seed))
        hits += scores["log_loss_low"] <= truth <= scores["log_loss_high"]
    assert 51 <= hits <= 60


def test_a_good_model_passes_and_one_that_knows_nothing_does_not():
    assert gates(1.0) == {"better_than_trivial": True, "not_worse_than_linear": True}
    assert gates(0.0)["better_than_trivial"] is False
    assert gates(-1.0)["better_than_trivial"] is False


def test_a_model_worse_than_linear_beyond_margin_and_noise_fails():
    assert gates(0.3)["not_worse_than_linear"] is False
    assert gates(0.95)["not_worse_than_linear"] is True, "worse, but within the margin"
    assert gates(0.3, linear_margin=5.0)["not_worse_than_linear"] is True
    assert "not_worse_than_linear" not in gates(0.3, linear_margin=None)
    assert "better_than_trivial" not in gates(0.3, better_than_trivial=False)


def test_bounds_on_metrics_are_gates_of_their_own():
    found = gates(1.0, minimum={"roc_auc": 0.99}, maximum={"log_loss": 0.9})
    assert found["roc_auc_minimum"] is False
    assert found["log_loss_maximum"] is True


def test_a_gate_on_a_metric_that_does_not_exist_is_an_error_with_the_near_match():
    with pytest.raises(ParamsError, match=r"no metric 'rocauc' in evaluate\.gates\.minimum; .*Did you mean 'roc_auc'"):
        gates(1.0, minimum={"rocauc": 0.5})


def test_a_metric_without_a_value_fails_its_gate():
    y, judged = models(1.0)
    y = np.zeros_like(y)
    drawn = resample(N_ROWS, 50, seed=1)
    scores = score(BINARY, y, judged, drawn)
    assert "roc_auc" not in scores
    found = judge(BINARY, y, judged, scores, drawn, Gates(minimum={"roc_auc": 0.1}))
    assert found[-1].passed is False


def test_a_large_test_set_is_sampled_for_the_intervals_and_counted_whole_for_the_scores():
    drawn = resample(30_000, 50, seed=1)
    assert len(drawn.rows) == len(np.unique(drawn.rows)) == 20_000
    assert drawn.weights.shape == (50, 20_000)
    small = resample(100, 50, seed=1)
    assert np.array_equal(small.rows, np.arange(100))

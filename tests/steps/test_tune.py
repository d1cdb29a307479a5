import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lockstep import contract as contracts
from lockstep import plugins
from lockstep.errors import FitError
from lockstep.families import Task
from lockstep.params import Tune
from lockstep.steps.tune import Fold, Judge, Search, Trial, encode_folds, mean_loss, search


def learnable(n_rows: int = 600) -> tuple[pd.DataFrame, Any]:
    rng = np.random.default_rng(3)
    rows = pd.DataFrame({"a": rng.normal(size=n_rows), "b": rng.choice(["u", "v", "w"], n_rows)})
    y = (rows["a"] + (rows["b"] == "u") + rng.normal(0, 0.7, n_rows) > 0.3).astype(int).to_numpy()
    return rows, y


def judge(family: str = "xgboost", threads: int = 1) -> Judge:
    columns = {"a": {"kind": "number"}, "b": {"kind": "category"}, "y": {"kind": "category", "role": "target"}}
    contract = contracts.loads(json.dumps({"meta": {"columns": columns}}).encode())
    rows, y = learnable()
    folds = pd.DataFrame({"fold": np.arange(len(y)) % 3, "ordered": False}, index=rows.index)
    encoded = encode_folds(rows, y, folds, contract, (), 2)
    loss = mean_loss(plugins.load("problems", "binary"))
    return Judge(plugins.load("families", family), encoded, loss, len(y), 5, threads)


def run(judge: Judge, **settings: Any) -> Search:
    return search(judge.family, judge, Tune(**settings), lambda line: None)


def test_the_list_of_trials_is_the_same_again_and_with_other_threads():
    first, again = run(judge(), trials=7, batch=3), run(judge(threads=2), trials=7, batch=3)
    assert first.trials == again.trials
    assert np.array_equal(first.out_of_fold, again.out_of_fold)
    assert first.repeatable


def test_the_defaults_come_first_and_the_best_complete_trial_wins():
    asked = judge()
    found = run(asked, trials=6)
    assert found.trials[0].settings == asked.family.defaults(2)
    assert [trial.number for trial in found.trials] == list(range(6))
    complete = [trial for trial in found.trials if trial.complete]
    assert found.best.loss == min(trial.loss for trial in complete)
    assert len(found.best.losses) == 3
    assert all(rounds > 0 for rounds in found.best.rounds)


def test_another_seed_asks_for_other_settings():
    first, other = judge(), judge()
    other.seed = 6
    assert run(first, trials=3).trials[1].settings != run(other, trials=3).trials[1].settings


def test_predictions_out_of_fold_are_those_of_the_best_trial():
    asked = judge("linear")
    found = run(asked, trials=5)
    y = np.concatenate([fold.y_valid for fold in asked.folds])
    output = np.concatenate([found.out_of_fold[fold.valid] for fold in asked.folds])
    assert not np.isnan(found.out_of_fold).any()
    assert asked.loss(y, output) == pytest.approx(found.best.loss, rel=1e-6)


def test_settings_have_six_digits():
    for trial in run(judge("linear"), trials=4).trials:
        for value in trial.settings.values():
            assert not isinstance(value, float) or value == float(f"{value:.6g}")


class Scripted:
    """A family whose loss on each fold is written down for each value of its one setting."""

    __name__ = "scripted"

    def __init__(self, losses: dict[float, list[float]]) -> None:
        self.losses = losses

    def fit(self, X: Any, y: Any, task: Task, settings: dict[str, float], **more: Any) -> Any:
        number = int(more["valid"][1][0])
        return SimpleNamespace(rounds=None, predict=lambda X: np.full(len(X), self.losses[settings["s"]][number]))


def scripted(losses: dict[float, list[float]]) -> Judge:
    matrix, task = np.zeros((2, 1)), Task(0, ())
    folds = [Fold(task, matrix, np.zeros(2), matrix, np.full(2, float(i)), np.arange(8) // 2 == i) for i in range(4)]
    return Judge(Scripted(losses), folds, lambda y, output: float(output[0]), 8, 1, 1)


def test_a_trial_out_of_reach_is_given_up_after_two_folds_and_one_within_reach_is_not():
    asked = scripted({0.0: [1, 2, 3, 4], 1.0: [1.1, 2.1, 0, 0], 2.0: [1.1, 1.9, 3, 4.2], 3.0: [1.001, 2.001, 3.1, 4.1]})
    rival = asked.judge(0, {"s": 0.0}, None)
    assert rival.complete
    hopeless = asked.judge(1, {"s": 1.0}, rival)
    assert not hopeless.complete
    assert hopeless.losses == (1.1, 2.1)
    assert asked.judge(2, {"s": 2.0}, rival).complete, "better on one of its folds"
    late = asked.judge(3, {"s": 3.0}, rival)
    assert len(late.losses) == 3, "worse by too little after two folds, by enough after three"
    assert asked.best == rival


def test_seconds_end_the_search_and_are_recorded_as_not_repeatable():
    found = run(judge("linear"), seconds=0.001)
    assert len(found.trials) == 1
    assert not found.repeatable


def test_progress_is_told_for_every_trial_with_the_best_so_far():
    asked, lines = judge("linear"), []
    found = search(asked.family, asked, Tune(trials=4), lines.append)
    assert len(lines) == 4
    assert lines[0].startswith("trial 1/4: loss ")
    assert lines[-1].endswith(f"best {found.best.loss:.5g}")


def test_a_fold_that_lacks_a_class_is_refused():
    columns = {"a": {"kind": "number"}, "y": {"kind": "category", "role": "target"}}
    contract = contracts.loads(json.dumps({"meta": {"columns": columns}}).encode())
    rows, y = pd.DataFrame({"a": np.arange(6.0)}), np.array([0, 0, 0, 0, 1, 1])
    folds = pd.DataFrame({"fold": [0, 0, 1, 1, 2, 2], "ordered": False})
    with pytest.raises(FitError, match="every fold must learn from all 2 classes; one lacks 1"):
        encode_folds(rows, y, folds, contract, (), 2)


def test_the_loss_of_a_fold_is_log_loss_or_rmse():
    output = np.array([[0.8, 0.2], [0.4, 0.6]])
    assert mean_loss(plugins.load("problems", "binary"))(np.array([0, 1]), output) == pytest.approx(
        -np.log([0.8, 0.6]).mean()
    )
    assert mean_loss(plugins.load("problems", "regression"))(np.array([1.0, 2.0]), np.array([1.0, 4.0])) == np.sqrt(2)


def test_the_loss_of_a_trial_is_the_mean_of_its_folds():
    assert Trial(0, {}, (1.0, 2.0), (0, 0), True).loss == 1.5

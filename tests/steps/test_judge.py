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
from lockstep.steps.judge import Fold, Judge, Stopped, encode_folds, mean_loss


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
    rival = asked.judge(0, {"s": 0.0}, None).trial
    assert rival.complete
    hopeless = asked.judge(1, {"s": 1.0}, rival).trial
    assert not hopeless.complete
    assert hopeless.losses == (1.1, 2.1)
    assert asked.judge(2, {"s": 2.0}, rival).trial.complete, "better on one of its folds"
    late = asked.judge(3, {"s": 3.0}, rival).trial
    assert len(late.losses) == 3, "worse by too little after two folds, by enough after three"


def test_predictions_are_kept_of_a_trial_that_is_better_than_its_rival():
    asked = scripted({0.0: [1, 2, 3, 4], 1.0: [1, 2, 3, 3], 2.0: [1, 2, 3, 4.01]})
    first = asked.judge(0, {"s": 0.0}, None)
    assert first.out_of_fold.tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert asked.judge(1, {"s": 1.0}, first.trial).out_of_fold.tolist() == [1, 1, 2, 2, 3, 3, 3, 3]
    assert asked.judge(2, {"s": 2.0}, first.trial).out_of_fold is None


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
@pytest.mark.parametrize("fold", [0, 3])
def test_a_loss_that_is_not_finite_ends_the_judgement(broken, fold):
    losses = [1.0, 2.0, 3.0, 4.0]
    losses[fold] = broken
    judged = scripted({0.0: losses}).judge(0, {"s": 0.0}, None)
    assert not judged.trial.complete
    assert len(judged.trial.losses) == fold + 1
    assert judged.out_of_fold is None


def test_a_judgement_for_which_nobody_waits_ends_before_the_next_fold():
    asked = scripted({0.0: [1, 2, 3, 4]})
    asked.stop.set()
    with pytest.raises(Stopped):
        asked.judge(0, {"s": 0.0}, None)


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

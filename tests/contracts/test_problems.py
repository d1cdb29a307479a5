"""Every promise of a problem, crossed with every problem."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from lockstep import plugins
from lockstep.metrics import bootstrap_weights

PER_CLASS = {
    "balanced_accuracy": sk.balanced_accuracy_score,
    "f1_macro": lambda y, predicted: sk.f1_score(y, predicted, average="macro", zero_division=0),
}
SCIKIT = {
    "accuracy": lambda y, output, predicted: sk.accuracy_score(y, predicted),
    "f1": lambda y, output, predicted: sk.f1_score(y, predicted),
    "roc_auc": lambda y, output, predicted: sk.roc_auc_score(y, output[:, 1]),
    "average_precision": lambda y, output, predicted: sk.average_precision_score(y, output[:, 1]),
    "brier": lambda y, output, predicted: sk.brier_score_loss(y, output[:, 1]),
    "log_loss": lambda y, output, predicted: sk.log_loss(y, output, labels=range(output.shape[1])),
    "rmse": lambda y, output, predicted: sk.root_mean_squared_error(y, predicted),
    "mae": lambda y, output, predicted: sk.mean_absolute_error(y, predicted),
    "r2": lambda y, output, predicted: sk.r2_score(y, predicted),
} | {name: lambda y, output, predicted, score=score: score(y, predicted) for name, score in PER_CLASS.items()}


@pytest.fixture(scope="module", params=plugins.names("problems"))
def asked(request):
    """A problem with a truth, an output with ties, certainties and mistakes, and the decisions made of it."""
    problem, rng = plugins.load("problems", request.param), np.random.default_rng(6)
    if "number" in problem.KINDS:
        y = 50 + rng.normal(size=300)
        output = y + rng.normal(size=300)
    else:
        n_classes = 2 if request.param == "binary" else 4
        y = rng.choice(n_classes, 300, p=[0.8, 0.2] if n_classes == 2 else [0.5, 0.3, 0.15, 0.05])
        raw = np.round(1.5 * rng.random((300, n_classes)) + np.eye(n_classes)[y], 1) + 0.05
        output = raw / raw.sum(axis=1, keepdims=True)
        output[:3] = np.eye(n_classes)[rng.choice(n_classes, 3)]
        if n_classes == 2:
            output[:, 0] = 1 - output[:, 1]
    return problem, y, output, problem.decide(output, problem.choose(y, output, None))


def test_every_metric_is_the_figure_of_scikit_learn(asked):
    problem, y, output, predicted = asked
    found = problem.metrics(y, output, predicted, np.ones((1, len(y))))
    assert set(found) == set(problem.METRICS)
    for name, value in found.items():
        assert value[0] == pytest.approx(SCIKIT[name](y, output, predicted), rel=1e-9), name


def test_whole_weights_count_like_repeated_rows(asked):
    problem, y, output, predicted = asked
    rare = np.zeros(len(y))
    rare[np.flatnonzero(y == y[10])] = 1  # a resample that lacks every other class
    rare[:12] += 1
    weights = np.vstack([bootstrap_weights(len(y), 5, seed=1), rare])
    found = problem.metrics(y, output, predicted, weights)
    for i, row in enumerate(weights):
        rows = np.repeat(np.arange(len(y)), row.astype(int))
        repeated = problem.metrics(y[rows], output[rows], predicted[rows], np.ones((1, len(rows))))
        for name, values in found.items():
            assert values.shape == (6,)
            assert values[i] == pytest.approx(repeated[name][0], rel=1e-9, nan_ok=True), (name, i)


def test_each_metric_says_truly_whether_more_is_better(asked):
    problem, y, output, predicted = asked
    perfect = y if output.ndim == 1 else np.eye(output.shape[1])[y]
    best = problem.metrics(y, perfect, y, np.ones((1, len(y))))
    worse = problem.metrics(y, output, predicted, np.ones((1, len(y))))
    for name, greater_is_better in problem.METRICS.items():
        assert (best[name][0] > worse[name][0]) == greater_is_better, name


def test_losses_are_one_a_row_never_negative_never_infinite_and_least_for_the_truth(asked):
    problem, y, output, _ = asked
    losses = problem.losses(y, output)
    assert losses.shape == y.shape
    assert np.isfinite(losses).all()
    assert (losses >= 0).all()
    perfect = y if output.ndim == 1 else np.eye(output.shape[1])[y]
    np.testing.assert_allclose(problem.losses(y, perfect), 0, atol=1e-12)
    wrong = 1 - perfect if output.ndim == 2 else y + 1e6
    assert (problem.losses(y, wrong) > losses).all() or output.ndim == 2
    assert np.isfinite(problem.losses(y, wrong)).all()


def test_the_trivial_model_is_the_best_of_constant_answers(asked):
    problem, y, output, _ = asked
    n_classes = 0 if output.ndim == 1 else output.shape[1]
    constant = problem.trivial(y, n_classes)
    loss = problem.losses(y, np.broadcast_to(constant, output.shape)).mean()
    rng = np.random.default_rng(0)
    for _ in range(20):
        other = np.abs(constant + rng.normal(scale=0.05, size=constant.shape))
        other = other / other.sum() if n_classes else other
        assert problem.losses(y, np.broadcast_to(other, output.shape)).mean() >= loss


def test_the_target_becomes_numbers_and_back(asked):
    problem, y, output, _ = asked
    target = pd.Series(y) if output.ndim == 1 else pd.Series(np.array(list("abcd"))[y], dtype="str")
    problem.check_target(target, "y")
    classes = problem.classes(target, ())
    assert problem.encode_target(target, classes).tolist() == y.tolist()
    if classes:
        assert [classes[code] for code in y] == target.tolist()


def test_nothing_given_is_changed(asked):
    problem, y, output, predicted = asked
    given = [y.copy(), output.copy(), predicted.copy()]
    for array in (y, output, predicted):
        array.setflags(write=False)
    problem.metrics(y, output, predicted, np.ones((2, len(y))))
    problem.losses(y, output)
    problem.decide(output, problem.choose(y, output, None))
    for array, before in zip((y, output, predicted), given, strict=True):
        assert array.tobytes() == before.tobytes()

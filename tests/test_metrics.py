import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk
from threadpoolctl import threadpool_limits

from lockstep import metrics


def one(n_rows):
    return np.ones((1, n_rows))


@st.composite
def scored(draw):
    """Draw a truth that holds both classes, and scores with many ties."""
    n_rows = draw(st.integers(2, 40))
    positive = np.array(draw(st.lists(st.booleans(), min_size=n_rows, max_size=n_rows)))
    positive[:2] = [True, False]
    levels = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000000001, 1.0])
    return positive, np.array(draw(st.lists(levels, min_size=n_rows, max_size=n_rows)))


@given(scored())
def test_ranking_metrics_are_those_of_scikit_learn_ties_and_all(drawn):
    positive, score = drawn
    assert metrics.roc_auc(positive, score, one(len(score)))[0] == pytest.approx(sk.roc_auc_score(positive, score))
    assert metrics.average_precision(positive, score, one(len(score)))[0] == pytest.approx(
        sk.average_precision_score(positive, score)
    )


@given(scored())
def test_f1_is_that_of_scikit_learn_and_zero_where_there_is_nothing_to_find(drawn):
    positive, score = drawn
    for predicted in (score > 0.3, np.zeros(len(score), bool), np.ones(len(score), bool)):
        assert metrics.f1(positive, predicted, one(len(score)))[0] == pytest.approx(
            sk.f1_score(positive, predicted, zero_division=0)
        )
    nothing = np.zeros(len(score), bool)
    assert metrics.f1(nothing, nothing, one(len(score)))[0] == 0


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e9, 1e12])
def test_r2_is_that_of_scikit_learn_however_far_the_numbers_are_from_zero(offset):
    rng = np.random.default_rng(0)
    y = offset + rng.normal(size=200)
    predicted = y + rng.normal(scale=0.5, size=200)
    assert metrics.r2(y, predicted, one(200))[0] == pytest.approx(sk.r2_score(y, predicted), rel=1e-3)
    assert metrics.r2(y, np.full(200, y.mean()), one(200))[0] == pytest.approx(0, abs=1e-9)
    assert metrics.r2(y, y, one(200))[0] == 1


def test_whole_weights_count_like_repeated_rows():
    rng = np.random.default_rng(1)
    weights = rng.integers(0, 4, (20, 60)).astype(float)
    y, positive = rng.normal(size=60), rng.random(60) < 0.4
    score, predicted = np.round(rng.random(60), 1), rng.random(60) < 0.5
    for row in weights:
        repeated = np.repeat(np.arange(60), row.astype(int))
        w = row[None]
        pairs = [
            (metrics.mean(y, w), y[repeated].mean()),
            (metrics.roc_auc(positive, score, w), sk.roc_auc_score(positive[repeated], score[repeated])),
            (
                metrics.average_precision(positive, score, w),
                sk.average_precision_score(positive[repeated], score[repeated]),
            ),
            (metrics.f1(positive, predicted, w), sk.f1_score(positive[repeated], predicted[repeated])),
            (metrics.r2(y, y + score, w), sk.r2_score(y[repeated], (y + score)[repeated])),
        ]
        for ours, theirs in pairs:
            assert ours[0] == pytest.approx(theirs)


def test_many_weightings_at_once_are_each_alone():
    rng = np.random.default_rng(2)
    weights = metrics.bootstrap_weights(50, 8, seed=3)
    positive, score = rng.random(50) < 0.5, np.round(rng.random(50), 1)
    for function in (metrics.roc_auc, metrics.average_precision):
        together = function(positive, score, weights)
        assert together.shape == (8,)
        np.testing.assert_allclose(together, [function(positive, score, row[None])[0] for row in weights])


def test_a_resample_of_one_class_has_no_ranking():
    positive = np.array([True, False, True])
    weights = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]])
    assert np.isnan(metrics.roc_auc(positive, np.array([0.1, 0.2, 0.3]), weights)).all()
    assert np.isnan(metrics.average_precision(positive, np.array([0.1, 0.2, 0.3]), weights)).tolist() == [False, True]


def test_a_constant_truth_has_no_r2():
    assert np.isnan(metrics.r2(np.ones(5), np.zeros(5), one(5))[0])


@pytest.mark.parametrize("n_rows", [1, 7, 20_000])
def test_a_resample_draws_as_many_rows_as_there_are(n_rows):
    weights = metrics.bootstrap_weights(n_rows, 60, seed=5)
    assert weights.shape == (60, n_rows)
    assert (weights.sum(axis=1) == n_rows).all()
    assert (weights == np.floor(weights)).all()
    assert weights.min() >= 0


def test_resamples_repeat_by_seed_and_draw_every_row_alike():
    first = metrics.bootstrap_weights(40, 4_000, seed=1)
    assert first.tobytes() == metrics.bootstrap_weights(40, 4_000, seed=1).tobytes()
    assert first.tobytes() != metrics.bootstrap_weights(40, 4_000, seed=2).tobytes()
    np.testing.assert_allclose(first.mean(axis=0), 1, atol=0.08)
    np.testing.assert_allclose(first.var(axis=0), 1 - 1 / 40, atol=0.12)


def test_the_number_of_threads_changes_no_bit():
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=20_000), metrics.bootstrap_weights(20_000, 60, seed=1)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(metrics.mean(values, weights).tobytes())
    assert found[0] == found[1]


def test_a_resample_without_the_highest_score_still_has_its_average_precision():
    positive, score = np.array([False, True, False, True]), np.array([0.9, 0.8, 0.7, 0.6])
    weights = np.array([[0.0, 1, 1, 2], [0, 0, 2, 2], [0, 0, 0, 4]])
    expected = [sk.average_precision_score(positive, score, sample_weight=row) for row in weights]
    np.testing.assert_allclose(metrics.average_precision(positive, score, weights), expected)

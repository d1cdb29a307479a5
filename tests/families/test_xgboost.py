import numpy as np
import pytest

from lockstep.encoder import Part
from lockstep.families import Task, xgboost

PARTS = (Part("a", "a", "number"), Part("b", "b", "number"), Part("c", "c", "category", vocabulary=("p", "q", "r")))


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(900, 2)), rng.integers(0, 3, 900)])
    return X, X[:, 0] + 2 * (X[:, 2] == 1) + rng.normal(size=900)


def fit(X, y, n_classes, valid=None, **settings):
    values = {**xgboost.defaults(n_classes), **({} if valid else {"rounds": 20}), **settings}
    return xgboost.fit(X, y, Task(n_classes, PARTS), values, seed=1, threads=1, valid=valid)


def test_a_number_beyond_float32_is_as_far_as_any_and_can_be_trained_on(table):
    X, y = table
    far = X.copy()
    far[:9, 1] = [1e39, -1e39, 1.7e308, -1.7e308, 3.4e38, 1e300, 5e-324, -5e-324, 0]
    model = fit(far, y, 0)
    assert np.isfinite(model.predict(far)).all()
    ends = model.predict(np.array([[0, 1e39, 0], [0, 3.3e38, 0], [0, 1.7e308, 0], [0, 1e30, 0]]))
    assert ends[0] == ends[1] == ends[2]


def test_a_category_never_seen_is_answered_like_a_missing_one(table):
    X, y = table
    unseen, missing, known = fit(X, y, 0).predict(np.array([[0.0, 0, 3], [0, 0, np.nan], [0, 0, 1]]))
    assert unseen == missing != known


def test_the_rounds_waited_in_vain_are_not_kept(table, tmp_path):
    X, y = table
    valid = (X[600:], y[600:])
    model = fit(X[:600], y[:600], 0, valid, learning_rate=0.2)
    model.save(tmp_path)
    engine = xgboost.load(tmp_path, Task(0, PARTS))
    assert 1 <= model.rounds < 100
    assert (
        engine.predict(X).tobytes()
        == fit(X[:600], y[:600], 0, rounds=model.rounds, learning_rate=0.2).predict(X).tobytes()
    )
    losses = {
        rounds: np.mean((fit(X[:600], y[:600], 0, rounds=rounds, learning_rate=0.2).predict(valid[0]) - valid[1]) ** 2)
        for rounds in range(max(1, model.rounds - 4), model.rounds + 5)
    }
    assert min(losses, key=losses.get) == model.rounds


def test_answers_are_float32_widened(table):
    X, y = table
    answers = fit(X, y, 0).predict(X)
    assert answers.dtype == np.float64
    np.testing.assert_array_equal(answers, answers.astype(np.float32).astype(np.float64))


def test_a_category_never_seen_is_explained_like_a_missing_one(table):
    X, y = table
    unseen, missing, known = fit(X, y, 0).contributions(np.array([[0.0, 0, 3], [0, 0, np.nan], [0, 0, 1]])).values
    assert unseen.tobytes() == missing.tobytes() != known.tobytes()
    assert known[2] > missing[2], "to the target the middle code adds two"


def test_codes_are_explained_as_codes_and_not_as_numbers(table):
    """Along its numbers the middle code would stand between the others."""
    X, y = table
    low, middle, high = fit(X, y, 0).contributions(np.array([[0.0, 0, code] for code in range(3)])).values[:, 2, 0]
    assert middle > max(low, high) + 1

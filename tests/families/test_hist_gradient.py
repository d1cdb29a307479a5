import numpy as np
import pytest

from lockstep.encoder import Part
from lockstep.families import Task, hist_gradient

PARTS = (Part("a", "a", "number"), Part("c", "c", "category", vocabulary=("p", "q", "r")))


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=900), rng.integers(0, 3, 900)]).astype(float)
    X[rng.random(900) < 0.1, 1] = np.nan
    signal = X[:, 0] + np.where(np.isnan(X[:, 1]), 2, X[:, 1]) + rng.normal(size=900)
    return X, signal


def fit(X, y, n_classes, valid=None, **settings):
    values = {**hist_gradient.defaults(n_classes), **({} if valid else {"rounds": 20}), **settings}
    return hist_gradient.fit(X, y, Task(n_classes, PARTS), values, seed=1, threads=1, valid=valid)


@pytest.mark.parametrize(("n_classes", "bound"), [(0, 1e-12), (2, 1e-12), (3, 1e-6)])
def test_treelite_answers_like_scikit_learn_as_close_as_the_file_states(table, tmp_path, n_classes, bound):
    X, signal = table
    y = np.digitize(signal, [0.5, 2.0][: n_classes - 1]) if n_classes else signal
    model = fit(X, y, n_classes)
    model.save(tmp_path)
    engine = hist_gradient.load(tmp_path, Task(n_classes, PARTS))
    rows = np.vstack([X, [[np.nan, 3], [1e300, np.nan], [-1e300, 3]]])
    assert np.abs(engine.predict(rows) - model.predict(rows)).max() <= bound <= hist_gradient.TOLERANCE


def test_a_category_never_seen_is_answered_like_a_missing_one(table, tmp_path):
    X, signal = table
    fit(X, signal, 0).save(tmp_path)
    engine = hist_gradient.load(tmp_path, Task(0, PARTS))
    unseen, missing, known = engine.predict(np.array([[0.0, 3], [0, np.nan], [0, 1]]))
    assert unseen == missing != known


def test_the_rounds_waited_in_vain_are_not_kept(table):
    X, signal = table
    valid = (X[600:], signal[600:])
    model = fit(X[:600], signal[:600], 0, valid, learning_rate=0.3)
    assert 1 <= model.rounds < hist_gradient.PATIENCE
    losses = {
        rounds: np.mean(
            (fit(X[:600], signal[:600], 0, rounds=rounds, learning_rate=0.3).predict(valid[0]) - valid[1]) ** 2
        )
        for rounds in range(1, model.rounds + 6)
    }
    assert min(losses, key=losses.get) == model.rounds


def test_where_no_round_helps_one_is_kept(table):
    X, signal = table
    model = fit(X[:600], signal[:600], 0, (X[600:], -10 * signal[600:]), learning_rate=0.3)
    assert model.rounds == 1
    assert len(np.unique(model.predict(X))) > 1


def test_a_category_never_seen_is_explained_like_a_missing_one(table, tmp_path):
    X, signal = table
    fit(X, signal, 0).save(tmp_path)
    engine = hist_gradient.load(tmp_path, Task(0, PARTS))
    unseen, missing, known = engine.contributions(np.array([[0.0, 3], [0, np.nan], [0, 1]])).values
    assert unseen.tobytes() == missing.tobytes() != known.tobytes()


def test_the_trees_are_taken_apart_at_the_first_explanation_alone(table, tmp_path):
    X, signal = table
    fit(X, signal, 0).save(tmp_path)
    engine = hist_gradient.load(tmp_path, Task(0, PARTS))
    engine.predict(X)
    assert "_shap" not in vars(engine)
    engine.contributions(X[:1])
    assert vars(engine)["_shap"] is engine._shap


def test_a_model_without_a_split_on_a_category_is_explained_too(table, tmp_path):
    X, signal = table
    numbers = Task(0, (PARTS[0], Part("b", "b", "number")))
    settings = {**hist_gradient.defaults(0), "rounds": 5}
    hist_gradient.fit(X, signal, numbers, settings, seed=1, threads=1).save(tmp_path)
    found = hist_gradient.load(tmp_path, numbers).contributions(X[:50])
    assert found.gap < hist_gradient.EXPLAINED
    assert np.ptp(found.values, axis=0).min() > 0

import zipfile

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from lockstep.encoder import Part
from lockstep.errors import IntegrityError
from lockstep.families import Task, linear

NUMBERS = (Part("a", "a", "number"), Part("b", "b", "number"))
WORD = Part("c", "c", "category", vocabulary=("p", "q"))


def fit(X, y, n_classes, parts=NUMBERS, **settings):
    return linear.fit(X, y, Task(n_classes, parts), {**linear.defaults(n_classes), **settings}, seed=1, threads=1)


@pytest.fixture(scope="module")
def numbers():
    return np.random.default_rng(0).normal(loc=[5, -300], scale=[2, 50], size=(400, 2))


def test_regression_is_ridge_on_standardised_numbers(numbers):
    y = 7 + numbers @ [3, 0.1] + np.random.default_rng(1).normal(size=400)
    z = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)
    expected = Ridge(alpha=0.01 * 400).fit(z, y).predict(z)
    np.testing.assert_allclose(fit(numbers, y, 0, strength=0.01).predict(numbers), expected, rtol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_are_logistic_regression_on_standardised_numbers(numbers, n_classes):
    z = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)
    y = np.digitize(z[:, 0] + np.random.default_rng(2).normal(scale=0.5, size=400), [-0.5, 0.5][: n_classes - 1])
    expected = LogisticRegression(C=1 / (0.01 * 400), tol=1e-8, max_iter=1_000).fit(z, y).predict_proba(z)
    np.testing.assert_allclose(fit(numbers, y, n_classes, strength=0.01).predict(numbers), expected, atol=1e-4)


def test_the_numbers_own_scale_does_not_matter(numbers):
    y = numbers @ [3, 0.1]
    np.testing.assert_allclose(
        fit(numbers, y, 0).predict(numbers), fit(numbers * [1e6, 1e-6], y, 0).predict(numbers * [1e6, 1e-6]), rtol=1e-6
    )


def test_a_missing_number_takes_the_median_and_a_weight_of_its_own(numbers):
    X = numbers.copy()
    X[::2, 0] = np.nan
    y = np.where(np.isnan(X[:, 0]), 50.0, 0.0) + 0.01 * X[:, 1]
    model = fit(X, y, 0, strength=1e-6)
    np.testing.assert_allclose(model.predict(X), y, atol=0.1)


def test_knots_bend_a_line(numbers):
    y = np.abs(numbers[:, 0] - 5)
    straight, bent = (np.abs(fit(numbers, y, 0, knots=knots).predict(numbers) - y).mean() for knots in (0, 8))
    assert bent < straight / 5


def test_a_category_never_seen_adds_nothing_and_a_missing_one_has_its_own_weight():
    rng = np.random.default_rng(3)
    codes = rng.choice([0.0, 1.0, np.nan], 600)
    y = np.select([codes == 0, codes == 1], [10.0, 20.0], 60.0)
    model = fit(codes[:, None], y, 0, (WORD,), strength=1e-6)
    np.testing.assert_allclose(model.predict(np.array([[0.0], [1.0], [np.nan]])), [10, 20, 60], atol=0.1)
    intercept = model.predict(np.array([[2.0]]))[0]
    assert 10 < intercept < 60
    assert intercept not in y


def test_other_categories_that_training_saw_have_a_weight():
    codes = np.random.default_rng(3).choice([0.0, 1.0, 2.0], 600)
    other = Part("c", "c", "category", vocabulary=("p", "q"), other_seen=True)
    model = fit(codes[:, None], codes * 10, 0, (other,), strength=1e-6)
    assert model.predict(np.array([[2.0]]))[0] == pytest.approx(20, abs=0.1)


def test_a_number_far_from_a_column_of_tiny_spread_is_answered_with_a_finite_number(numbers):
    tiny = np.column_stack([numbers[:, 0], np.where(numbers[:, 1] > -300, 1e-160, 3e-160)])
    for n_classes, cuts in ((0, None), (2, [5]), (3, [4, 6])):
        y = numbers[:, 0] if cuts is None else np.digitize(numbers[:, 0], cuts)
        model = fit(tiny, y, n_classes, knots=4)
        assert np.isfinite(model.predict(np.array([[5.0, 1.7e308], [5.0, -1.7e308], [1e308, 1e308]]))).all()


@pytest.fixture(scope="module")
def mixed():
    """Return a matrix of two numbers and a category, gaps in each, and a target of several classes."""
    rng = np.random.default_rng(4)
    X = np.column_stack([rng.normal([5, -300], [2, 50], size=(400, 2)), rng.integers(0, 2, 400)])
    X[rng.random(X.shape) < 0.1] = np.nan
    return X, np.digitize(np.nan_to_num(X[:, 0]) + 3 * np.nan_to_num(X[:, 2], nan=2), [4, 8])


def test_a_changed_column_changes_its_own_contribution_by_what_the_score_changes(mixed):
    X, y = mixed
    model = fit(X, y, 3, (*NUMBERS, WORD), knots=4)
    before = model.contributions(X)
    for j, cells in enumerate([(1e3, np.nan, 5.5), (-1e3, np.nan, 0), (0, 1, 2, np.nan)]):
        for cell in cells:
            other = X.copy()
            other[:, j] = cell
            after = model.contributions(other)
            change = after.values - before.values
            np.testing.assert_allclose(
                change[:, j], after.raw - before.raw, rtol=0, atol=1e-12 * np.abs(after.raw).max()
            )
            assert (np.delete(change, j, axis=1) == 0).all()
            assert (change[:, j] != 0).any()


def test_contributions_are_what_exceeds_the_mean_of_the_training_rows(mixed):
    X, y = mixed
    found = fit(X, y, 3, (*NUMBERS, WORD), knots=4).contributions(X)
    np.testing.assert_allclose(found.values.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(found.base, found.raw.mean(axis=0), atol=1e-12)


def test_one_number_contributes_its_slope_times_its_distance_from_the_mean(numbers):
    model = fit(numbers, numbers @ [3, 0.1], 0, strength=1e-9)
    found = model.contributions(numbers).values[:, :, 0]
    np.testing.assert_allclose(found, (numbers - numbers.mean(axis=0)) * [3, 0.1], atol=1e-5)


def test_a_file_from_before_explanations_still_answers_and_says_what_it_lacks(numbers, tmp_path):
    fit(numbers, numbers[:, 0], 0).save(tmp_path)
    with np.load(tmp_path / linear.FILE) as arrays:
        np.savez(tmp_path / linear.FILE, **{name: arrays[name] for name in arrays.files if name != "means"})
    old = linear.load(tmp_path, Task(0, NUMBERS))
    assert np.isfinite(old.predict(numbers)).all()
    with pytest.raises(IntegrityError, match="holds no means, so it was fitted before it could be explained"):
        old.contributions(numbers)


def test_rows_beyond_a_chunk_are_answered_like_any_other(numbers):
    X = np.tile(numbers, (26, 1))
    assert len(X) > linear.CHUNK_ROWS
    model = fit(np.column_stack([X, X[:, 0] > 5]), X @ [3, 0.1], 0, (*NUMBERS, WORD), knots=4)
    few = np.column_stack([numbers, numbers[:, 0] > 5])
    assert model.predict(np.tile(few, (26, 1))).tobytes() == np.tile(model.predict(few), 26).tobytes()


def test_the_file_holds_plain_arrays_under_a_fixed_date(numbers, tmp_path):
    fit(numbers, numbers[:, 0], 0).save(tmp_path)
    with zipfile.ZipFile(tmp_path / linear.FILE) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    with np.load(tmp_path / linear.FILE, allow_pickle=False) as arrays:
        assert all(arrays[name].dtype == np.float64 for name in arrays.files)


def test_a_file_that_holds_a_pickle_is_refused(tmp_path):
    np.savez(tmp_path / linear.FILE, center=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        linear.load(tmp_path, Task(0, NUMBERS))

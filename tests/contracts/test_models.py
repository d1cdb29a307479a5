"""Every promise of a model, crossed with every family and every problem."""

import numpy as np
import pytest

from lockstep.encoder import Part
from lockstep.errors import IntegrityError
from lockstep.families import Task, largest_difference

EXTREMES = (1.7976931348623157e308, -1.7976931348623157e308, 1e39, -1e39, 5e-324, -5e-324, 0.0, -0.0, np.nan)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def loss(case, output, rows=slice(None)):
    return float(np.mean(case.problem.losses(case.y_test[rows], output)))


def test_the_same_seed_writes_the_same_bytes_whatever_the_number_of_threads(case, tmp_path):
    written = []
    for i, threads in enumerate((1, 1, 2)):
        folder = tmp_path / str(i)
        folder.mkdir()
        case.fit(threads=threads, rounds=4).save(folder)
        written.append(content(folder))
    assert written[0] == written[1], "two fits differ"
    assert written[0] == written[2], "one thread and two differ"
    assert written[0]


def test_the_engine_equals_the_estimator_within_the_bound_of_its_family(learned):
    case = learned.case
    assert np.isnan(case.X_test).any()
    assert (case.X_test[:, -2] == 3).any()
    expected = learned.fitted.predict(case.X_test)
    assert largest_difference(learned.engine, learned.fitted, case.X_test) <= case.family.TOLERANCE * max(
        1.0, np.abs(expected).max()
    )
    assert len(np.unique(expected)) > 100


def test_an_output_has_the_shape_of_its_task_and_probabilities_sum_to_one(learned):
    output, n_classes = learned.engine.predict(learned.case.X_test), learned.case.task.n_classes
    assert output.dtype == np.float64
    assert output.shape == ((2_000, n_classes) if n_classes else (2_000,))
    if n_classes:
        assert ((output >= 0) & (output <= 1)).all()
        np.testing.assert_allclose(output.sum(axis=1), 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1_000])
def test_a_row_is_answered_the_same_in_any_batch_to_the_last_bit(learned, size):
    X = learned.case.X_test[: 200 if size < 7 else 2_000]
    batches = [learned.engine.predict(X[i : i + size]) for i in range(0, len(X), size)]
    assert np.concatenate(batches).tobytes() == learned.engine.predict(X).tobytes()


def test_the_layout_of_the_matrix_in_memory_does_not_matter(learned):
    X = learned.case.X_test[:500]
    expected = learned.engine.predict(X).tobytes()
    spread = np.full((1_000, 2 * X.shape[1]), 7.0)
    spread[::2, ::2] = X
    read_only = np.frombuffer(X.tobytes()).reshape(X.shape)
    for other in (np.asfortranarray(X), spread[::2, ::2], X[::-1].copy()[::-1], read_only):
        assert learned.engine.predict(other).tobytes() == expected
    one = np.asfortranarray(X)[3:4]
    assert learned.engine.predict(one).tobytes() == learned.engine.predict(X)[3:4].tobytes()


def test_no_rows_give_an_output_of_no_rows(learned):
    n_classes = learned.case.task.n_classes
    assert learned.engine.predict(learned.case.X_test[:0]).shape == ((0, n_classes) if n_classes else (0,))


def test_every_finite_number_is_answered_with_finite_numbers(learned):
    X = np.repeat(learned.case.X_test[:1], len(EXTREMES) * 5, axis=0)
    for j in range(5):
        X[j * len(EXTREMES) : (j + 1) * len(EXTREMES), j] = EXTREMES
    assert np.isfinite(learned.engine.predict(X)).all()
    assert np.isfinite(learned.engine.predict(np.full((1, X.shape[1]), np.nan))).all()
    tolerance = learned.case.family.TOLERANCE * max(1.0, np.abs(learned.fitted.predict(X)).max())
    assert largest_difference(learned.engine, learned.fitted, X) <= tolerance


@pytest.mark.parametrize("of", ["engine", "fitted"])
def test_another_count_of_columns_is_refused(learned, of):
    X, model = learned.case.X_test[:3], getattr(learned, of)
    for other in (X[:, :-1], np.column_stack([X, X[:, 0]]), X[0], X[:, :0]):
        with pytest.raises(IntegrityError, match=r"^the matrix must have 7 columns; got shape "):
            model.predict(other)


@pytest.mark.parametrize("of", ["engine", "fitted"])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinity_is_refused(learned, of, value):
    X = learned.case.X_test[:3].copy()
    X[1, 2] = value
    with pytest.raises(IntegrityError, match="must be finite or NaN"):
        getattr(learned, of).predict(X)


@pytest.mark.parametrize("code", [-1.0, 0.5, 4.0, 1e9])
def test_a_broken_code_of_a_category_is_refused(learned, code):
    X = learned.case.X_test[:3].copy()
    X[1, 5] = code
    with pytest.raises(IntegrityError, match="codes of categories must be whole numbers of the vocabulary"):
        learned.engine.predict(X)


def test_fitting_and_predicting_change_nothing_of_their_inputs(case, tmp_path):
    before = [array.copy() for array in (case.X, case.y, case.X_test, case.y_test)]
    for array in (case.X, case.y, case.X_test, case.y_test):
        array.setflags(write=False)
    case.fit(valid=True).save(tmp_path)
    case.family.load(tmp_path, case.task).predict(case.X_test)
    for array, old in zip((case.X, case.y, case.X_test, case.y_test), before, strict=True):
        assert array.tobytes() == old.tobytes()


def test_a_learnable_task_is_learned_better_than_by_the_trivial_baseline(learned):
    case = learned.case
    judged = slice(600, None)  # the rest stopped the rounds
    trivial = np.broadcast_to(
        case.problem.trivial(case.y, case.task.n_classes),
        case.X_test[judged].shape[:1] + ((case.task.n_classes,) if case.task.n_classes else ()),
    )
    assert loss(case, learned.engine.predict(case.X_test[judged]), judged) < 0.6 * loss(case, trivial, judged)


def test_the_rounds_of_early_stopping_are_those_that_are_served(learned, tmp_path):
    case, rounds = learned.case, learned.fitted.rounds
    if rounds is None:
        assert case.fit().rounds is None
        return
    stated = case.fit(rounds=rounds)
    assert stated.rounds == rounds
    stated.save(tmp_path)
    assert content(tmp_path) == content(learned.folder)
    valid = slice(0, 600)
    least = loss(case, learned.engine.predict(case.X_test[valid]), valid)
    for other in (rounds - 2, rounds + 2, rounds + 25):
        assert least <= loss(case, case.fit(rounds=other).predict(case.X_test[valid]), valid) * (1 + 1e-6), other


def test_another_seed_is_used(case):
    family = case.family
    settings = {**case.defaults, "rounds": 12}
    first, second = (family.fit(case.X, case.y, case.task, settings, seed=seed, threads=1) for seed in (1, 2))
    same = first.predict(case.X_test).tobytes() == second.predict(case.X_test).tobytes()
    assert same == (first.rounds is None), "boosting draws rows or columns, a linear model draws nothing"


def test_the_space_covers_the_defaults_and_what_it_draws_can_be_fitted(case):
    import optuna

    space = case.family.space(case.task.n_classes)
    assert set(space) == set(case.defaults)
    for name, value in case.defaults.items():
        assert space[name]._contains(space[name].to_internal_repr(value)), name
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(sampler=sampler)
    for _ in range(2):
        drawn = study.ask(fixed_distributions=dict(space)).params
        assert np.isfinite(case.fit(**{**drawn, "rounds": 3}).predict(case.X_test)).all()


def number(name):
    return Part(name, name, "number")


def category(name, *vocabulary, other_seen=False):
    return Part(name, name, "category", vocabulary=vocabulary, other_seen=other_seen)


@pytest.mark.parametrize(
    ("parts", "make"),
    [
        ((number("a"),), lambda x, rng: [x]),
        ((category("c", "p", "q", "r"),), lambda x, rng: [np.digitize(x, [-0.5, 0.5])]),
        ((number("a"), number("b")), lambda x, rng: [x, np.full(len(x), np.nan)]),
        ((number("a"), category("c")), lambda x, rng: [x, np.full(len(x), np.nan)]),
        ((number("a"), number("b"), category("c", "p")), lambda x, rng: [x, np.ones(len(x)), np.zeros(len(x))]),
        ((number("a"), number("b")), lambda x, rng: [x, rng.choice([1e300, -1e300, 5e-324, 1e39], len(x))]),
        ((number("a"), number("b")), lambda x, rng: [x, np.where(np.arange(len(x)) == 7, 1.7e308, x)]),
    ],
    ids=["one number", "one category", "an empty number", "an empty category", "constants", "extremes", "one outlier"],
)
def test_odd_tables_are_learned_and_served(case, tmp_path, parts, make):
    rng = np.random.default_rng(0)
    x = rng.normal(size=240)
    X = np.column_stack(make(x, rng)).astype(float)
    y = 3 * x if case.task.n_classes == 0 else np.digitize(x, [-0.4, 0.4][: case.task.n_classes - 1])
    task = Task(case.task.n_classes, parts)
    fitted = case.family.fit(X, y, task, {**case.defaults, "rounds": 8}, seed=1, threads=1)
    fitted.save(tmp_path)
    engine = case.family.load(tmp_path, task)
    output = engine.predict(X)
    assert np.isfinite(output).all()
    assert largest_difference(engine, fitted, X) <= case.family.TOLERANCE * max(1, np.abs(output).max())
    assert np.mean(case.problem.losses(y, output)) < np.mean(
        case.problem.losses(y, np.broadcast_to(case.problem.trivial(y, case.task.n_classes), output.shape))
    )
    answers = [engine.predict(X[i : i + 1]) for i in range(20)]
    assert np.concatenate(answers).tobytes() == output[:20].tobytes()

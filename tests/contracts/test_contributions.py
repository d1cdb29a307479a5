"""What each family says of why: complete, of the row alone, and of the score that was answered."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lockstep.errors import IntegrityError

COLUMNS = ("strong", "holey", "curved", "noise", "flag", "seen", "rare")
EXTREMES = (1.7976931348623157e308, -1.7976931348623157e308, 1e39, -1e39, 5e-324, -5e-324, 0.0, -0.0, np.nan)


def linked(raw, n_classes):
    """Return what an engine answers for raw scores."""
    if n_classes == 0:
        return raw[:, 0]
    if n_classes == 2:
        positive = 1 / (1 + np.exp(-raw[:, 0]))
        return np.column_stack([1 - positive, positive])
    raised = np.exp(raw - raw.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


@pytest.fixture(scope="session")
def found(learned):
    return learned.engine.contributions(learned.case.X_test)


def test_base_and_contributions_sum_to_the_raw_score(learned, found):
    task, X = learned.case.task, learned.case.X_test
    assert found.values.shape == (len(X), len(task.parts), task.n_outputs)
    assert (found.base.shape, found.raw.shape) == ((task.n_outputs,), (len(X), task.n_outputs))
    assert np.isnan(X).any()
    assert (X[:, COLUMNS.index("seen")] == 3).any(), "a code that training never saw"
    assert found.gap <= 1e-6
    assert found.gap <= learned.case.family.EXPLAINED <= 1e-4
    sums = found.base + found.values.sum(axis=1)
    np.testing.assert_allclose(sums, found.raw, rtol=1e-5, atol=1e-5 * np.abs(found.raw).max())
    assert len(np.unique(found.raw)) > 100


def test_the_raw_score_is_the_one_behind_the_answer(learned, found):
    answered = learned.engine.predict(learned.case.X_test)
    np.testing.assert_allclose(
        linked(found.raw, learned.case.task.n_classes), answered, rtol=0, atol=2e-7 * abs(answered).max()
    )


def test_what_matters_is_named_by_its_column(learned, found):
    sizes = np.abs(found.values).mean(axis=(0, 2))
    assert COLUMNS[int(np.argmax(sizes))] == "strong"
    assert sizes[COLUMNS.index("noise")] < 0.2 * sizes[COLUMNS.index("strong")]
    highest = found.values[:, 0, -1]  # of the last class, or of the number, "strong" pulls up
    assert np.corrcoef(highest, learned.case.X_test[:, 0])[0, 1] > 0.8


def test_a_missing_value_is_explained_as_it_is_answered(learned, found):
    """To the signal a gap in "holey" counts as -1, so it pulls down."""
    missing = np.isnan(learned.case.X_test[:, 1])
    assert found.values[missing, 1, -1].mean() < found.values[~missing, 1, -1].mean() - 0.1


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_a_row_is_explained_the_same_in_any_batch_to_the_last_bit(learned, found, size):
    X = learned.case.X_test[:128]
    parts = [learned.engine.contributions(X[i : i + size]) for i in range(0, len(X), size)]
    assert np.concatenate([part.values for part in parts]).tobytes() == found.values[:128].tobytes()
    assert np.concatenate([part.raw for part in parts]).tobytes() == found.raw[:128].tobytes()
    assert {part.base.tobytes() for part in parts} == {found.base.tobytes()}


def test_rows_are_explained_the_same_by_several_threads(learned, found):
    X = learned.case.X_test[:64]
    fresh = learned.case.family.load(learned.folder, learned.case.task)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda i: fresh.contributions(X[i : i + 1]).values, range(len(X))))
    assert np.concatenate(parts).tobytes() == found.values[:64].tobytes()


def test_the_layout_of_the_matrix_in_memory_does_not_matter_to_why(learned, found):
    X = learned.case.X_test[:40]
    spread = np.full((80, 2 * X.shape[1]), 7.0)
    spread[::2, ::2] = X
    for other in (np.asfortranarray(X), spread[::2, ::2], np.frombuffer(X.tobytes()).reshape(X.shape)):
        before = other.copy()
        assert learned.engine.contributions(other).values.tobytes() == found.values[:40].tobytes()
        assert other.tobytes() == before.tobytes()


def test_explaining_changes_no_answer(learned):
    fresh, X = learned.case.family.load(learned.folder, learned.case.task), learned.case.X_test[:50]
    before = fresh.predict(X).tobytes()
    fresh.contributions(X)
    assert fresh.predict(X).tobytes() == before


def test_no_rows_have_no_reasons(learned, found):
    none = learned.engine.contributions(learned.case.X_test[:0])
    assert none.values.shape == (0, *found.values.shape[1:])
    assert none.base.tobytes() == found.base.tobytes()
    assert none.gap == 0


def test_every_finite_number_is_explained(learned):
    X = np.repeat(learned.case.X_test[:1], len(EXTREMES) * 5, axis=0)
    for j in range(5):
        X[j * len(EXTREMES) : (j + 1) * len(EXTREMES), j] = EXTREMES
    found = learned.engine.contributions(np.vstack([X, np.full((1, X.shape[1]), np.nan)]))
    assert np.isfinite(found.values).all()
    assert found.gap <= learned.case.family.EXPLAINED


def test_what_cannot_be_answered_cannot_be_explained(learned):
    X = learned.case.X_test[:3].copy()
    with pytest.raises(IntegrityError, match=r"^the matrix must have 7 columns; got shape "):
        learned.engine.contributions(X[:, :-1])
    X[1, 2] = np.inf
    with pytest.raises(IntegrityError, match="must be finite or NaN"):
        learned.engine.contributions(X)

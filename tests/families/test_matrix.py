import numpy as np
import pytest

from lockstep.encoder import Part
from lockstep.errors import IntegrityError
from lockstep.families import Task, check_matrix, two_columns, without_unseen

TASK = Task(
    3,
    (
        Part("n", "n", "number"),
        Part("f", "f", "feature"),
        Part("c", "c", "category", vocabulary=("a", "b")),
        Part("d", "d", "date", part="days"),
        Part("o", "o", "category", vocabulary=("a",), other_seen=True),
    ),
)


def test_codes_that_training_never_saw_become_missing_and_others_stay():
    X = np.array([[9.0, 9, 2, 9, 1], [9, 9, 1, 9, 0], [9, 9, np.nan, 9, np.nan]])
    before = X.copy()
    found = without_unseen(X, TASK)
    np.testing.assert_array_equal(found, [[9, 9, np.nan, 9, 1], [9, 9, 1, 9, 0], [9, 9, np.nan, 9, np.nan]])
    np.testing.assert_array_equal(X, before)


def test_a_good_matrix_passes_as_it_is():
    X = np.array([[1e308, np.nan, 2, -5.5, 1], [np.nan] * 5])
    assert check_matrix(X, TASK) is X
    assert check_matrix(X[:0], TASK).shape == (0, 5)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, np.inf, "must be finite or NaN"),
        (2, -np.inf, "must be finite or NaN"),
        (2, 3.0, "codes of categories"),
        (2, 0.5, "codes of categories"),
        (2, -1.0, "codes of categories"),
        (4, 2.0, "codes of categories"),
    ],
)
def test_what_an_engine_would_answer_wrongly_is_refused(column, value, message):
    X = np.zeros((3, 5))
    X[2, column] = value
    with pytest.raises(IntegrityError, match=message):
        check_matrix(X, TASK)


def test_a_task_knows_its_columns_and_outputs():
    assert TASK.categorical == [False, False, True, False, True]
    assert [Task(n, TASK.parts).n_outputs for n in (0, 2, 3, 7)] == [1, 1, 3, 7]
    columns, largest = TASK.codes
    assert (columns.tolist(), largest.tolist()) == ([2, 4], [2, 1])


def test_two_columns_are_the_chances_of_both_classes():
    np.testing.assert_array_equal(two_columns(np.array([0.0, 0.25, 1.0])), [[1, 0], [0.75, 0.25], [0, 1]])

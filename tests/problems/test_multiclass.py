import numpy as np
import pandas as pd
import pytest

from lockstep.errors import FitError
from lockstep.params import Cost
from lockstep.problems import multiclass


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a"] * 3, "must take more than one value"),
        (["a", "a", "b", "c"], r"at least 2 rows; \['b', 'c'\] have one\. Drop or merge them, or add rows\.$"),
        ([f"{i}" for i in range(101)] * 2, r"may have at most 100 classes; found 101\. Is it a number "),
    ],
)
def test_a_target_without_classes_to_learn_is_refused(values, message):
    with pytest.raises(FitError, match=message):
        multiclass.check_target(pd.Series(values, dtype="str"), "y")


def test_classes_are_alphabetical_unless_stated_and_missing_ones_are_no_class():
    target = pd.Series(["b", "a", None, "c"], dtype="str")
    assert multiclass.classes(target, ()) == ("a", "b", "c")
    assert multiclass.classes(target, ("c", "b", "a", "never")) == ("c", "b", "a", "never")
    with pytest.raises(FitError, match=r"^the target holds classes \['c'\] that the contract's 'classes' \['a', 'b'\]"):
        multiclass.classes(target, ("a", "b"))


def test_the_most_probable_class_is_taken_the_first_of_equals():
    assert multiclass.decide(np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]]), {}).tolist() == [1, 0]


def test_costs_of_two_mistakes_are_refused():
    with pytest.raises(FitError, match=r"^params\.yaml: evaluate\.cost is for problem 'binary'; remove it\.$"):
        multiclass.choose(np.array([0, 1]), np.eye(2), Cost(false_positive=1, false_negative=1))
    assert multiclass.choose(np.array([0, 1]), np.eye(2), None) == {}


def test_a_class_absent_from_a_resample_counts_neither_way():
    y, predicted = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 2])
    output = np.eye(3)[predicted] * 0.7 + 0.1
    weights = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 5.0]])
    found = multiclass.metrics(y, output, predicted, weights)
    np.testing.assert_allclose(found["balanced_accuracy"], [0.75, 2.5 / 3, 1])
    np.testing.assert_allclose(found["f1_macro"], [(2 / 3 + 0.8) / 2, (2 / 3 + 0.8 + 1) / 3, 1])

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.errors import FitError
from lockstep.params import Cost
from lockstep.problems import binary

LEVELS = [
    0.0,
    5e-324,
    1e-300,
    0.25,
    0.5,
    float(np.nextafter(0.5, 1)),
    float(np.nextafter(0.5, 0)),
    0.75,
    float(np.nextafter(1, 0)),
    1.0,
]


@st.composite
def outputs(draw):
    """Draw a truth and probabilities of the positive class, ties and neighbouring floats among them."""
    n_rows = draw(st.integers(1, 25))
    y = np.array(draw(st.lists(st.integers(0, 1), min_size=n_rows, max_size=n_rows)))
    chances = st.sampled_from(LEVELS) | st.floats(0, 1)
    score = np.array(draw(st.lists(chances, min_size=n_rows, max_size=n_rows)))
    return y, np.column_stack([1 - score, score])


def cuts(y, output):
    """Return the decisions of every possible threshold: none, and all at or above each score."""
    score = output[:, 1]
    return [np.zeros(len(y), int), *((score >= level).astype(int) for level in np.unique(score))]


def f1(y, predicted):
    both = (y == 1).sum() + (predicted == 1).sum()
    return 2 * ((y == 1) & (predicted == 1)).sum() / both if both else 0.0


def total(y, predicted, cost):
    return (
        cost.false_positive * ((y == 0) & (predicted == 1)).sum()
        + cost.false_negative * ((y == 1) & (predicted == 0)).sum()
    )


@given(outputs())
def test_without_costs_no_other_threshold_has_a_better_f1(drawn):
    y, output = drawn
    predicted = binary.decide(output, binary.choose(y, output, None))
    assert f1(y, predicted) == pytest.approx(max(f1(y, other) for other in cuts(y, output)), abs=1e-12)


@given(outputs(), st.sampled_from([(1, 1), (1, 10), (10, 1), (0.5, 0.75), (1e-6, 1e6)]))
def test_with_costs_no_other_threshold_costs_less(drawn, costs):
    y, output = drawn
    cost = Cost(false_positive=costs[0], false_negative=costs[1])
    predicted = binary.decide(output, binary.choose(y, output, cost))
    least = min(total(y, other, cost) for other in cuts(y, output))
    assert total(y, predicted, cost) == pytest.approx(least, rel=1e-12)


@given(outputs(), st.sampled_from([None, Cost(false_positive=1, false_negative=3)]))
def test_rows_of_equal_probability_are_decided_alike_and_higher_ones_never_lower(drawn, cost):
    y, output = drawn
    predicted = binary.decide(output, binary.choose(y, output, cost))
    order = np.argsort(output[:, 1], kind="stable")
    assert (np.diff(predicted[order]) >= 0).all()
    for level in np.unique(output[:, 1]):
        assert len(set(predicted[output[:, 1] == level])) == 1


def test_the_threshold_stands_between_the_scores_that_it_parts():
    y = np.array([0, 0, 1, 1])
    output = np.column_stack([1 - np.array([0.1, 0.2, 0.6, 0.9]), [0.1, 0.2, 0.6, 0.9]])
    assert binary.choose(y, output, None) == {"threshold": pytest.approx(0.4)}


def test_where_any_positive_answer_costs_more_than_none_nothing_is_positive():
    y = np.array([0, 0, 0, 1])
    output = np.column_stack([np.zeros(4), [1.0, 1.0, 1.0, 0.2]])
    decision = binary.choose(y, output, Cost(false_positive=5, false_negative=1))
    assert binary.decide(output, decision).tolist() == [0, 0, 0, 0]


def test_a_row_at_the_threshold_is_positive():
    assert binary.decide(np.array([[0.5, 0.5], [0.6, 0.4]]), {"threshold": 0.5}).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a"] * 5, r"^target 'y' must take more than one value; all 5 rows hold \['a'\]\.$"),
        (["a", "a", "b"], r"^each class of target 'y' must have at least 2 rows; \['b'\] has one"),
        (
            ["a", "a", "b", "b", "c", "c"],
            r"^target 'y' must have two classes for problem 'binary'; found 3: \['a', 'b', 'c'\]\. Set",
        ),
        ([None, None], "must take more than one value; all 2 rows hold"),
    ],
)
def test_a_target_that_is_not_of_two_classes_is_refused_with_what_was_found(values, message):
    with pytest.raises(FitError, match=message):
        binary.check_target(pd.Series(values, dtype="str"), "y")


def test_the_positive_class_is_the_last_stated_else_the_last_of_the_alphabet():
    target = pd.Series(["no", "yes", "no", "yes"], dtype="str")
    binary.check_target(target, "y")
    assert binary.classes(target, ()) == ("no", "yes")
    assert binary.classes(target, ("yes", "no")) == ("yes", "no")
    assert binary.encode_target(target, ("yes", "no")).tolist() == [1, 0, 1, 0]


def test_a_boolean_target_has_the_classes_false_and_true():
    target = pd.Series([1.0, 0.0, 0.0, 1.0])
    binary.check_target(target, "y")
    assert binary.classes(target, ()) == ("False", "True")
    assert binary.classes(target, ("True", "False")) == ("True", "False")
    assert binary.encode_target(target, ("False", "True")).tolist() == [1, 0, 0, 1]

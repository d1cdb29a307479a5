import numpy as np
import pandas as pd
import pytest

from lockstep.errors import FitError
from lockstep.params import Cost
from lockstep.problems import regression


@pytest.mark.parametrize("values", [[3.0] * 4, [3.0, np.nan]])
def test_a_constant_target_is_refused_with_its_value(values):
    with pytest.raises(FitError, match=r"^target 'y' must take more than one value; all \d rows hold \[3\.0\]\.$"):
        regression.check_target(pd.Series(values), "y")


def test_the_number_is_the_answer():
    target = pd.Series([1.5, -2.0])
    regression.check_target(target, "y")
    assert regression.classes(target, ()) == ()
    y = regression.encode_target(target, ())
    assert y.tolist() == regression.decide(y, {}).tolist() == [1.5, -2.0]
    assert regression.choose(y, y, None) == {}


def test_the_trivial_model_answers_the_mean_which_no_constant_beats():
    y = np.array([1.0, 2.0, 6.0])
    assert float(regression.trivial(y, 0)) == 3
    losses = [regression.losses(y, np.full(3, value)).mean() for value in (2.9, 3.0, 3.1)]
    assert min(losses) == losses[1]


def test_costs_of_two_mistakes_are_refused():
    with pytest.raises(FitError, match=r"evaluate\.cost is for problem 'binary'"):
        regression.choose(np.ones(2), np.ones(2), Cost(false_positive=1, false_negative=1))

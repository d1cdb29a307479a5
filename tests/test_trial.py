import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.trial import Trial, batch_of, numbers_of, read

VALUE = {
    "number": 3,
    "settings": {"strength": 0.1, "knots": 4},
    "losses": [1.0, 2.0],
    "rounds": [0, 7],
    "complete": True,
    "loss": 1.5,
}


def test_the_loss_of_a_trial_is_the_mean_of_its_folds():
    assert Trial(0, {}, (1.0, 2.0), (0, 0), True).loss == 1.5


@given(
    st.integers(0, 10**6),
    st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()),
    st.lists(st.floats(-1e300, 1e300) | st.just(math.inf), min_size=1, max_size=12),
    st.booleans(),
)
def test_a_trial_comes_back_from_json_to_the_last_bit(number, settings, losses, complete):
    trial = Trial(number, settings, tuple(losses), (5,) * len(losses), complete)
    assert read(json.loads(json.dumps(trial.as_json()))) == trial


def test_a_loss_that_is_not_a_number_comes_back_too():
    trial = Trial(0, {}, (1.0, math.nan), (0, 0), False)
    assert repr(read(json.loads(json.dumps(trial.as_json())))) == repr(trial)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *(({name: None}, ".") for name in VALUE),
        ({"number": -1}, "number from 0"),
        ({"number": True}, "of their types"),
        ({"number": 3.0}, "of their types"),
        ({"settings": {"a": [1]}}, "of their types"),
        ({"losses": [1, 2]}, "of their types"),
        ({"losses": ["1.0", "2.0"]}, "of their types"),
        ({"losses": [], "rounds": []}, "each fold judged"),
        ({"rounds": [0]}, "each fold judged"),
        ({"rounds": [0.5, 1]}, "of their types"),
        ({"complete": 1}, "of their types"),
        ({"loss": 1.4}, "must be the mean of its losses, 1.5; found 1.4"),
        ({"loss": math.nan}, "must be the mean"),
    ],
)
def test_what_is_no_trial_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        read({**VALUE, **change})


@pytest.mark.parametrize("name", VALUE)
def test_a_trial_that_lacks_a_key_is_refused(name):
    with pytest.raises(ValueError, match=f"a trial must have .*{name}"):
        read({key: value for key, value in VALUE.items() if key != name})


@given(st.integers(0, 10_000), st.integers(1, 64))
def test_a_trial_belongs_to_the_batch_that_names_it(number, size):
    assert number in numbers_of(batch_of(number, size), size)

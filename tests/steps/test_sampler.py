import pytest

from lockstep import plugins
from lockstep.steps.sampler import Sampler
from lockstep.trial import numbers_of


def asked(family, sizes, seed=5, loss=lambda settings: settings["learning_rate"]):
    """Return what is asked for in batches of these sizes, each told before the next."""
    sampler, found = Sampler(plugins.load("families", family), 2, seed=seed), []
    for batch, size in enumerate(sizes):
        settings = sampler.ask(batch, size)
        sampler.tell([loss(one) for one in settings])
        found += settings
    return found


def test_the_first_batch_is_the_defaults():
    assert asked("xgboost", [1]) == [plugins.load("families", "xgboost").defaults(2)]


@pytest.mark.parametrize("family", ["hist_gradient", "xgboost"])
def test_the_same_is_asked_again_and_something_else_with_another_seed(family):
    assert asked(family, [1, 4, 4, 4]) == asked(family, [1, 4, 4, 4])
    assert asked(family, [1, 4, 4, 4], seed=6)[1:] != asked(family, [1, 4, 4, 4])[1:]


@pytest.mark.parametrize("last", [1, 2, 3, 4])
def test_how_many_are_asked_for_changes_none_of_them(last):
    whole = asked("xgboost", [1, 4, 4, 4])
    assert asked("xgboost", [1, 4, 4, last]) == whole[: 9 + last]


def test_what_was_told_changes_what_the_next_batch_is_asked():
    low, high = asked("xgboost", [1, 8, 4]), asked("xgboost", [1, 8, 4], loss=lambda settings: settings["max_depth"])
    assert low[:9] == high[:9]
    assert low[9:] != high[9:]


def test_a_loss_without_end_can_be_told():
    losses = iter([float("inf"), *[1.0, float("inf")] * 6])
    assert len(asked("linear", [1, 4, 4, 4], loss=lambda _: next(losses))) == 13


def test_settings_have_six_digits():
    for settings in asked("linear", [1, 4, 4], loss=lambda settings: settings["strength"]):
        assert settings["strength"] == float(f"{settings['strength']:.6g}")


def test_the_batches_lie_one_after_another():
    assert [number for batch in range(4) for number in numbers_of(batch, 3)] == list(range(10))

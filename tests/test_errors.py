import re

import pytest

from lockstep import errors
from lockstep.errors import LockstepError, expected_one_of

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LockstepError)]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not LockstepError])
def test_the_tree_in_the_docstring_names_each_error_and_the_builtin_that_it_also_is(kind):
    line = re.search(rf"── {kind.__name__}\b ?(?:\((\w+)\))?", errors.__doc__)
    assert line, f"{kind.__name__} is not in the tree"
    builtin = [base.__name__ for base in kind.__bases__ if base is not LockstepError]
    assert builtin == ([line[1]] if line[1] else [])
    assert issubclass(kind, LockstepError)


def test_a_caller_that_expects_the_builtin_catches_ours():
    with pytest.raises(ValueError, match="one line"):
        raise errors.ParamsError("one line")
    with pytest.raises(LookupError, match="one line"):
        raise errors.UnknownName("one line")


def test_the_near_match_is_offered_and_the_list_is_sorted():
    assert (
        expected_one_of("rigde", ["xgboost", "ridge"]) == "expected one of ['ridge', 'xgboost']. Did you mean 'ridge'?"
    )


def test_nothing_is_guessed_where_nothing_is_near():
    assert expected_one_of("zzz", {"b", "a"}) == "expected one of ['a', 'b']."


def test_a_name_that_is_no_string_is_answered_too():
    assert expected_one_of(5, ["a"]) == "expected one of ['a']."

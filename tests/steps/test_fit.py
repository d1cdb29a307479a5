from types import SimpleNamespace

import numpy as np
import pytest

from lockstep.errors import FitError
from lockstep.steps.fit import Candidate, check_engine, choose, leaderboard


def candidate(family: str, simplicity: int, *losses: float) -> Candidate:
    return Candidate(family, simplicity, {"s": simplicity}, losses, (1,) * len(losses), (0.5, None), True)


def chosen(*candidates: Candidate) -> str:
    return next(standing.candidate.family for standing in choose(candidates) if standing.chosen)


def test_the_simplest_within_one_standard_error_of_the_paired_differences_wins():
    # differences 0.01, 0.03, 0.02: mean 0.02, standard error 0.01 / sqrt(3) = 0.0058
    far = candidate("linear", 0, 1.01, 2.03, 3.02), candidate("xgboost", 2, 1.0, 2.0, 3.0)
    assert chosen(*far) == "xgboost"
    # differences -0.01, 0.03, 0.01: mean 0.01, standard error 0.02 / sqrt(3) = 0.0115
    near = candidate("linear", 0, 0.99, 2.03, 3.01), candidate("xgboost", 2, 1.0, 2.0, 3.0)
    assert chosen(*near) == "linear"


def test_it_is_the_paired_differences_that_count_not_the_spread_of_the_folds():
    wide = candidate("linear", 0, 1.1, 10.1, 100.1), candidate("xgboost", 2, 1.0, 10.0, 100.0)
    assert chosen(*wide) == "xgboost", "always worse by the same, though folds differ a hundredfold"


def test_the_standings_are_ranked_and_their_figures_are_those_of_the_formula():
    standings = choose([candidate("linear", 0, 1.01, 2.03, 3.02), candidate("xgboost", 2, 1.0, 2.0, 3.0)])
    assert [standing.candidate.family for standing in standings] == ["xgboost", "linear"]
    assert standings[1].difference == pytest.approx(0.02)
    assert standings[1].difference_error == pytest.approx(0.01 / np.sqrt(3))
    assert standings[0].difference == 0
    shown = leaderboard(standings)
    assert [entry["chosen"] for entry in shown] == [True, False]
    assert shown[0]["standard_error"] == pytest.approx(1 / np.sqrt(3))
    assert shown[0]["n_trials"] == 2
    assert shown[0]["trials"] == [0.5, None]


def test_of_equal_losses_the_simpler_wins():
    assert chosen(candidate("xgboost", 2, 1.0, 2.0), candidate("linear", 0, 1.0, 2.0)) == "linear"


def test_an_engine_that_differs_from_its_estimator_is_refused():
    X = np.zeros((3, 1))
    fitted = SimpleNamespace(predict=lambda X: np.array([0.1, 0.2, 0.3]))
    near = SimpleNamespace(predict=lambda X: np.array([0.1, 0.2, 0.3 + 1e-10]))
    assert check_engine(near, fitted, X, 1e-9, "linear") == pytest.approx(1e-10)
    with pytest.raises(
        FitError, match="engine of 'linear' must equal its estimator within 1e-12; they differ by 1e-10"
    ):
        check_engine(near, fitted, X, 1e-12, "linear")
    broken = SimpleNamespace(predict=lambda X: np.array([0.1, 0.2, np.nan]))
    with pytest.raises(FitError, match="differ by nan"):
        check_engine(broken, fitted, X, 1e-9, "linear")


def test_the_bound_grows_with_the_size_of_the_output():
    fitted = SimpleNamespace(predict=lambda X: np.array([1e6]))
    near = SimpleNamespace(predict=lambda X: np.array([1e6 + 1e-4]))
    assert check_engine(near, fitted, np.zeros((1, 1)), 1e-9, "linear") > 0

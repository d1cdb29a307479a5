import functools
import threading
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info, threadpool_limits

from lockstep import plugins
from lockstep.errors import FitError, IntegrityError
from lockstep.journal import InMemory
from lockstep.params import Tune
from lockstep.steps.judge import Judge
from lockstep.steps.tune import search

SETTINGS = {"trials": 10, "batch": 3}


class Memory(InMemory):
    """A journal that shows what was added to it."""

    def __init__(self, known=()):
        super().__init__()
        self.known = {trial.number: trial for trial in known}
        self.added, self.reasons = [], []

    def append(self, trial):
        self.added.append(trial)

    def set_aside(self, why):
        self.known = {}
        self.reasons.append(why)


class Timed(Memory):
    """A journal on whose clock each trial takes a second."""

    def elapsed(self):
        return len(self.known) + len(self.added)


def run(judge, journal=None, workers=1, report=lambda line: None, **settings):
    return search(judge, Tune(**(settings or SETTINGS)), journal or InMemory(), workers=workers, report=report)


@pytest.fixture(scope="module")
def undisturbed(judge_of):
    """Return a search of linear models from beginning to end."""
    return run(judge_of("linear"))


def same(found, other):
    assert found.trials == other.trials
    assert found.best == other.best
    assert np.array_equal(found.out_of_fold, other.out_of_fold, equal_nan=True)
    return True


# What is tried, and what wins.


def test_the_defaults_come_first_and_the_best_complete_trial_wins(judge_of):
    asked = judge_of()
    found = run(asked, trials=6)
    assert found.trials[0].settings == asked.family.defaults(2)
    assert [trial.number for trial in found.trials] == list(range(6))
    assert found.best.loss == min(trial.loss for trial in found.trials if trial.complete)
    assert len(found.best.losses) == 3
    assert all(rounds > 0 for rounds in found.best.rounds)
    assert found.repeatable


def test_predictions_out_of_fold_are_those_of_the_best_trial(judge_of, undisturbed):
    asked = judge_of("linear")
    y = np.concatenate([fold.y_valid for fold in asked.folds])
    output = np.concatenate([undisturbed.out_of_fold[fold.valid] for fold in asked.folds])
    assert not np.isnan(undisturbed.out_of_fold).any()
    assert asked.loss(y, output) == pytest.approx(undisturbed.best.loss, rel=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6, 9])
def test_fewer_trials_are_the_first_of_more(n, judge_of, undisturbed):
    assert run(judge_of("linear"), trials=n, batch=3).trials == undisturbed.trials[:n]


def test_progress_is_told_for_every_trial_with_the_best_so_far(judge_of):
    lines = []
    found = run(judge_of("linear"), report=lines.append, trials=4)
    assert len(lines) == 4
    assert lines[0].startswith("trial 1/4: loss ")
    assert lines[-1].endswith(f"best {found.best.loss:.5g}")


def test_a_search_in_which_no_loss_is_finite_is_refused(judge_of):
    asked = judge_of("linear")
    broken = Judge(asked.family, asked.folds, lambda y, output: float("inf"), asked.n_rows, 1, 1)
    with pytest.raises(FitError, match="must complete a trial; none did"):
        run(broken)


def test_a_search_goes_on_past_losses_that_are_not_finite(judge_of):
    asked = judge_of("linear")
    every_third = iter(range(1000))
    broken = Judge(
        asked.family,
        asked.folds,
        lambda y, output: float("nan") if next(every_third) % 10 == 4 else asked.loss(y, output),
        asked.n_rows,
        1,
        1,
    )
    found = run(broken)
    assert any(np.isnan(trial.loss) for trial in found.trials)
    assert len(found.trials) == 10
    assert np.isfinite(found.best.loss)


# Workers and threads.


@functools.cache
def alone(judge_of, family, problem):
    return run(judge_of(family, problem), trials=7, batch=3)


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("problem", ["binary", "regression"])
@pytest.mark.parametrize("family", plugins.names("families"))
def test_the_trials_are_the_same_for_any_number_of_workers_and_threads(family, problem, workers, judge_of):
    asked = judge_of(family, problem, threads=3 if workers == 2 else 1)
    assert same(run(asked, workers=workers, trials=7, batch=3), alone(judge_of, family, problem))


def test_blas_has_one_thread_while_anything_is_fitted(judge_of):
    seen = []

    def fit(*args, **more):
        fitted = linear.fit(*args, **more)  # which limits BLAS, and puts back what it found
        seen.append({library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"})
        return fitted

    asked = judge_of("linear")
    linear = asked.family
    watched = SimpleNamespace(fit=fit, space=linear.space, defaults=linear.defaults)
    before = threadpool_info()
    with threadpool_limits(2, user_api="blas"):
        run(Judge(watched, asked.folds, asked.loss, asked.n_rows, 5, 1), workers=4)
    assert len(seen) >= 20
    assert all(found == {1} for found in seen)
    assert threadpool_info() == before


def test_warnings_are_those_of_one_worker_though_threads_lose_each_others_filters(judge_of):
    def fit(*args, **more):
        warnings.resetwarnings()  # the worst that two threads can do to each other
        warnings.warn("it did not converge", ConvergenceWarning, stacklevel=1)
        warnings.warn("it is old", DeprecationWarning, stacklevel=1)
        warnings.warn("`sklearn.utils.parallel.delayed` should be used with ...", UserWarning, stacklevel=1)
        warnings.warn("it is odd", UserWarning, stacklevel=1)
        return asked.family.fit(*args, **more)

    asked = judge_of("linear")
    noisy = SimpleNamespace(fit=fit, space=asked.family.space, defaults=asked.family.defaults)
    with warnings.catch_warnings(record=True) as warned:
        before = warnings.showwarning, list(warnings.filters)
        run(Judge(noisy, asked.folds, asked.loss, asked.n_rows, 5, 1), workers=4)
        assert (warnings.showwarning, list(warnings.filters)) == before
    assert {str(warning.message) for warning in warned} == {"it is odd"}


def test_an_error_in_one_worker_ends_the_search_and_the_others_after_their_fold(judge_of):
    asked = judge_of("linear")
    n_fitted, others = [], threading.Barrier(3)

    def fit(X, y, task, settings, **more):
        if settings == asked.family.defaults(2):
            return asked.family.fit(X, y, task, settings, **more)
        n_fitted.append(settings)
        if others.wait(30) == 0:
            raise FitError("one of three failed.")
        assert failing.stop.wait(30)
        return asked.family.fit(X, y, task, settings, **more)

    breaking = SimpleNamespace(fit=fit, space=asked.family.space, defaults=asked.family.defaults)
    failing = Judge(breaking, asked.folds, asked.loss, asked.n_rows, 5, 1)
    with pytest.raises(FitError, match="one of three failed"):
        run(failing, workers=3)
    assert len(n_fitted) == 3, "no second fold, and no further trial"


# Earlier lives.


@pytest.mark.parametrize("n", range(11))
def test_a_search_goes_on_from_any_moment_to_the_same_end(n, judge_of, undisturbed):
    order = [0, 2, 1, 3, 6, 4, 5, 9, 8, 7]  # as several workers judge the batches
    known = [undisturbed.trials[number] for number in order[:n]]
    journal, lines = Memory(known), []
    found = run(judge_of("linear"), journal, workers=1 + n % 3, report=lines.append)
    assert same(found, undisturbed)
    assert sorted(trial.number for trial in journal.added) == sorted(order[n:]), "what is known is not judged again"
    assert len(lines) == 10
    assert sum(" (recalled)" in line for line in lines) == n


def test_a_loss_that_is_not_finite_is_recalled_as_it_was(judge_of):
    asked = judge_of("linear")

    def loss(y, output):  # the second fold of the third trial, and of no other, by its predictions
        value = asked.loss(y, output)
        return float("nan") if value == third.losses[1] else value

    third = run(asked).trials[2]
    broken = Judge(asked.family, asked.folds, loss, asked.n_rows, 5, 1)
    whole = run(broken)
    assert np.isnan(whole.trials[2].loss)
    journal = Memory(whole.trials[:5])
    again = run(broken, journal)
    assert repr(again.trials) == repr(whole.trials), "by their text, since nan is not nan"
    assert [trial.number for trial in journal.added] == [5, 6, 7, 8, 9]


def test_a_journal_of_another_search_is_set_aside(judge_of, undisturbed):
    strangers = run(judge_of("linear", seed=6)).trials
    journal = Memory(strangers[:6])
    assert same(run(judge_of("linear"), journal), undisturbed)
    (reason,) = journal.reasons
    assert reason.startswith("trial 2 must try {")
    assert [trial.number for trial in journal.added] == list(range(10))


def test_a_best_trial_that_is_judged_otherwise_than_recalled_is_refused(judge_of, undisturbed):
    best = undisturbed.best
    changed = type(best)(best.number, best.settings, tuple(loss - 1e-9 for loss in best.losses), best.rounds, True)
    known = [changed if trial == best else trial for trial in undisturbed.trials]
    with pytest.raises(IntegrityError, match=f"memory: trial {best.number + 1} must have losses .* Remove that file"):
        run(judge_of("linear"), Memory(known))


# Seconds.


def test_seconds_end_the_search_and_are_recorded_as_not_repeatable(judge_of, undisturbed):
    found = run(judge_of("linear"), Timed(), seconds=5.5, batch=3)
    assert found.trials == undisturbed.trials[:6], "a batch is cut where they end"
    assert not found.repeatable


def test_seconds_that_are_used_up_at_once_leave_the_defaults(judge_of):
    assert len(run(judge_of("linear"), seconds=0.001).trials) == 1


@pytest.mark.parametrize("n", range(8))
def test_a_killed_search_spends_the_seconds_that_were_left(n, judge_of, undisturbed):
    journal = Timed(undisturbed.trials[:n])
    assert run(judge_of("linear"), journal, seconds=7, batch=3).trials == undisturbed.trials[:7]
    assert len(journal.added) == 7 - n


def test_no_trial_is_left_out_before_one_that_was_judged(judge_of, undisturbed):
    journal = Timed([undisturbed.trials[number] for number in (0, 1, 2, 3, 6)])
    found = run(judge_of("linear"), journal, seconds=5, batch=3)
    assert found.trials == undisturbed.trials[:7]
    assert [trial.number for trial in journal.added] == [4, 5]

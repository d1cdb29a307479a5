"""Search the settings of one family by cross-validation on train's folds, deterministically.

Trials are asked for in batches of fixed size by a sampler seeded from (seed, batch), judged side by side, and told in
their order; what one batch may know of another is only what was told before it began. So the list of trials depends on
data, folds, space and seed, and not on workers, threads, or how often the search was killed: what a journal recalls is
asked for again, compared, and told as if it had just been judged.
"""

import contextlib
import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from lockstep.errors import FitError, IntegrityError
from lockstep.families import Array, Settings
from lockstep.params import Tune
from lockstep.steps.judge import Judge, Judged
from lockstep.steps.sampler import Sampler
from lockstep.trial import Trial, numbers_of

FILTERS_LOST = "`sklearn.utils.parallel.delayed` should be used with"
"""How scikit-learn begins to complain where another thread has just emptied the filters of warnings."""


@dataclass(frozen=True)
class Search:
    """All trials of a family, the best of the complete ones, and its predictions out of fold."""

    trials: tuple[Trial, ...]
    best: Trial
    out_of_fold: Array
    """Output for each row of train; NaN where a row is never validated on."""
    repeatable: bool


class Journal(Protocol):
    """What a search remembers of its earlier lives."""

    known: Mapping[int, Trial]
    """By number, what was judged before this life began."""
    name: str

    def append(self, trial: Trial) -> None:
        """Remember a trial for good."""
        ...

    def elapsed(self) -> float:
        """Return the seconds that the search took so far, in all its lives."""
        ...

    def set_aside(self, why: str) -> None:
        """Forget everything: it is of another search."""
        ...


class Foreign(Exception):
    """Reports that a journal recalls what this search never asked for."""


def search(judge: Judge, settings: Tune, journal: Journal, *, workers: int, report: Callable[[str], None]) -> Search:
    """Try the family's defaults, then what the sampler asks for, until trials or seconds are used up.

    ``report`` receives a line of progress a trial, as it is judged.

    Raises
    ------
    FitError
        No trial could be completed.
    IntegrityError
        The best trial is judged otherwise than the journal recalls.
    """
    with _held_for_all(), ThreadPoolExecutor(workers) as pool:
        try:
            try:
                return _Course(judge, settings, journal, partial(_as_finished, pool, workers), report).run()
            except Foreign as found:
                journal.set_aside(str(found))
                return _Course(judge, settings, journal, partial(_as_finished, pool, workers), report).run()
        except BaseException:
            judge.stop.set()
            raise


class _Course:
    """One search under way."""

    def __init__(
        self,
        judge: Judge,
        settings: Tune,
        journal: Journal,
        as_finished: Callable[[Iterable[Callable[[], Judged]]], Iterator[Judged]],
        report: Callable[[str], None],
    ) -> None:
        self.judge, self.settings, self.journal = judge, settings, journal
        self.as_finished, self.report = as_finished, report
        self.trials: list[Trial] = []
        self.best: Trial | None = None
        self.out_of_fold: Array | None = None

    def run(self) -> Search:
        sampler = Sampler(self.judge.family, self.judge.folds[0].task.n_classes, seed=self.judge.seed)
        for batch in itertools.count():
            numbers = self._numbers(batch)
            if not numbers:
                break
            rival = self.best
            found = self._judge(dict(zip(numbers, sampler.ask(batch, len(numbers)), strict=True)))
            sampler.tell([_projected(judged.trial, rival) for judged in found])
            for judged in found:
                self.trials.append(judged.trial)
                if _is_better(judged.trial, self.best):
                    self.best, self.out_of_fold = judged.trial, judged.out_of_fold
        if self.best is None:
            raise FitError("the search must complete a trial; none did.")
        outputs = self._judge_again(self.best) if self.out_of_fold is None else self.out_of_fold
        return Search(tuple(self.trials), self.best, outputs, repeatable=self.settings.seconds is None)

    def _numbers(self, batch: int) -> list[int]:
        """Return the numbers of a batch that is to be asked for, none where the search is over."""
        numbers = numbers_of(batch, self.settings.batch)
        if self.settings.seconds is None:
            return [number for number in numbers if number < self.settings.trials]
        wanted = batch == 0 or not self._is_over() or not self.journal.known.keys().isdisjoint(numbers)
        return list(numbers) if wanted else []

    def _is_over(self) -> bool:
        return self.settings.seconds is not None and self.journal.elapsed() >= self.settings.seconds

    def _judge(self, asked: dict[int, Settings]) -> list[Judged]:
        """Return how the asked settings did, in their order; all of them, unless the seconds are used up."""
        found = {
            number: Judged(self._recalled(number, asked[number])) for number in asked if number in self.journal.known
        }
        lead = self.best
        for judged in found.values():
            lead = judged.trial if _is_better(judged.trial, lead) else lead
            self._tell(judged.trial, lead, " (recalled)")
        for judged in self.as_finished(self._missing(asked, dict(found))):
            self.journal.append(judged.trial)
            found[judged.trial.number] = judged
            lead = judged.trial if _is_better(judged.trial, lead) else lead
            self._tell(judged.trial, lead)
        return [found[number] for number in sorted(found)]

    def _missing(self, asked: dict[int, Settings], known: Mapping[int, Judged]) -> Iterator[Callable[[], Judged]]:
        """Yield what is left to judge; where seconds end a batch, no number below one that was judged is left out."""
        needed = max(known, default=min(asked))
        for number, settings in asked.items():
            if number not in known:
                if number > needed and self._is_over():
                    return
                yield partial(self.judge.judge, number, settings, self.best)

    def _recalled(self, number: int, settings: Settings) -> Trial:
        trial = self.journal.known[number]
        if trial.settings != settings:
            raise Foreign(f"trial {number + 1} must try {settings}; it holds {trial.settings}")
        return replace(trial, settings=settings)

    def _judge_again(self, best: Trial) -> Array:
        """Return the predictions of a trial that an earlier life judged; its losses prove that nothing changed."""
        again = self.judge.judge(best.number, best.settings, None)
        if again.trial != best or again.out_of_fold is None:
            raise IntegrityError(
                f"{self.journal.name}: trial {best.number + 1} must have losses {list(again.trial.losses)}, as judged "
                f"again; it holds {list(best.losses)}. Remove that file and run again."
            )
        return again.out_of_fold

    def _tell(self, trial: Trial, lead: Trial | None, note: str = "") -> None:
        of = f"/{self.settings.trials}" if self.settings.seconds is None else ""
        note += "" if trial.complete else f" (given up after {len(trial.losses)} folds)"
        best = lead.loss if lead else float("nan")
        self.report(f"trial {trial.number + 1}{of}: loss {trial.loss:.5g}{note}, best {best:.5g}")


def _as_finished(pool: ThreadPoolExecutor, workers: int, jobs: Iterable[Callable[[], Judged]]) -> Iterator[Judged]:
    """Yield what the jobs return as it comes, taking up no more of them than there are workers."""
    if workers == 1:
        yield from (job() for job in jobs)
        return
    running: set[Future[Judged]] = set()
    for job in jobs:
        running.add(pool.submit(job))
        if len(running) == workers:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    while running:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)


@contextlib.contextmanager
def _held_for_all() -> Iterator[None]:
    """Hold for the whole search what belongs to the process, not to a thread, while fits set it and put it back.

    A fit that ends would give BLAS its threads back under another that still runs; held here, one thread is what it
    found. (Libraries are limited only once they are loaded.) Filters of warnings are worse off: two threads that change
    and restore them may leave none at all, so what they would ignore is ignored where warnings are shown.
    """
    import scipy.linalg  # noqa: F401
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    ignored = (ConvergenceWarning, DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if not issubclass(category, ignored) and not str(message).startswith(FILTERS_LOST):
                shown(message, category, *where, **more)

        warnings.showwarning = show
        yield


def _is_better(trial: Trial, than: Trial | None) -> bool:
    return trial.complete and (than is None or trial.loss < than.loss)


def _projected(trial: Trial, rival: Trial | None) -> float:
    """Return the loss; of a trial given up, what it would be if the other folds went as the first."""
    if not np.isfinite(trial.losses).all():
        return float("inf")
    if trial.complete or rival is None:
        return trial.loss
    base = float(np.mean(rival.losses[: len(trial.losses)]))
    return rival.loss * trial.loss / base if base else trial.loss

"""Measure the search: what batches cost against one trial at a time, what workers win, what the journal costs."""

import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import numpy as np
from plain import clean

from lockstep import alive, contract, features, params, plugins
from lockstep.contract.read import read
from lockstep.journal import InMemory, Journal, Study
from lockstep.params import Params, Tune
from lockstep.sources import simulate
from lockstep.steps.judge import Judge, Judged, encode_folds, mean_loss
from lockstep.steps.split import divide
from lockstep.steps.tune import Search, search
from lockstep.trial import Trial

FAMILIES = ("linear", "hist_gradient", "xgboost")
N_ROWS, N_FOLDS = 1_200, 3
SEQUENTIAL, BATCHES = 1, (2, 4, 8)
N_TRIALS = (8, 24)
"""Where searches are compared: the default of params.yaml, and three times as many."""
N_APPENDED = 200
SIDE_BY_SIDE = ("1 worker on 1", "1 worker on 2", "2 workers on 2")
"""Workers, and the threads that they have together."""
COMMAND = "python benchmarks/search.py"


def main() -> None:
    """Measure each thing, one after another."""
    parser = measure.arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="searches a family and batch size")
    parser.add_argument("--rounds", type=int, default=3, help="of whole searches, by workers and threads in turns")
    given = parser.parse_args()
    settings = params.load(measure.ROOT)
    judges = judges_of(settings)
    rows = [row for family in FAMILIES for row in batching(family, judges(family), given.seeds)]
    with measure.scratch() as folder:
        rows += journal(folder, judges("xgboost")(settings.seed))
        rows += workers(measure.clone(folder / "clone"), given.rounds)
    measure.publish("search", rows, write=given.write)


def judges_of(settings: Params) -> Callable[[str], Callable[[int], Judge]]:
    """Return what gives the judge of a family, by seed, on some rows of the embedded default."""
    rules = contract.load(measure.ROOT)
    source = simulate.Settings(**{**settings.source, "rows": N_ROWS})
    rows = clean(read(simulate.read(source, measure.ROOT), rules).rows)
    parts = divide(rows, rules, settings.split.model_copy(update={"folds": N_FOLDS}), seed=settings.seed)
    own = features.load((measure.ROOT / features.FILE).read_text("utf-8"), rules)
    train = parts.train.assign(**own.of_table(parts.train))
    problem = plugins.load("problems", settings.problem)
    classes = problem.classes(train[rules.target], rules.columns[rules.target].classes)
    y = problem.encode_target(train[rules.target], classes)
    folds = encode_folds(train, y, parts.folds, rules, own.names, len(classes))
    loss = mean_loss(problem)
    return lambda family: lambda seed: Judge(plugins.load("families", family), folds, loss, len(y), seed, 1)


def batching(family: str, judge: Callable[[int], Judge], n_seeds: int) -> list[measure.Row]:
    """Compare searches in batches with searches one trial at a time, of the same seed and as many trials."""
    least = {n: {batch: np.empty(n_seeds) for batch in (SEQUENTIAL, *BATCHES)} for n in N_TRIALS}
    default = np.empty(n_seeds)
    for seed in range(n_seeds):
        for batch in (SEQUENTIAL, *BATCHES):
            found = run(judge(seed), Tune(trials=max(N_TRIALS), batch=batch), workers=min(batch, 2))
            default[seed] = found.trials[0].loss
            for n in N_TRIALS:  # the first trials of a search are those of a shorter one
                least[n][batch][seed] = min(trial.loss for trial in found.trials[:n] if trial.complete)
        measure.say(f"{family}, seed {seed}: {[float(least[n][b][seed]) for n in N_TRIALS for b in least[n]]}")
    return [
        measure.Row(
            f"{family}, batches of {batch} against 1: least loss of {max(N_TRIALS)} trials, {n_seeds} seeds",
            "",
            difference(least[max(N_TRIALS)], batch, default),
            None,
            COMMAND,
            f"of {min(N_TRIALS)} trials: {difference(least[min(N_TRIALS)], batch, default)}",
        )
        for batch in BATCHES
    ]


def difference(least: dict[int, Any], batch: int, default: Any) -> str:
    """Say by how much batches end higher: the mean of paired differences, its standard error, and their share."""
    worse = least[batch] - least[SEQUENTIAL]
    error = float(np.std(worse, ddof=1) / np.sqrt(len(worse)))
    gained = float(np.mean(default - least[SEQUENTIAL]))
    share, share_error = (f"{100 * value / gained:.0f}" if gained else "-" for value in (worse.mean(), error))
    return f"{worse.mean():+.5f} ± {error:.5f}, which is {share} ± {share_error} % of the {gained:.4f} that search won"


def journal(folder: Path, judge: Judge) -> list[measure.Row]:
    """Time a journal's lines, and a search that finds all of its trials in one."""
    study = Study("0" * 64, "xgboost", N_APPENDED, 4, "this", alive.me())
    quick = Quick(judge.family, judge.folds, judge.loss, judge.n_rows, judge.seed, 1)
    asked = Tune(trials=N_APPENDED, batch=4)
    trials = run(quick, asked).trials
    with Journal(folder, study, measure.say) as book:
        taken = [seconds(lambda trial=trial: book.append(trial)) for trial in trials]  # type: ignore[misc]
    opened = seconds(lambda: Journal(folder, study, measure.say).__exit__())
    known = InMemory()
    known.known = {trial.number: trial for trial in trials}
    recalled = seconds(lambda: run(quick, asked, journal=known))
    return [
        measure.Row(
            "a line of the journal, on the disk",
            "",
            f"median {1000 * statistics.median(taken):.1f} ms, largest {1000 * max(taken):.1f} ms a trial",
            None,
            COMMAND,
            f"{len(trials)} lines",
        ),
        measure.Row(
            f"going on after {len(trials)} trials of xgboost: the journal is read, settings are asked for again",
            "",
            f"{opened:.2f} s and {recalled:.2f} s, {1000 * (opened + recalled) / len(trials):.1f} ms a trial",
            None,
            COMMAND,
            "the best of them, if it is one of those, is judged once more",
        ),
    ]


class Quick(Judge):
    """Judges at no cost: the loss is the distance of the depth from five, and the learning rate."""

    def judge(self, number: int, settings: dict[str, Any], rival: Trial | None) -> Judged:  # noqa: ARG002
        """Return a complete trial of five folds."""
        loss = 1.0 + abs(settings["max_depth"] - 5) + settings["learning_rate"]
        return Judged(Trial(number, settings, (loss,) * 5, (100,) * 5, True), np.zeros((self.n_rows, 2)))


def workers(root: Path, n_rounds: int) -> list[measure.Row]:
    """Time the search stage of each family on the whole default table, by workers and threads, in turns."""
    for stage in ("ingest", "validate", "split", "featurize"):
        measure.run(["python", "src/lockstep", stage], root, measure.environment())
    ran: dict[tuple[str, str], list[measure.Ran]] = {}
    for family in FAMILIES:
        for how in SIDE_BY_SIDE * n_rounds:
            shutil.rmtree(root / ".lockstep" / "search", ignore_errors=True)
            env = measure.environment(LOCKSTEP_WORKERS=how[:1], LOCKSTEP_THREADS=how[-1:])
            ran.setdefault((family, how), []).append(measure.run(["python", "src/lockstep", "tune", family], root, env))
            measure.say(f"{family}, {how}: {ran[family, how][-1].seconds:.1f} s")
    return [
        measure.Row(
            f"`tune {family}`, default table and trials, least of {n_rounds}",
            "",
            "; ".join(f"{how}: {min(one.seconds for one in ran[family, how]):.1f} s" for how in SIDE_BY_SIDE),
            None,
            COMMAND,
            "; ".join(f"{how}: {max(one.peak_mb for one in ran[family, how]):.0f} MB" for how in SIDE_BY_SIDE),
        )
        for family in FAMILIES
    ]


def run(judge: Judge, settings: Tune, *, workers: int = 1, journal: InMemory | None = None) -> Search:
    """Search without a word."""
    return search(judge, settings, journal or InMemory(), workers=workers, report=say_nothing)


def say_nothing(line: str) -> None:
    """Take a line of progress."""


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

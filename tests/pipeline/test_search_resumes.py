"""A search that is killed goes on where it was, and ends with the very bytes of one that nobody disturbed."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import project
import pytest

from lockstep import journal, params
from lockstep.errors import ProjectError
from lockstep.journal import Study
from lockstep.stages import tune
from lockstep.stages.files import read_table

WITHIN_S = 120.0
TRIALS = 60
SETTINGS = {
    **project.SMALL,
    "source": {"rows": 600},
    "tune": {"trials": TRIALS},
    "families": ["linear", "hist_gradient", "xgboost"],
}
KILLS = 20
LONG = pytest.mark.long
OUTS = ("trials.json", "best.json", "oof.parquet")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project that is ready to be searched. Copy it, never change it."""
    root = project.make(tmp_path_factory.mktemp("search") / "project", SETTINGS)
    for stage in ("ingest", "validate", "split", "featurize"):
        project.said(project.stage(root, stage))
    return root


@pytest.fixture
def root(small: Path, tmp_path: Path) -> Path:
    return project.copy(small, tmp_path / "project")


class Whole:
    """What a search makes that nobody disturbs, by one worker; and how long all of it and one of its trials take."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.trial_s: dict[str, float] = {}
        self.all_s: dict[str, float] = {}

    def of(self, family: str) -> dict[str, bytes]:
        if family not in self.all_s:
            began = time.monotonic()
            project.said(project.stage(self._root, "tune", family, LOCKSTEP_WORKERS="1"))
            self.all_s[family] = time.monotonic() - began
            found = next(one for one in journal.studies(self._root) if one.family == family)
            self.trial_s[family] = found.seconds[-1] / TRIALS
        return made(self._root, family)


@pytest.fixture(scope="module")
def whole(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(project.copy(small, tmp_path_factory.mktemp("whole") / "project"))


@pytest.fixture
def dice() -> random.Random:
    """Return what draws the moments of the kills; its seed is printed, and taken from the environment if given."""
    seed = int(os.environ.get("LOCKSTEP_KILL_SEED") or random.SystemRandom().randrange(2**32))
    print(f"LOCKSTEP_KILL_SEED={seed}")
    return random.Random(seed)


def made(root: Path, family: str) -> dict[str, bytes]:
    return {name: (root / "models" / "candidates" / family / name).read_bytes() for name in OUTS}


def study(root: Path) -> Study | None:
    """Return the one search that has a journal."""
    found = journal.studies(root)
    assert len(found) <= 1
    return found[0] if found else None


def n_judged(root: Path) -> int:
    found = study(root)
    return len(found.trials) if found else 0


def start(root: Path, family: str, **more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["python", "src/lockstep", "tune", family],
        cwd=root,
        env=project.environment(**more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill(child: "subprocess.Popen[str]", after_s: float) -> None:
    """Kill a process that is still at work after so many seconds."""
    try:
        output = child.communicate(timeout=after_s)[0]
    except subprocess.TimeoutExpired:
        child.kill()
        output = child.communicate(timeout=WITHIN_S)[0]
    assert child.returncode in (0, -signal.SIGKILL), output


def kill_midway(root: Path, family: str, n_more: int, after_s: float, **more: str) -> None:
    """Start a search, and kill it a moment after it has judged ``n_more`` trials."""
    before, child = n_judged(root), start(root, family, **more)
    end = time.monotonic() + WITHIN_S
    while not (found := study(root)) or found.owner.pid != child.pid or len(found.trials) < before + n_more:
        assert child.poll() is None, child.communicate()[0]
        assert time.monotonic() < end, "it did not judge so many in time"
        time.sleep(0.005)
    kill(child, after_s)
    assert child.returncode == -signal.SIGKILL, "it ended before it was killed"
    assert n_judged(root) < TRIALS


def finish(root: Path, family: str, **more: str) -> str:
    """Let a search end; return what it said, one line a trial."""
    known = n_judged(root)
    said = project.said(project.stage(root, "tune", family, **more))
    lines = [line for line in said.splitlines() if line.startswith(f"{family}: trial ")]
    assert len(lines) == TRIALS
    assert sum("(recalled)" in line for line in lines) == known
    return said


@pytest.mark.parametrize(
    "family", ["xgboost", pytest.param("linear", marks=LONG), pytest.param("hist_gradient", marks=LONG)]
)
def test_a_search_killed_twenty_times_ends_as_if_undisturbed(
    family: str, root: Path, whole: Whole, dice: random.Random
) -> None:
    expected, counts = whole.of(family), []
    for _ in range(KILLS):
        n_more, after_s = dice.choice((0, 1, 1, 2)), dice.uniform(0, whole.trial_s[family])
        kill_midway(root, family, n_more, after_s, LOCKSTEP_WORKERS=dice.choice("124"))
        counts.append(n_judged(root))
    print(f"judged at each kill: {counts}")

    said = finish(root, family, LOCKSTEP_WORKERS="2")

    assert counts == sorted(counts)
    assert len(set(counts)) >= KILLS // 3, "kills landed while trials were judged"
    assert f"{family}: goes on after {counts[-1]} trials that were judged before" in said
    assert made(root, family) == expected


@LONG
@pytest.mark.parametrize("family", ["linear", "hist_gradient", "xgboost"])
def test_a_search_killed_once_at_any_moment_ends_as_if_undisturbed(
    family: str, small: Path, tmp_path: Path, whole: Whole, dice: random.Random
) -> None:
    expected, counts = whole.of(family), []
    for i in range(KILLS):
        root, workers = project.copy(small, tmp_path / str(i)), dice.choice("124")
        if i % 2:
            n_more, after_s = dice.randrange(TRIALS * 2 // 3), dice.uniform(0, whole.trial_s[family])
            kill_midway(root, family, n_more, after_s, LOCKSTEP_WORKERS=workers)
        else:
            kill(start(root, family, LOCKSTEP_WORKERS=workers), dice.uniform(0, whole.all_s[family]))
        counts.append(n_judged(root))
        finish(root, family, LOCKSTEP_WORKERS=dice.choice("124"))
        assert made(root, family) == expected
        shutil.rmtree(root)
    print(f"judged when killed: {counts}")
    assert sum(0 < n < TRIALS for n in counts) >= KILLS // 3, "kills landed while trials were judged"


def test_a_torn_journal_is_mended_and_what_was_judged_is_used(root: Path, whole: Whole) -> None:
    kill_midway(root, "linear", 5, 0)
    known = n_judged(root)
    (path,) = (root / ".lockstep" / "search").glob("*.jsonl")
    with path.open("ab") as file:
        file.write(b'{"batch": 2, "complete": true, "elaps')

    said = finish(root, "linear")

    assert f"linear: goes on after {known} trials that were judged before; what was torn behind them is cut off" in said
    assert made(root, "linear") == whole.of("linear")


def test_a_disk_that_fills_up_stops_the_search_with_one_line_and_costs_no_trial(root: Path, whole: Whole) -> None:
    command = "ulimit -f 4; exec python src/lockstep tune linear"
    asked = project.run(root, "bash", "-c", command, PYTHONDONTWRITEBYTECODE="1")  # else half a file of it is left

    line = project.refused(asked, "lockstep tune: File too large: ", "Make room (`dvc gc -w` drops old outs)")
    (path,) = (root / ".lockstep" / "search").glob("*.jsonl")
    assert str(path) in line
    told = asked.stdout.count("linear: trial ")
    assert 0 < told == n_judged(root) < TRIALS
    finish(root, "linear")
    assert made(root, "linear") == whole.of("linear")


@pytest.fixture
def sealed(root: Path) -> Iterator[Path]:
    """Make the state of a project read-only, for root too."""
    folder = root / ".lockstep"
    folder.mkdir(exist_ok=True)
    asked = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], capture_output=True, text=True)
    if asked.returncode:
        pytest.skip(f"nothing can be mounted here: {asked.stderr.strip()}")
    yield root
    subprocess.run(["umount", folder], check=True)


def test_a_state_that_cannot_be_written_is_told_with_the_journals_name(sealed: Path) -> None:
    asked = project.stage(sealed, "tune", "linear")

    project.refused(asked, "lockstep tune: Read-only file system: ", f"{sealed}/.lockstep/search/", ".jsonl. Mend its")
    assert "trial 1" not in asked.stdout, "before anything is judged"


def change_code(root: Path) -> None:
    project.append(root / "src" / "lockstep" / "families" / "linear.py", "\n# A remark.\n")


def change_data(root: Path) -> None:
    path = root / "data" / "features.parquet"
    rows = pd.read_parquet(path)
    rows.iloc[0, rows.columns.get_loc("monthly_charge")] += 1
    rows.to_parquet(path)


@pytest.mark.parametrize("change", [change_code, change_data])
def test_edited_code_or_data_never_goes_on_with_an_older_search(
    change: Callable[[Path], None], root: Path, whole: Whole
) -> None:
    kill_midway(root, "linear", 3, 0)
    older = study(root)
    assert older
    change(root)

    said = project.said(project.stage(root, "tune", "linear"))

    assert "(recalled)" not in said
    newer = study(root)
    assert newer, "the older journal went with the success of the new one"
    assert newer.key != older.key
    assert len(newer.trials) == TRIALS
    same = made(root, "linear")["trials.json"] == whole.of("linear")["trials.json"]
    assert same == (change is change_code), "a remark decides no trial, but who can know"


def test_of_two_equal_searches_at_once_one_waits_and_uses_what_the_other_judged(root: Path, whole: Whole) -> None:
    both = [start(root, "linear") for _ in range(2)]

    said = [child.communicate(timeout=WITHIN_S)[0] for child in both]

    assert [child.returncode for child in both] == [0, 0], said
    first, second = sorted(said, key=lambda text: text.count("(recalled)"))
    assert first.count("(recalled)") == 0
    assert second.count("(recalled)") == TRIALS
    assert made(root, "linear") == whole.of("linear")


def test_a_whole_search_is_recalled_at_once_and_more_trials_go_on_with_it(root: Path, whole: Whole) -> None:
    project.change_params(root, {"tune": {"trials": 10}})
    project.said(project.stage(root, "tune", "linear"))
    assert n_judged(root) == 10
    project.change_params(root, {"tune": {"trials": TRIALS}})

    finish(root, "linear")

    assert made(root, "linear") == whole.of("linear")
    finish(root, "linear")
    assert made(root, "linear") == whole.of("linear")


def test_code_that_changes_while_it_is_read_starts_no_search(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_late(path: Path) -> pd.DataFrame:
        change_code(root)
        return read_table(path)

    monkeypatch.setattr(tune, "read_table", read_late)

    with pytest.raises(ProjectError, match="changed while the search read them"):
        tune.run(root, params.load(root), "linear")
    assert study(root) is None

import dataclasses
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from lockstep import alive, journal
from lockstep.journal import Journal, Study, parse, studies
from lockstep.trial import Trial

HERE = Path(__file__).parent
SRC = HERE.parent / "src"
KEY = "c0ffee" + "0" * 58
STUDY = Study(KEY, "xgboost", 12, 3, "x86_64 Haswell Python 3.11", alive.me())
TRIALS = [
    Trial(number, {"rate": number / 7, "depth": 3}, (0.1 + number / 3, 0.7), (5, number), number != 2)
    for number in (0, 2, 1, 3, 4, 6)
]
"""In the order in which they were judged."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".lockstep" / "search" / f"{KEY}.jsonl"


def opened(root, said=None, **changes):
    return Journal(root, dataclasses.replace(STUDY, **changes), (said if said is not None else []).append)


def write(root, trials=TRIALS, **changes):
    """Keep trials as a search does, and end."""
    with opened(root, **changes) as book:
        for trial in trials:
            book.append(trial)


def known(root, said=None):
    with opened(root, said) as book:
        return list(book.known.values())


# What is kept.


def test_a_journal_that_is_opened_again_knows_what_was_judged(tmp_path):
    said = []
    assert known(tmp_path, said) == []
    write(tmp_path)
    assert said == []
    assert known(tmp_path, said) == TRIALS
    assert said == ["goes on after 6 trials that were judged before"]


def test_a_search_may_go_on_many_times(tmp_path, path):
    for n in range(len(TRIALS)):
        assert known(tmp_path) == TRIALS[:n]
        write(tmp_path, TRIALS[n : n + 1])
    assert known(tmp_path) == TRIALS
    assert path.read_bytes().count(b"\n") == 1 + len(TRIALS)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_header_says_whose_search_it_is_and_each_line_holds_a_trial(tmp_path, path):
    write(tmp_path)
    header, *lines = map(json.loads, path.read_text().splitlines())
    assert header == {
        "study": KEY,
        "family": "xgboost",
        "trials": 12,
        "batch": 3,
        "machine": "x86_64 Haswell Python 3.11",
        "owner": alive.me().as_json(),
    }
    keys = {"number", "batch", "settings", "losses", "rounds", "complete", "loss", "elapsed"}
    assert {frozenset(line) for line in lines} == {frozenset(keys)}
    assert [line["batch"] for line in lines] == [0, 1, 1, 1, 2, 2]
    assert lines[1]["losses"] == list(TRIALS[1].losses)


def test_the_header_names_the_process_that_searched_last(tmp_path):
    dead = dataclasses.replace(alive.me(), started="1")
    write(tmp_path, owner=dead)
    assert alive.is_dead(studies(tmp_path)[0].owner)
    write(tmp_path, [])
    assert studies(tmp_path)[0].owner == alive.me()


def test_more_trials_go_on_with_the_study_that_fewer_began(tmp_path):
    write(tmp_path)
    with opened(tmp_path, wanted=None) as book:
        assert list(book.known.values()) == TRIALS
    assert studies(tmp_path)[0].wanted is None


def test_the_seconds_of_all_lives_are_added_up(tmp_path, path):
    write(tmp_path, TRIALS[:2])
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    lines[2]["elapsed"] = 41.5
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with opened(tmp_path) as book:
        assert 41.5 <= book.elapsed() < 60
        book.append(TRIALS[2])
    assert 41.5 <= studies(tmp_path)[0].seconds[2] < 60
    with opened(tmp_path) as book:
        book.set_aside("it is not mine")
        assert book.elapsed() < 41


# What is torn or strange.


def test_a_journal_torn_at_any_byte_of_its_last_line_is_cut_to_the_one_before(tmp_path, path):
    write(tmp_path)
    whole = path.read_bytes()
    begin = whole[:-1].rindex(b"\n") + 1
    for end in range(begin, len(whole)):
        path.write_bytes(whole[:end])
        said = []
        assert known(tmp_path, said) == TRIALS[:-1], f"torn at byte {end - begin}"
        assert said[0].endswith("; what was torn behind them is cut off") == (end > begin)
        assert path.read_bytes().splitlines()[1:] == whole[:begin].splitlines()[1:]
    write(tmp_path, TRIALS[-1:])
    assert known(tmp_path) == TRIALS


def test_a_journal_torn_within_its_header_is_set_aside(tmp_path, path):
    write(tmp_path)
    whole = path.read_bytes()
    for end in range(1, whole.index(b"\n") + 1):
        path.write_bytes(whole[:end])
        said = []
        assert known(tmp_path, said) == []
        assert path.with_suffix(".aside").read_bytes() == whole[:end]
        assert said == [f"{path}: it begins without a header. It is kept as {KEY}.aside, and the search starts afresh."]
    write(tmp_path)
    assert known(tmp_path) == TRIALS


def numbered(line, number):
    return line.replace(b'"number": 3', f'"number": {number}'.encode())


@pytest.mark.parametrize(
    "broken",
    [
        lambda line: b"\0" * len(line),
        lambda line: b"",
        lambda line: b"null",
        lambda line: b"[]",
        lambda line: b"7",
        lambda line: b"\xff\xfe",
        lambda line: line + line,
        lambda line: line.replace(b'"complete"', b'"complet"'),
        lambda line: line.replace(b"1.1,", b"1.2,"),
        lambda line: line.replace(b'"elapsed"', b'"lapsed"'),
        lambda line: line.replace(b'"batch": 1', b'"batch": 2'),
        lambda line: numbered(line, 2),
        lambda line: numbered(line, 4),
        lambda line: numbered(line, -3),
        lambda line: numbered(line, "true"),
    ],
)
def test_a_line_that_does_not_fit_ends_what_can_be_used(broken, tmp_path, path):
    write(tmp_path)
    lines = path.read_bytes().splitlines()
    changed = broken(lines[4])
    assert changed != lines[4]
    path.write_bytes(b"\n".join([*lines[:4], changed, *lines[5:], b""]))
    assert known(tmp_path) == TRIALS[:3]
    assert len(path.read_bytes().splitlines()) == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"key": "beef" * 16}, f"its key must be {KEY}; found {'beef' * 16}"),
        ({"family": "linear"}, "its family must be xgboost; found linear"),
        ({"batch": 4}, "its batch must be 3; found 4"),
        ({"machine": "arm64"}, "its machine must be x86_64 Haswell Python 3.11; found arm64"),
    ],
)
def test_a_journal_of_another_study_or_machine_is_set_aside(change, said, tmp_path, path):
    path.parent.mkdir(parents=True)
    theirs = dataclasses.replace(STUDY, **change, trials=tuple(TRIALS[:1]), seconds=(1.0,)).as_bytes()
    path.write_bytes(theirs)
    lines = []
    assert known(tmp_path, lines) == []
    assert lines == [f"{path}: {said}. It is kept as {KEY}.aside, and the search starts afresh."]
    assert path.with_suffix(".aside").read_bytes() == theirs
    assert parse(path.read_bytes()) == STUDY


def test_a_journal_that_is_set_aside_midway_begins_anew(tmp_path, path):
    write(tmp_path)
    said = []
    with opened(tmp_path, said) as book:
        book.set_aside("trial 2 must try this; it holds that")
        assert book.known == {}
        book.append(TRIALS[0])
    assert said[1].startswith(f"{path}: trial 2 must try this; it holds that. It is kept as")
    assert known(tmp_path) == TRIALS[:1]


# One process at a time.


SEARCH = """
import sys
from pathlib import Path
from test_journal import opened
with opened(Path(sys.argv[1])):
    print("searches", flush=True)
    sys.stdin.read()
"""


def test_a_second_search_waits_for_the_first_and_says_for_whom(tmp_path):
    write(tmp_path)
    env = {"PYTHONPATH": f"{HERE}:{SRC}"}
    first = subprocess.Popen(
        [sys.executable, "-c", SEARCH, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    assert first.stdout
    assert first.stdout.readline() == "searches\n"
    said = []

    def say(line):
        said.append(line)
        if line.startswith("waits"):
            first.kill()

    with Journal(tmp_path, STUDY, say) as book:
        assert list(book.known.values()) == TRIALS
    first.communicate(timeout=30)
    assert said[0] == f"waits for process {first.pid} on {alive.me().host}, which makes the same search"
    assert said[1].startswith("goes on after 6 trials")


# What the system refuses.


@pytest.fixture
def limit():
    """Limit how large a file may grow, as a full disk does; back afterwards."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda n_bytes: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_trial_that_cannot_be_written_stops_the_search_and_the_others_are_kept(room, tmp_path, path, limit):
    with opened(tmp_path) as book:
        for trial in TRIALS[:3]:
            book.append(trial)
        limit(path.stat().st_size + room)
        with pytest.raises(OSError, match="File too large") as refused:
            book.append(TRIALS[3])
        limit(resource.RLIM_INFINITY)
    assert refused.value.filename == str(path)
    assert known(tmp_path) == TRIALS[:3]


def test_a_journal_that_cannot_be_begun_leaves_the_one_before_as_it_was(tmp_path, path, limit):
    write(tmp_path)
    before = path.read_bytes()
    limit(len(before) // 2)
    with pytest.raises(OSError, match="File too large") as refused:
        known(tmp_path)
    limit(resource.RLIM_INFINITY)
    assert refused.value.filename == str(path)
    assert path.read_bytes() == before
    assert known(tmp_path) == TRIALS


def test_a_folder_that_cannot_be_made_is_told_with_the_journals_name(tmp_path, path):
    path.parent.parent.mkdir()
    path.parent.write_text("a file stands here")
    with pytest.raises(OSError, match=r"exists|Not a directory") as refused:
        known(tmp_path)
    assert refused.value.filename == str(path)


# Who reads, and what is left.


def test_studies_are_read_while_they_are_written(tmp_path, path):
    assert studies(tmp_path) == []
    with opened(tmp_path) as book:
        book.append(TRIALS[0])
        with path.open("ab") as file:
            file.write(b'{"number": 1, "set')
        (path.parent / "broken.jsonl").write_bytes(b"{}\n")
        (found,) = studies(tmp_path)
    assert (found.key, found.family, found.wanted, found.trials) == (KEY, "xgboost", 12, (TRIALS[0],))
    assert len(found.seconds) == 1


def test_to_read_studies_nothing_heavy_is_loaded():
    program = "import sys; from lockstep import journal; print({'pandas', 'optuna', 'sklearn'} & set(sys.modules))"
    asked = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(SRC)}
    )
    assert asked.stdout == "set()\n"


def test_the_next_good_search_of_a_family_removes_the_journals_of_its_older_studies(tmp_path, path):
    write(tmp_path, key="a" * 64)
    write(tmp_path, key="b" * 64, family="linear")
    (path.parent / f"{'a' * 64}.aside").write_text("of no use")
    (path.parent / f"{'d' * 64}.jsonl").touch()
    with opened(tmp_path, key="e" * 64), opened(tmp_path) as book:
        book.set_aside("something")
        book.forget_others()
        left = {file.name[0] + file.suffix for file in path.parent.iterdir()}
    assert left == {"b.jsonl", "c.jsonl", "e.jsonl"}, "another family's, this one, and one that a process holds"


def test_a_key_is_the_same_for_the_same_parts_in_any_order():
    assert journal.key_of({"a": 1, "b": [0.5]}) == journal.key_of({"b": [0.5], "a": 1})
    assert journal.key_of({"a": 1}) != journal.key_of({"a": 2})

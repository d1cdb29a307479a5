"""The line over small graphs of shell commands; tests/pipeline/test_flow.py has the real one."""

import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from lockstep import digest
from lockstep.errors import LockstepError, ProjectError, StageFailed
from lockstep.line import Line, Result, n_at_once, say
from lockstep.processes import Watch

PARAMS = "problem: binary\nsource: {kind: simulate, rows: 30}\nfamilies: [linear]\nseed: 7\n"
STAGES = {
    "first": {"cmd": "echo first >> runs; cat rows > a", "deps": ["rows"], "outs": ["a"]},
    "left": {"cmd": "echo left >> runs; cp a b", "deps": ["a"], "params": ["seed"], "outs": ["b"]},
    "right": {"cmd": "echo right >> runs; mkdir c; cp a c/one", "deps": ["a"], "outs": ["c"]},
    "last": {"cmd": "echo last >> runs; cat b c/one > d", "deps": ["b", "c"], "outs": ["d"]},
}
QUIET = Watch()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for words in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"]):
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "rows").write_text("1\n")
    write(tmp_path, {})
    return tmp_path


def write(root: Path, changed: dict[str, dict[str, object]]) -> None:
    stages = {name: {**block, **changed.get(name, {})} for name, block in STAGES.items()}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))


def write_cmd(root: Path, name: str, command: str) -> None:
    stages = yaml.safe_load((root / "dvc.yaml").read_text())
    stages["stages"][name]["cmd"] = command
    (root / "dvc.yaml").write_text(yaml.safe_dump(stages, sort_keys=False))


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def run(root: Path, watch: Watch = QUIET) -> dict[str, Result | LockstepError]:
    """Run all stages, each in a thread as soon as what it reads is there."""
    found: dict[str, Result | LockstepError] = {}

    def one(line: Line, name: str) -> None:
        try:
            for before in line.producers[name]:
                asked[before].result()
                if not isinstance(found.get(before), Result):
                    return
            found[name] = line.run(name, watch)
        except LockstepError as error:
            found[name] = error

    with Line(root) as line, ThreadPoolExecutor(8) as pool:
        asked = {}
        for name in line.stages:
            asked[name] = pool.submit(one, line, name)
    for future in asked.values():
        future.result()
    return found


def runs(root: Path) -> list[str]:
    return (root / "runs").read_text().split() if (root / "runs").exists() else []


def lock(root: Path) -> dict[str, object]:
    return dict(yaml.safe_load((root / "dvc.lock").read_text())["stages"])


def dvc_status(root: Path) -> str:
    return subprocess.run(["dvc", "status"], cwd=root, check=True, capture_output=True, text=True).stdout


def test_every_stage_is_made_and_dvc_agrees(root: Path) -> None:
    assert set(run(root).values()) == {Result.MADE}
    assert (root / "d").read_text() == "1\n1\n"
    assert "up to date" in dvc_status(root)


def test_the_lock_is_the_one_of_dvc_repro(root: Path) -> None:
    run(root)
    ours = (root / "dvc.lock").read_bytes()

    subprocess.run("rm -rf dvc.lock .dvc/cache a b c d", shell=True, cwd=root, check=True)
    subprocess.run(["dvc", "repro", "--quiet"], cwd=root, check=True)

    assert (root / "dvc.lock").read_bytes() == ours


def test_what_is_up_to_date_is_not_run_again(root: Path) -> None:
    run(root)

    assert set(run(root).values()) == {Result.UNCHANGED}
    assert len(runs(root)) == 4


def test_what_changed_and_what_follows_is_run_again(root: Path) -> None:
    run(root)
    (root / "params.yaml").write_text(PARAMS.replace("seed: 7", "seed: 8"))

    found = run(root)

    assert found == {
        "first": Result.UNCHANGED,
        "left": Result.MADE,
        "right": Result.UNCHANGED,
        "last": Result.UNCHANGED,
    }, "its bytes are as before, so nothing follows"
    assert "up to date" in dvc_status(root)


def test_what_was_made_before_is_taken_from_the_cache(root: Path) -> None:
    run(root)
    (root / "rows").write_text("2\n")
    run(root)
    (root / "rows").write_text("1\n")

    assert set(run(root).values()) == {Result.RESTORED}
    assert (root / "d").read_text() == "1\n1\n"
    assert "up to date" in dvc_status(root)


def test_an_out_that_is_missing_is_taken_from_the_cache(root: Path) -> None:
    run(root)
    (root / "c" / "one").unlink()

    assert run(root)["right"] is Result.RESTORED
    assert (root / "c" / "one").read_text() == "1\n"


def test_an_altered_out_is_put_right_before_it_is_read(root: Path) -> None:
    run(root)
    (root / "b").write_text("9\n")

    assert run(root)["left"] is Result.RESTORED
    assert (root / "b").read_text() == "1\n"


def test_two_stages_run_at_the_same_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_STAGES", "2")
    meet = "touch {own}; while [ ! -e {other} ]; do sleep 0.05; done; "
    write(
        root,
        {
            "left": {"cmd": meet.format(own="l", other="r") + "cp a b"},
            "right": {"cmd": meet.format(own="r", other="l") + "mkdir c; cp a c/one"},
        },
    )

    assert set(run(root).values()) == {Result.MADE}


def test_no_more_stages_run_at_once_than_allowed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_STAGES", "1")
    alone = "mkdir alone || exit 1; sleep 0.2; rmdir alone; "
    write(root, {"left": {"cmd": alone + "cp a b"}, "right": {"cmd": alone + "mkdir c; cp a c/one"}})

    assert set(run(root).values()) == {Result.MADE}


def test_a_failed_stage_stops_what_follows_and_nothing_else(root: Path) -> None:
    write(root, {"left": {"cmd": "echo no such row >&2; exit 1"}})

    found = run(root)

    assert str(found["left"]) == "no such row"
    assert found["right"] is Result.MADE
    assert "last" not in found
    assert list(lock(root)) == ["first"], "what dvc repro would record next is the failed stage"


def test_what_finished_beside_a_failure_is_not_run_again(root: Path) -> None:
    write(root, {"left": {"cmd": "[ -e allowed ] && cp a b"}})
    run(root)
    (root / "allowed").touch()

    found = run(root)

    assert found["right"] is Result.RESTORED
    assert list(lock(root)) == ["first", "left", "right", "last"]
    assert runs(root).count("right") == 1


def test_a_stage_that_makes_less_than_it_says_fails(root: Path) -> None:
    write(root, {"first": {"cmd": "true"}})

    assert str(run(root)["first"]) == "ended well, but a is missing; dvc.yaml says that it makes it"


def test_what_was_made_while_its_input_changed_is_not_recorded(root: Path) -> None:
    write(root, {"first": {"cmd": "cat rows > a; echo 2 > rows"}})

    failed = run(root)["first"]

    assert isinstance(failed, StageFailed)
    assert str(failed) == "rows was changed while it ran; what it made is not recorded"
    assert failed.passing
    assert not (root / "dvc.lock").exists()


def test_a_run_that_is_stopped_ends_its_stages(root: Path) -> None:
    write(root, {"first": {"cmd": "touch begun; sleep 100"}})
    line = Line(root)
    with ThreadPoolExecutor(1) as pool, line:
        asked = pool.submit(line.run, "first", QUIET)
        end = time.monotonic() + 30
        while not (root / "begun").exists() and time.monotonic() < end:
            time.sleep(0.01)
        line.stop()
        with pytest.raises(StageFailed, match="was stopped"):
            asked.result(timeout=30)
        with pytest.raises(StageFailed, match="was stopped before it began"):
            line.run("first", QUIET)


def test_the_same_stage_of_two_runs_is_made_once(root: Path) -> None:
    write(root, {"first": {"cmd": "echo first >> runs; sleep 1; cat rows > a"}})
    told: list[str] = []
    lines = Line(root), Line(root)
    both = threading.Barrier(2)

    def one(line: Line) -> Result:
        with line:
            both.wait(30)
            return line.run("first", Watch(told.append))

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(one, lines))

    assert sorted(found) == [Result.MADE, Result.UNCHANGED]
    assert runs(root) == ["first"]


def test_two_runs_that_each_have_what_the_other_wants_both_end(root: Path) -> None:
    """Neither may keep DVC's thread, by which stages are kept and let go of, while it waits for the other."""
    meet = "touch {0}_on; while [ ! -e {1}_on ]; do sleep 0.02; done; "
    for one, other, more in (("left", "right", "cp a b"), ("right", "left", "mkdir c; cp a c/one")):
        write_cmd(root, one, f"echo {one} >> runs; {meet.format(one, other)}{more}")
    lines = Line(root), Line(root)
    with lines[0], lines[1], ThreadPoolExecutor(4) as pool:
        for line in lines:
            line.run("first", QUIET)
        asked = [pool.submit(lines[0].run, "left", QUIET), pool.submit(lines[1].run, "right", QUIET)]
        until(lambda: (root / "left_on").exists() and (root / "right_on").exists())
        asked += [pool.submit(lines[0].run, "right", QUIET), pool.submit(lines[1].run, "left", QUIET)]
        found = [one.result(timeout=60) for one in asked]

    assert found[:2] == [Result.MADE, Result.MADE]
    assert Result.MADE not in found[2:]
    assert sorted(runs(root)) == ["first", "left", "right"]
    assert list(lock(root)) == ["first", "left", "right"]


def test_what_reads_a_finished_stage_that_waits_for_a_failed_one_fails_too(root: Path) -> None:
    """``dvc.lock`` holds stages in the order of ``dvc repro``, and by it the reader checks what it reads."""
    write(root, {"left": {"cmd": "[ -e allowed ] && cp a b"}, "last": {"deps": ["c"], "cmd": "cat c/one > d"}})

    found = run(root)

    assert found["right"] is Result.MADE
    failed = found["last"]
    assert isinstance(failed, StageFailed)
    assert str(failed) == "waits for right, which dvc.lock can hold only after left; that failed"
    assert failed.passing
    (root / "allowed").touch()
    assert run(root)["last"] is Result.MADE


def test_a_lock_that_could_not_be_written_once_is_written_by_the_next(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = digest.write_atomic

    def refuses(path: Path, content: str | bytes) -> None:
        if path.name == "dvc.lock":
            raise OSError(28, "No space left on device", str(path))
        written(path, content)

    with Line(root) as line:
        monkeypatch.setattr(digest, "write_atomic", refuses)
        with pytest.raises(StageFailed, match=r"No space left on device: .*dvc\.lock"):
            line.run("first", QUIET)
        monkeypatch.setattr(digest, "write_atomic", written)
        assert line.run("first", QUIET) in Result
    assert list(lock(root)) == ["first"]


def test_a_stage_that_reads_nothing_is_made(root: Path) -> None:
    write(root, {"first": {"cmd": "echo 1 > a", "deps": []}})

    assert run(root)["first"] is Result.MADE


def test_a_wrong_number_of_stages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_STAGES", "many")

    with pytest.raises(ProjectError, match="LOCKSTEP_STAGES must be a whole number of at least 1; got 'many'"):
        n_at_once()


def test_a_failure_names_its_stage_once() -> None:
    assert say("tune@linear", StageFailed("lockstep tune: no rows")) == "lockstep tune: no rows"
    assert say("tune@linear", StageFailed("was stopped")) == "lockstep tune@linear: was stopped"

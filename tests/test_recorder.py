"""Locks of the dead, and objects that are damaged; that stages end as dvc repro ends them: tests/test_line.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lockstep import alive, graph, objects
from lockstep.commands import verify
from lockstep.line import Line, Result
from lockstep.processes import Watch
from lockstep.recorder import MARK, Recorder, forget_the_dead

Info = dict[str, object]


def info(command: str, pid: int | None = None) -> Info:
    return {"pid": pid or os.getpid(), "cmd": command}


def left(tmp_path: Path, write: dict[str, Info], read: dict[str, list[Info]]) -> dict[str, dict[str, object]]:
    path = tmp_path / "rwlock"
    path.write_text(json.dumps({"write": write, "read": read}))
    forget_the_dead(path)
    return dict(json.loads(path.read_text()))


def ours(started: str) -> str:
    return f"{MARK} 1a2b, stage fit, of a process that began at tick {started}"


@pytest.fixture
def ended() -> int:
    """Return the number of a process that ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(30)
    return process.pid


def test_a_lock_of_a_process_that_lives_is_kept(tmp_path: Path) -> None:
    living = subprocess.Popen([sys.executable, "-c", "input()", "dvc", "repro"], stdin=subprocess.PIPE)
    kept = info("dvc repro", living.pid)
    try:
        found = left(tmp_path, {"/a": kept, "/b": info(ours(alive.me().started))}, {"/c": [kept]})
    finally:
        living.communicate(b"\n", timeout=30)

    assert found == {"write": {"/a": kept, "/b": info(ours(alive.me().started))}, "read": {"/c": [kept]}}


def test_a_lock_of_dvc_run_as_a_module_is_kept(tmp_path: Path) -> None:
    """DVC notes the path of its own module, which stands in no command line."""
    living = subprocess.Popen([sys.executable, "-c", "input()", "-m", "dvc", "repro"], stdin=subprocess.PIPE)
    kept = info("/lib/python/dvc/__main__.py repro", living.pid)
    try:
        assert left(tmp_path, {"/a": kept}, {})["write"] == {"/a": kept}
    finally:
        living.communicate(b"\n", timeout=30)


def test_a_lock_of_a_process_that_ended_is_forgotten(tmp_path: Path, ended: int) -> None:
    assert left(tmp_path, {"/a": info("dvc repro", ended)}, {"/b": [info("dvc repro", ended)]}) == {
        "write": {},
        "read": {},
    }


def test_a_lock_whose_number_is_another_process_now_is_forgotten(tmp_path: Path) -> None:
    found = left(tmp_path, {"/a": info("/nowhere/bin/dvc repro"), "/b": info(ours("1"))}, {})

    assert found["write"] == {}


def test_of_several_readers_those_that_live_stay(tmp_path: Path, ended: int) -> None:
    mine = info(ours(alive.me().started))

    assert left(tmp_path, {}, {"/a": [info("dvc repro", ended), mine]})["read"] == {"/a": [mine]}


@pytest.mark.parametrize("torn", ["", '{"write": {"/a": {"pi', "[]", '{"write": []}', '{"write": {"/a": 5}}'])
def test_a_torn_file_of_locks_is_forgotten_as_a_whole(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "rwlock"
    path.write_text(torn)

    forget_the_dead(path)

    assert json.loads(path.read_text()) == {"write": {}, "read": {}}


def test_no_file_of_locks_is_left_as_it_is(tmp_path: Path) -> None:
    forget_the_dead(tmp_path / "rwlock")

    assert not (tmp_path / "rwlock").exists()


# Damaged objects.


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project of one stage that was run once."""
    monkeypatch.chdir(tmp_path)
    for words in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"]):
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "params.yaml").write_text("problem: binary\nsource: {kind: simulate}\nfamilies: [linear]\n")
    (tmp_path / "rows").write_text("1\n")
    stage = {"cmd": "echo >> runs; mkdir made; cp rows made/one; cp rows other", "deps": ["rows"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"make": {**stage, "outs": ["made", "other"]}}}))
    assert run(tmp_path)[0] is Result.MADE
    return tmp_path


def run(root: Path) -> tuple[Result, list[str]]:
    told: list[str] = []
    with Line(root) as line:
        return line.run("make", Watch(told.append)), told


def damage(root: Path, *, mode: int | None = 0o444) -> str:
    """Alter the object of ``made/one``; return its name."""
    named = graph.md5(root / "rows")
    path = objects.place(root / ".dvc" / "cache" / "files" / "md5", named)
    if mode is None:
        objects.remove(path)
        return named
    path.chmod(0o644)
    path.write_text("2\n")
    path.chmod(mode)
    return named


def forget_outs(root: Path) -> None:
    subprocess.run(["rm", "-rf", "made", "other"], cwd=root, check=True)


@pytest.mark.parametrize(("mode", "word"), [(0o444, "damaged"), (0o644, "damaged"), (None, "missing")])
def test_a_damaged_object_is_never_restored_but_made_again(root: Path, mode: int | None, word: str) -> None:
    named = damage(root, mode=mode)
    forget_outs(root)

    result, told = run(root)

    assert result is Result.MADE
    assert told[0] == f"made: object {named} of DVC's cache is {word}"
    assert (root / "made" / "one").read_text() == "1\n"
    assert (root / "runs").read_text() == "\n\n"
    assert verify.verify(root).passed


def test_a_damaged_object_is_fetched_where_there_is_a_remote(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    remote = tmp_path_factory.mktemp("remote")
    for words in (["remote", "add", "--quiet", "-d", "store", str(remote)], ["push", "--quiet"]):
        subprocess.run(["dvc", *words], cwd=root, check=True, capture_output=True)
    damage(root)
    forget_outs(root)

    result, _ = run(root)

    assert result is Result.RESTORED
    assert (root / "made" / "one").read_text() == "1\n"
    assert (root / "runs").read_text() == "\n"


def test_a_remote_that_does_not_answer_costs_the_restoring_alone(root: Path) -> None:
    subprocess.run(["dvc", "remote", "add", "--quiet", "-d", "store", str(root / "nowhere")], cwd=root, check=True)
    damage(root)
    forget_outs(root)

    assert run(root)[0] is Result.MADE


def test_verifying_finds_every_byte_as_recorded(root: Path) -> None:
    assert verify.verify(root) == verify.Verdict(
        True, "2 outs are what dvc.lock records, in the working tree and in DVC's cache"
    )


def test_verifying_names_a_damaged_object_and_takes_it_away(root: Path) -> None:
    named = damage(root)

    found = verify.verify(root)

    assert not found.passed
    assert f"made: object {named} of DVC's cache is damaged" in found.said
    assert "other: DVC's cache cannot give it back" in found.said
    assert not objects.place(root / ".dvc" / "cache" / "files" / "md5", named).exists()


def test_verifying_names_a_file_whose_bytes_are_others(root: Path) -> None:
    (root / "other").write_text("2\n")

    found = verify.verify(root)

    assert found == verify.Verdict(
        False, "other: its bytes are not those that dvc.lock records; `dvc repro` makes it again"
    )


def test_verifying_names_a_file_that_is_missing(root: Path) -> None:
    (root / "other").unlink()

    found = verify.verify(root)

    assert found == verify.Verdict(False, "other: it is missing here; `dvc repro` takes it from DVC's cache")


def test_verifying_passes_over_what_left_the_graph(root: Path) -> None:
    lock = root / "dvc.lock"
    entries = yaml.safe_load(lock.read_text())
    entries["stages"]["gone"] = {"cmd": "x", "outs": [{"path": "gone", "hash": "md5", "md5": "0" * 32, "size": 1}]}
    lock.write_text(yaml.safe_dump(entries, sort_keys=False))

    assert verify.verify(root).passed


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Return a DVC project with a file in its cache and in its remote."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "rows.csv").write_text("a\n1\n")
    far = tmp_path / "far"
    for words in (["init", "--quiet", "--no-scm"], ["remote", "add", "--quiet", "-d", "far", str(far)]):
        subprocess.run([sys.executable, "-m", "dvc", *words], cwd=root, check=True)
    for words in (["add", "--quiet", "rows.csv"], ["push", "--quiet"]):
        subprocess.run([sys.executable, "-m", "dvc", *words], cwd=root, check=True)
    return root


def test_a_file_is_copied_out_of_the_cache_else_of_the_remote_and_neither_changes(kept: Path, tmp_path: Path) -> None:
    """What the cache has damaged stays there: `lockstep verify` mends it."""
    named, to = graph.md5(kept / "rows.csv"), tmp_path / "copies" / "rows.csv"
    cached, far = (
        objects.place(folder / "files" / "md5", named) for folder in (kept / ".dvc" / "cache", tmp_path / "far")
    )
    recorder = Recorder(kept)
    try:
        assert recorder.copy_out(named, to) == ("DVC's cache", [])
        cached.chmod(0o644)
        cached.write_text("a\n2\n")
        assert recorder.copy_out(named, to) == ("remote 'far'", ["DVC's cache has it damaged"])
        assert to.read_text() == "a\n1\n"
        assert cached.read_text() == "a\n2\n"
        cached.unlink()
        assert recorder.copy_out(named, to) == ("remote 'far'", ["DVC's cache lacks it"])
        assert not cached.exists()
        far.unlink()
        assert recorder.copy_out(named, to) == ("", ["DVC's cache lacks it", "remote 'far' lacks it"])
    finally:
        recorder.close()


def test_a_remote_that_cannot_be_used_is_told(kept: Path, tmp_path: Path) -> None:
    words = ["remote", "modify", "--quiet", "far", "url", "s3://nowhere/at/all"]
    subprocess.run([sys.executable, "-m", "dvc", *words], cwd=kept, check=True)
    recorder = Recorder(kept)
    try:
        place, faults = recorder.copy_out("0123456789abcdef0123456789abcdef", tmp_path / "rows.csv")
    finally:
        recorder.close()

    assert not place
    assert faults[0] == "DVC's cache lacks it"
    assert faults[1].startswith("remote 'far' did not give it (s3 is supported, but requires 'dvc-s3'")

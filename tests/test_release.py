"""Releases, with BentoML's own store and real servers."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent / "service"))

import small_project

from lockstep import contract as contracts
from lockstep import digest, release, replay
from lockstep.contract.read import read
from lockstep.contract.request import Door
from lockstep.errors import IntegrityError, Rejected, ReleaseError
from lockstep.params import Package, Params
from lockstep.release import Release
from lockstep.service import released

PARAMS = Params(problem="binary", source={"kind": "file"}, families=("xgboost",), package=Package(replay_rows=60))


@pytest.fixture(autouse=True, scope="module")
def store() -> Iterator[None]:
    with small_project.store():
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project.make(tmp_path_factory.mktemp("project"), family="linear")


@pytest.fixture(scope="module")
def packaged(root: Path) -> Release:
    return release.package(root, PARAMS)


@pytest.fixture
def project(root: Path, packaged: Release, tmp_path: Path) -> Path:
    """A copy of the packaged project, to be spoiled."""
    return Path(shutil.copytree(root, tmp_path / "project"))


def stored(kind: str, found: Release) -> Path:
    return Path(os.environ["BENTOML_HOME"], kind, *found.tag.split(":"))


def test_a_package_is_recorded_and_the_first_goes_live(root: Path, packaged: Release) -> None:
    record = json.loads((root / "models" / "bento.json").read_text())
    assert record["bento"] == packaged.tag == f"churn:{packaged.digest[:16]}"
    assert record["release"] == packaged.digest
    assert record["predictor"] == digest.of_file(root / "models" / "predictor" / "manifest.json")
    assert record["contract"] == digest.of_file(root / contracts.FILE)
    assert release.live(root) == {
        "release": packaged.digest,
        "bento": packaged.tag,
        "model": packaged.predictor,
        "manifest": packaged.manifest,
    }
    assert release.live_folder(root) == packaged.folder == root / ".lockstep" / "releases" / packaged.digest


def test_a_release_is_sealed_and_read_only(packaged: Release) -> None:
    assert {path.name for path in packaged.folder.iterdir()} == {
        "manifest.json",
        "identity.json",
        "predictor",
        "contract.json",
        "schema.json",
        "card.json",
        "golden.json",
    }
    files = [path for path in packaged.folder.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o444}
    assert digest.verify(packaged.folder) == packaged.manifest
    golden = json.loads((packaged.folder / "golden.json").read_text())
    assert len(golden["rows"]) == len(golden["expected"]) == 50


def test_an_image_of_the_bento_gets_the_locked_versions(packaged: Release) -> None:
    pins = (stored("bentos", packaged) / "env" / "python" / "requirements.txt").read_text().split()
    locked = dict(pin.split("==") for pin in pins)
    assert locked["bentoml"] == "1.4.39"
    assert locked["xgboost"] == "3.2.0"
    assert {"numpy", "orjson", "scipy", "starlette", "treelite"} <= set(locked)
    assert not {"pandas", "scikit-learn", "mlflow"} & set(locked)


def test_an_equal_digest_is_the_same_bento_and_nothing_is_made_again(root: Path, packaged: Release) -> None:
    files = [
        packaged.folder / "manifest.json",
        stored("bentos", packaged) / "bento.yaml",
        stored("models", packaged) / "model.yaml",
    ]
    before = [(file.stat().st_ino, file.stat().st_mtime_ns) for file in files]
    assert release.build(root) == packaged
    assert [(file.stat().st_ino, file.stat().st_mtime_ns) for file in files] == before


def test_two_projects_alike_make_the_same_release(packaged: Release, tmp_path: Path) -> None:
    again = release.build(small_project.make(tmp_path, family="linear"))
    assert (again.digest, again.manifest) == (packaged.digest, packaged.manifest)


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("models", "release/schema.json"),
        ("models", "model.yaml"),
        ("bentos", "src/lockstep/encoder.py"),
        ("bentos", "src/release.json"),
        ("bentos", "bento.yaml"),
    ],
)
def test_what_is_broken_in_the_store_is_made_again(root: Path, packaged: Release, kind: str, file: str) -> None:
    path = stored(kind, packaged) / file
    content = path.read_bytes()
    path.unlink()
    release.build(root)
    if file.endswith(".yaml"):
        assert path.is_file()
    else:
        assert path.read_bytes() == content


def test_a_release_that_is_broken_is_made_again(project: Path, packaged: Release) -> None:
    folder = project / ".lockstep" / "releases" / packaged.digest
    (folder / "schema.json").chmod(0o644)
    (folder / "schema.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"is damaged: .*schema.json was changed.*`make run`"):
        release.live_folder(project)
    assert release.build(project).manifest == packaged.manifest
    release.live_folder(project)


@pytest.mark.parametrize("column", ["probability_no", "probability_yes"])
def test_an_answer_that_is_one_bit_off_is_not_packaged(project: Path, packaged: Release, column: str) -> None:
    file = project / "reports" / "predictions.parquet"
    answers = pd.read_parquet(file)
    taken = np.unique(np.linspace(0, len(answers) - 1, 60).astype(int))[55]
    answers.loc[taken, column] = np.nextafter(answers.loc[taken, column], 1)
    answers.to_parquet(file)
    (project / "models" / "bento.json").unlink()
    with pytest.raises(ReleaseError, match=rf"must answer test row {answers['row'][taken]} as evaluate did"):
        release.package(project, PARAMS)
    assert not (project / "models" / "bento.json").exists()
    release.live_folder(project)


def test_a_rejected_predictor_is_not_packaged(tmp_path: Path) -> None:
    root = small_project.make(tmp_path, accepted=False)
    with pytest.raises(Rejected, match=r"rejected by better_than_trivial \(it is better by 0.1\)"):
        release.package(root, PARAMS)
    assert not (root / ".lockstep").exists()


def test_a_verdict_on_another_predictor_does_not_count(project: Path) -> None:
    file = project / "reports" / "verdict.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "predictor": "0" * 64}))
    with pytest.raises(ReleaseError, match="it is about 0000000000000000"):
        release.package(project, PARAMS)


def test_predictions_of_other_rows_do_not_count(project: Path) -> None:
    file = project / "reports" / "predictions.parquet"
    pd.read_parquet(file)[1:].to_parquet(file)
    with pytest.raises(ReleaseError, match=r"must answer every row of data/test.parquet in order"):
        release.package(project, PARAMS)


def test_a_contract_changed_after_fitting_is_refused(project: Path) -> None:
    file = project / contracts.FILE
    file.write_text(file.read_text().replace("1000", "2000"))
    with pytest.raises(ReleaseError, match=r"rows.json was changed after models/predictor was fitted"):
        release.build(project)


def test_a_changed_predictor_is_refused(project: Path) -> None:
    (project / "models" / "predictor" / "encoder.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"predictor/encoder.json was changed"):
        release.build(project)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("name: churn", "name: lockstep", "name 'lockstep' is also a module"),
        ("    - numpy", "    - nosuchpackage", "names 'nosuchpackage', which requirements.lock does not pin"),
        ("name: churn", "name: My Churn", "name must be lower-case letters.*got 'My Churn'"),
        ("name: churn", "", "must be YAML with a 'name'"),
        ("name: churn", "name: [", "must be YAML with a 'name'"),
    ],
)
def test_a_bentofile_that_cannot_work_is_refused(project: Path, old: str, new: str, complaint: str) -> None:
    file = project / "bentofile.yaml"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ReleaseError, match=complaint):
        release.build(project)


def test_promoting_another_and_the_first_again_moves_the_one_pointer(project: Path, packaged: Release) -> None:
    (project / "requirements.lock").write_text((project / "requirements.lock").read_text() + "# changed\n")
    second = release.build(project)
    assert second.digest != packaged.digest
    assert (release.live(project) or {})["release"] == packaged.digest
    release.promote(project, second)
    assert (release.live(project) or {})["bento"] == second.tag
    release.promote(project, release.find(project, packaged.tag))
    assert release.live_folder(project).name == packaged.digest
    assert [path.name for path in (project / ".lockstep").glob(".live*")] == []


def test_a_damaged_release_is_not_promoted(project: Path, packaged: Release) -> None:
    found = release.find(project, packaged.digest[:8])
    (found.folder / "golden.json").unlink()
    with pytest.raises(IntegrityError, match=r"golden.json is missing"):
        release.promote(project, found)


@pytest.mark.parametrize("wanted", ["", "churn:", "zz", "*"])
def test_a_release_must_be_named_without_doubt(project: Path, wanted: str) -> None:
    with pytest.raises(ReleaseError, match="must name one release; it names 0 of"):
        release.find(project, wanted)


def test_a_pointer_that_is_no_pointer_is_refused(project: Path) -> None:
    for content in ("{", "[]", '{"release": "x"}'):
        (project / ".lockstep" / released.LIVE).write_text(content)
        with pytest.raises(IntegrityError, match="must be a pointer to a release"):
            release.live(project)


def test_after_a_clone_the_bento_is_made_again_to_the_recorded_digest(project: Path, packaged: Release) -> None:
    shutil.rmtree(project / ".lockstep")
    assert release.missing(project)
    assert release.rebuild(project).digest == packaged.digest
    assert not release.missing(project)


def test_nothing_is_missing_where_nothing_was_packaged(tmp_path: Path) -> None:
    assert not release.missing(tmp_path)


def test_what_cannot_be_rebuilt_says_what_differs(project: Path) -> None:
    (project / "requirements.lock").write_text("# another\n")
    (project / "src" / "lockstep" / "encoder.py").write_text("# another\n")
    with pytest.raises(ReleaseError, match=r"packaged with other service code and another requirements.lock than lies"):
        release.rebuild(project)


def test_code_that_a_bento_does_not_carry_does_not_change_its_digest(project: Path, packaged: Release) -> None:
    (project / "src" / "lockstep" / "cli.py").write_text("# another\n")
    assert release.build(project).digest == packaged.digest


@pytest.mark.parametrize("problem", ["binary", "regression"])
def test_rows_as_requests_read_back_to_what_the_table_holds(problem: str, tmp_path: Path) -> None:
    root = small_project.make(tmp_path, problem, "linear")
    contract = contracts.load(root)
    rows = read(small_project.draw(200, seed=9), contract).rows
    sent = replay.request_rows(rows, contract)
    assert json.loads(json.dumps(sent, allow_nan=False)) == sent
    assert set(sent[0]) == set(contract.columns) - {"note", *small_project.TARGETS.values()}
    door = Door(contract)
    for checked, (_, row) in zip(map(door.check, sent), rows.iterrows(), strict=True):
        assert not checked.faults
        for name, value in checked.values.items():
            assert (value is None) if pd.isna(row[name]) else value == row[name]


def test_a_bento_that_does_not_exist_is_reported_with_its_last_line() -> None:
    with (
        pytest.raises(ReleaseError, match=r"`bentoml serve churn:absent` ended with status 1: .*churn:absent"),
        replay.serving("churn:absent"),
    ):
        pass


def test_a_worker_that_cannot_start_is_reported_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = "\nimport sys\nif 'worker' in sys.argv[0]:\n    raise OSError('not here')\n"
    monkeypatch.setattr(small_project, "FEATURES", small_project.FEATURES + broken)
    built = release.build(small_project.make(tmp_path, family="linear"))
    with (
        pytest.raises(ReleaseError, match=r"did not start: src/features.py does not run: OSError: not here"),
        replay.serving(built.tag),
    ):
        pass
    assert children() == []


def test_a_service_that_is_not_ready_in_time_is_ended(packaged: Release) -> None:
    with (
        pytest.raises(ReleaseError, match=r"was not ready within 0.5 s"),
        replay.serving(packaged.tag, ready_within_s=0.5),
    ):
        pass
    assert children() == []


def test_an_interrupt_leaves_no_process(packaged: Release) -> None:
    def interrupted() -> None:
        with replay.serving(packaged.tag):
            assert len(children()) >= 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert children() == []


@pytest.mark.skipif(sys.platform != "linux", reason="ending with the parent is Linux's")
def test_a_killed_parent_leaves_no_process(packaged: Release) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(small_project.REPOSITORY / "src")!r})
from lockstep import replay
with replay.serving({packaged.tag!r}):
    print("ready", flush=True)
    sys.stdin.read()
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    below = psutil.Process(parent.pid).children(recursive=True)
    assert len(below) >= 2
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 15
    assert psutil.wait_procs(below, timeout=deadline - time.monotonic())[1] == []


def test_a_row_that_the_service_refuses_is_named(packaged: Release) -> None:
    rows: list[dict[str, Any]] = [{"low": 1.0}, {"low": "1"}]
    with (
        pytest.raises(ReleaseError, match=r"refused test row 7: 'low' must be a number; found '1'"),
        replay.serving(packaged.tag) as port,
    ):
        replay.compare(port, replay.Sample([5, 7], rows, [{}, {}]), "")


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)

"""`lockstep explain`: what stands behind one recorded answer, and why it is believed."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from lockstep import cli, contract, project, recorded, replay
from lockstep.commands import explain
from lockstep.errors import IntegrityError, ReleaseError, UnknownName
from lockstep.service import record, released
from lockstep.service.record import Asked, Recorder

PRIVATE = "remark"


@pytest.fixture
def predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCKSTEP_PREDICTIONS", raising=False)


def ask(root: Path, *numbers: int, **changed: Any) -> list[tuple[str, dict[str, Any]]]:
    """Record answers to test rows as the service does; return their ids and the rows."""
    found, sample = released.live(project.state(root)), replay.read_sample(root, 100)
    kept = Recorder(recorded.folder(root), contract.load(root), found.identity.tag, found.identity.predictor)
    identity, rows = record.request_id(), [sample.rows[i] for i in numbers]
    names = [record.prediction_id(identity, i) for i in range(len(rows))]
    answers = [{**sample.expected[i], **changed, "prediction_id": name} for i, name in zip(numbers, names, strict=True)]
    kept.add(Asked(identity, time.time(), 0.002, 9, rows, answers))
    kept.close()
    return list(zip(names, rows, strict=True))


def written(root: Path, row: dict[str, Any]) -> Path:
    path = root.parent / "row.json"
    path.write_text(json.dumps(row))
    return path


def numbers_with(root: Path, *, remark: bool) -> list[int]:
    rows = replay.read_sample(root, 100).rows
    return [i for i, row in enumerate(rows) if (row[PRIVATE] is not None) == remark]


@pytest.mark.usefixtures("predictions")
def test_an_answer_is_explained_by_its_recorded_inputs(root: Path) -> None:
    ((identity, row),) = ask(root, numbers_with(root, remark=False)[0])

    found = explain.explain(root, identity)

    (raw,) = found["raw"]
    assert raw["class"] == "no", "the last of the classes, which is the positive one"
    parts = [raw["base"], *raw["contributions"].values()]
    assert sum(parts) == pytest.approx(raw["score"], rel=1e-5)
    assert found["id"] == identity
    assert (
        found["probabilities"]
        == replay.read_sample(root, 100).expected[numbers_with(root, remark=False)[0]]["probabilities"]
    )
    assert (found["inputs"]["low"], found["inputs"]["colour"]) == (row["low"], row["colour"])


@pytest.mark.usefixtures("predictions")
def test_a_private_column_needs_the_row_and_is_not_shown(root: Path) -> None:
    ((identity, row),) = ask(root, numbers_with(root, remark=True)[0])

    with pytest.raises(IntegrityError, match=r"broken at private columns \['remark'\].*--row FILE"):
        explain.explain(root, identity)
    found = explain.explain(root, identity, written(root, row))

    assert found["inputs"][PRIVATE] == "private"
    assert row[PRIVATE] not in json.dumps(found, ensure_ascii=False) + explain.describe(found)
    assert found["raw"][0]["contributions"].keys() >= {"words", "share", "low"}


@pytest.mark.usefixtures("predictions")
def test_another_row_than_the_one_that_was_asked_is_refused(root: Path) -> None:
    ((identity, row),) = ask(root, numbers_with(root, remark=True)[0])

    with pytest.raises(IntegrityError, match="--row: 'remark' must be the value that was asked"):
        explain.explain(root, identity, written(root, {**row, PRIVATE: "another"}))
    with pytest.raises(IntegrityError, match=r"--row: 'low' must be .*, as it was asked; it is 17\.5"):
        explain.explain(root, identity, written(root, {**row, "low": 17.5}))


@pytest.mark.usefixtures("predictions")
def test_an_answer_that_is_another_now_is_named_and_not_explained(root: Path) -> None:
    number = numbers_with(root, remark=False)[0]
    chances = replay.read_sample(root, 100).expected[number]["probabilities"]
    off = {**chances, "no": chances["no"] * (1 + 2.3e-16)}
    assert off["no"] != chances["no"], "the last bit"
    ((identity, _),) = ask(root, number, probabilities=off)

    with pytest.raises(
        IntegrityError, match=f"must be answered again as recorded, .*{off['no']}.*; got .*{chances['no']}"
    ):
        explain.explain(root, identity)


@pytest.mark.usefixtures("predictions")
def test_where_the_code_is_another_than_the_releases_the_difference_is_laid_to_it(root: Path) -> None:
    ((identity, _),) = ask(root, numbers_with(root, remark=False)[0], prediction="perhaps")
    with pytest.raises(IntegrityError, match=r"'perhaps'.* Was it made on another processor\?"):
        explain.explain(root, identity)
    (root / "src" / "lockstep" / "encoder.py").write_text("")
    with pytest.raises(IntegrityError, match="The code in src/lockstep is not that of churn:"):
        explain.explain(root, identity)


@pytest.mark.usefixtures("predictions")
def test_a_release_that_is_gone_and_an_id_that_nobody_recorded_are_named(root: Path) -> None:
    ((identity, _),) = ask(root, 0)
    with pytest.raises(UnknownName, match=f"no prediction '{identity}9' is recorded"):
        explain.explain(root, f"{identity}9")
    (project.state(root) / "releases").rename(root / "elsewhere")
    with pytest.raises(ReleaseError, match="which answered, is not in"):
        explain.explain(root, identity)


@pytest.mark.usefixtures("predictions")
def test_the_table_is_sorted_by_size_and_has_a_bar_for_each(root: Path) -> None:
    ((identity, _),) = ask(root, numbers_with(root, remark=False)[0])
    found = explain.explain(root, identity)

    head, _, table = explain.describe(found).partition("\n\n")

    contributions = found["raw"][0]["contributions"]
    names = [line.split()[0] for line in table.splitlines()]
    assert names == sorted(contributions, key=lambda name: -abs(contributions[name]))
    bars = [
        line.rpartition(" ")[2]
        for line in table.splitlines()
        if round(24 * abs(contributions[line.split()[0]]) / abs(contributions[names[0]]))
    ]
    assert bars[0] in ("+" * 24, "-" * 24)
    assert all(set(bar) == {"+" if contributions[name] > 0 else "-"} for bar, name in zip(bars, names, strict=False))
    assert head.splitlines()[0].startswith(f"prediction  {identity}, 20")
    assert f"score       {found['raw'][0]['score']:.6g}: log odds of 'no'" in head
    assert f"base        {found['raw'][0]['base']:.6g}" in head


@pytest.mark.usefixtures("predictions")
@pytest.mark.parametrize(
    ("problem", "family", "said"),
    [("multiclass", "hist_gradient", ": score of "), ("regression", "linear", ": the number")],
)
def test_other_problems_are_explained_too(made: Callable[..., Path], problem: str, family: str, said: str) -> None:
    root = made(problem, family)
    ((identity, _),) = ask(root, numbers_with(root, remark=False)[0])

    found = explain.explain(root, identity)
    text = explain.describe(found)

    assert said in text
    assert [raw.get("class") for raw in found["raw"]] == (["c", "b", "a"] if problem == "multiclass" else [None])
    assert ("the scores of all 3 classes: --json" in text) == (problem == "multiclass")
    shown = next(raw for raw in found["raw"] if raw.get("class") in (None, found["prediction"]))
    assert f"base        {shown['base']:.6g}" in text


@pytest.mark.usefixtures("predictions")
def test_the_command_prints_a_table_or_json_and_one_line_where_it_cannot(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    ((identity, row),) = ask(root, numbers_with(root, remark=True)[0])

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["lockstep", "explain", *words])
        status = cli.main()
        return status, *capsys.readouterr()

    path = str(written(root, row))
    status, printed, _ = run(identity, "--row", path)
    assert status == 0
    assert printed.startswith(f"prediction  {identity}")
    status, printed, _ = run(identity, "--row", path, "--json")
    assert orjson.loads(printed)["raw"][0]["contributions"]
    status, printed, said = run(identity)
    assert (status, printed) == (1, "")
    assert said.startswith("lockstep: prediction ")
    assert len(said.splitlines()) == 1
    status, _, said = run(identity, "--row", "nowhere.json")
    assert (status, "nowhere.json" in said, len(said.splitlines())) == (1, True, 1)

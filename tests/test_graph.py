"""The graph as we read it; that DVC reads it alike is held by tests/pipeline/test_line.py."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from lockstep import graph
from lockstep.errors import IntegrityError, ParamsError, ProjectError, StageFailed, UnknownName

PARAMS = {
    "seed": 7,
    "source": {"kind": "simulate", "rows": 3},
    "families": ["linear", "xgboost"],
    "tune": {"trials": 2},
}
STAGES: dict[str, Any] = {
    "fit": {"cmd": "fit", "params": ["seed", "families"], "deps": ["models/candidates"], "outs": ["models/winner"]},
    "tune": {
        "matrix": {"family": "${families}"},
        "cmd": "tune ${item.family}",
        "params": ["tune"],
        "deps": ["data/raw.txt", "code/${item.family}.py"],
        "outs": ["models/candidates/${item.family}"],
    },
    "ingest": {
        "cmd": "ingest",
        "params": ["source"],
        "deps": ["code/${source.kind}.py"],
        "outs": [{"data/raw.txt": {"cache": False}}],
        "metrics": ["data/size.json"],
    },
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a project through which a line was run."""
    write(tmp_path, params=PARAMS, dvc={"stages": STAGES})
    for name in ("code/simulate.py", "code/linear.py", "code/xgboost.py", "data/raw.txt", "data/size.json",
                 "models/candidates/linear/best", "models/candidates/xgboost/best", "models/winner"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    write(
        tmp_path,
        lock={"schema": "2.0", "stages": {stage.name: entry(tmp_path, stage) for stage in graph.load(tmp_path)}},
    )
    return tmp_path


def write(root: Path, *, params: Any = None, dvc: Any = None, lock: Any = None) -> None:
    for name, values in (("params.yaml", params), ("dvc.yaml", dvc), ("dvc.lock", lock)):
        if values is not None:
            (root / name).write_text(yaml.safe_dump(values))


def entry(root: Path, stage: graph.Stage) -> dict[str, Any]:
    return {
        "cmd": stage.command,
        "deps": [{"path": path, "md5": graph.digest(root / path)} for path in stage.deps],
        "outs": [{"path": path, "md5": graph.digest(root / path)} for path in stage.outs],
        "params": {"params.yaml": {key: PARAMS[key] for key in stage.params}},
    }


def reasons(root: Path) -> dict[str, tuple[str, ...]]:
    return {found.stage: found.reasons for found in graph.stale(root) if found.reasons}


def test_stages_come_in_an_order_in_which_they_can_run_and_names_are_filled_in(root: Path) -> None:
    ingest, linear, xgboost, fit = graph.load(root)

    assert ingest == graph.Stage(
        "ingest", "ingest", ("code/simulate.py",), ("data/raw.txt", "data/size.json"), ("source",)
    )
    assert linear.name == "tune@linear"
    assert xgboost.command == "tune xgboost"
    assert xgboost.deps == ("data/raw.txt", "code/xgboost.py")
    assert fit.name == "fit", "what depends on the folder of several outs comes after all of them"


def test_nothing_is_stale_after_a_run(root: Path) -> None:
    assert reasons(root) == {}


def test_without_a_lock_every_stage_was_never_run(root: Path) -> None:
    (root / "dvc.lock").unlink()

    assert {stage: why[0] for stage, why in reasons(root).items()} == dict.fromkeys(
        ("ingest", "tune@linear", "tune@xgboost", "fit"), "never run"
    )


def test_a_changed_file_makes_its_stage_stale_and_what_follows_wait(root: Path) -> None:
    (root / "code/xgboost.py").write_text("other")

    assert reasons(root) == {"tune@xgboost": ("code/xgboost.py changed",), "fit": ("waits for tune@xgboost",)}


def test_a_missing_file_is_called_missing(root: Path) -> None:
    (root / "data/raw.txt").unlink()

    assert reasons(root)["ingest"] == ("data/raw.txt is missing",)
    assert reasons(root)["tune@linear"] == ("data/raw.txt is missing", "waits for ingest")


def test_a_changed_parameter_is_named_down_to_its_key(root: Path) -> None:
    write(root, params={**PARAMS, "source": {"kind": "simulate", "rows": 4}, "seed": 8})

    assert reasons(root)["ingest"] == ("params.yaml: source.rows changed",)
    assert "params.yaml: seed changed" in reasons(root)["fit"]


def test_a_family_more_is_a_stage_never_run_and_one_less_is_no_stage(root: Path) -> None:
    write(root, params={**PARAMS, "families": ["linear", "forest"]})

    found = reasons(root)

    assert found["tune@forest"] == ("never run",)
    assert found["fit"] == ("params.yaml: families changed", "waits for tune@forest")
    assert set(found) == {"tune@forest", "fit"}


def test_a_graph_that_changed_itself_is_said(root: Path) -> None:
    fit = {**STAGES["fit"], "cmd": "fit well", "deps": ["models/candidates", "code/linear.py"], "outs": ["models/best"]}
    write(root, dvc={"stages": {**STAGES, "fit": fit}})

    assert reasons(root)["fit"] == (
        "its command changed",
        "code/linear.py is new in dvc.yaml",
        "models/best is new in dvc.yaml",
        "models/winner left dvc.yaml",
    )


def test_a_folder_has_the_digest_that_dvc_gives_it(tmp_path: Path) -> None:
    for name in ("b/c", "b.c", "a"):
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "f" / name).write_text(name)
    (tmp_path / "f" / "__pycache__").mkdir()
    (tmp_path / "f" / "__pycache__" / "x.pyc").write_text("")
    listed = ", ".join(
        f'{{"md5": "{hashlib.md5(name.encode()).hexdigest()}", "relpath": "{name}"}}' for name in ("a", "b/c", "b.c")
    )

    assert graph.digest(tmp_path / "f") == hashlib.md5(f"[{listed}]".encode()).hexdigest() + ".dir"


@pytest.mark.parametrize(
    ("params", "dvc", "kind", "said"),
    [
        (
            {"seed": 7, "source": {"kind": "x"}},
            {"stages": STAGES},
            ParamsError,
            r"params.yaml: families is missing; dvc.yaml asks for it",
        ),
        ({**PARAMS, "families": "linear"}, {"stages": STAGES}, ParamsError, r"params.yaml: families must be a list"),
        (
            PARAMS,
            {
                "stages": {
                    "a": {"cmd": "a", "deps": ["o"], "outs": ["p"]},
                    "b": {"cmd": "b", "deps": ["p"], "outs": ["o"]},
                }
            },
            ProjectError,
            r"dvc.yaml has a cycle among \['a', 'b'\]",
        ),
        (PARAMS, ["stages"], ParamsError, r"dvc.yaml must hold keys and values; found list"),
    ],
)
def test_a_graph_that_cannot_be_read_is_refused(
    params: Any, dvc: Any, kind: type[Exception], said: str, tmp_path: Path
) -> None:
    write(tmp_path, params=params, dvc=dvc)

    with pytest.raises(kind, match=said):
        graph.load(tmp_path)


def test_a_file_that_is_no_yaml_or_not_there_is_named(root: Path) -> None:
    (root / "dvc.yaml").write_text("stages: [")
    with pytest.raises(ParamsError, match=r"dvc.yaml must be YAML; .*line 2"):
        graph.load(root)

    (root / "dvc.yaml").unlink()
    with pytest.raises(ProjectError, match=r"dvc.yaml is missing from "):
        graph.load(root)


# What stages make for each other.


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Return a project of two stages whose outs and lock agree."""
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n"
        "  make: {cmd: a, deps: [rows.csv], outs: [made]}\n"
        "  other: {cmd: b, deps: [rows.csv], outs: [other.txt]}\n"
        "  use: {cmd: c, params: [seed], deps: [made/one.txt], outs: [used.txt]}\n"
    )
    (tmp_path / "params.yaml").write_text("seed: 7\n")
    for name in ("rows.csv", "made/one.txt", "other.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    outs = {"make": "made", "other": "other.txt"}
    (tmp_path / "dvc.lock").write_text(
        yaml.safe_dump(
            {
                "stages": {
                    name: {"cmd": name, "outs": [{"path": out, "md5": graph.digest(tmp_path / out)}]}
                    for name, out in outs.items()
                }
            }
        )
    )
    return tmp_path


def test_a_stage_is_found_by_its_name(recorded: Path) -> None:
    assert graph.stage(recorded, "use").outs == ("used.txt",)


def test_an_unknown_stage_is_answered_with_the_near_match(recorded: Path) -> None:
    with pytest.raises(UnknownName, match=r"dvc.yaml has no stage 'mak'; .*Did you mean 'make'\?"):
        graph.stage(recorded, "mak")


def test_the_producers_of_a_stage_make_what_it_reads(recorded: Path) -> None:
    assert graph.producers(graph.load(recorded)) == {"make": [], "other": [], "use": ["make"]}


def test_what_a_stage_reads_is_told_by_digest_and_value(recorded: Path) -> None:
    found = graph.inputs(recorded, graph.stage(recorded, "use"))

    assert found == {"made/one.txt": graph.digest(recorded / "made/one.txt"), "params.yaml: seed": 7}


def test_a_missing_input_is_told_as_null(recorded: Path) -> None:
    (recorded / "rows.csv").unlink()

    assert graph.inputs(recorded, graph.stage(recorded, "make")) == {"rows.csv": None}


def test_of_a_folder_in_which_others_write_only_what_they_write_is_read(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n"
        "  make: {matrix: {of: [one]}, cmd: a, outs: ['all/${item.of}']}\n"
        "  use: {cmd: b, deps: [all], outs: [used.txt]}\n"
    )
    (tmp_path / "params.yaml").write_text("{}\n")
    for name in ("one", "left"):
        (tmp_path / "all" / name).mkdir(parents=True)
        (tmp_path / "all" / name / "file").write_text(name)
    stage = graph.stage(tmp_path, "use")

    before = graph.inputs(tmp_path, stage)
    (tmp_path / "all" / "left" / "file").unlink()
    graph.check_unchanged(tmp_path, stage, before)

    (tmp_path / "all" / "one" / "file").write_text("altered")
    with pytest.raises(StageFailed, match=r"^all/one was changed while it ran; what it made is not recorded$"):
        graph.check_unchanged(tmp_path, stage, before)


def test_inputs_that_are_those_recorded_pass(recorded: Path) -> None:
    graph.check_inputs(recorded, "use")


def test_an_input_whose_bytes_are_not_those_recorded_stops_a_stage(recorded: Path) -> None:
    (recorded / "made" / "one.txt").write_text("altered")

    with pytest.raises(IntegrityError, match=r"^made must have MD5 \w+\.dir, as dvc.lock records; .*lockstep verify"):
        graph.check_inputs(recorded, "use")


def test_the_outs_of_others_are_not_its_concern(recorded: Path) -> None:
    (recorded / "other.txt").write_text("altered")

    graph.check_inputs(recorded, "use")


def test_a_file_that_changed_is_read_again_though_size_and_time_are_as_before(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    before, known = graph.digest(path), path.stat()

    path.write_text("two")
    os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))

    assert graph.digest(path) != before

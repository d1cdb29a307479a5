"""A byte of the model that changed on disk is named by whoever would use it."""

import importlib
from pathlib import Path

import project
import pytest

from lockstep import params, release
from lockstep.commands.predict import predict
from lockstep.errors import IntegrityError


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(content))


def engine(folder: Path) -> Path:
    """Return the file of a predictor that holds the model itself."""
    return max(
        (path for path in folder.iterdir() if path.name != "manifest.json"), key=lambda path: path.stat().st_size
    )


@pytest.mark.parametrize("stage", ["evaluate", "package"])
def test_a_changed_byte_of_the_predictor_stops_a_stage_by_name(
    stage: str, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = engine(copied / "models" / "predictor")
    flip(changed)
    monkeypatch.setenv("BENTOML_HOME", str(copied / ".lockstep" / "bento"))

    with pytest.raises(
        IntegrityError, match=rf"predictor/{changed.name} was changed: .*`dvc checkout`, or `dvc repro`"
    ):
        importlib.import_module(f"lockstep.stages.{stage}").run(copied, params.load(copied))


def test_dvc_repro_heals_a_changed_byte_of_the_predictor(copied: Path) -> None:
    changed = engine(copied / "models" / "predictor")
    before = changed.read_bytes()
    flip(changed)

    project.said(project.repro(copied))

    assert changed.read_bytes() == before


def test_a_changed_byte_of_the_live_release_stops_predict_and_the_service_by_name(copied: Path, tmp_path: Path) -> None:
    live = release.live(copied)
    assert live
    changed = engine(copied / ".lockstep" / "releases" / live["release"] / "predictor")
    flip(changed)

    with pytest.raises(
        IntegrityError, match=rf"release {live['release'][:16]} is damaged: .*predictor/{changed.name} was"
    ):
        predict(copied, copied / "data" / "test.parquet", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()

    served = project.run(copied, "bentoml", "serve", "--port", "0", timeout=60)
    assert served.returncode != 0
    assert f"{changed.name} was changed" in served.stdout + served.stderr

"""When a stage publishes, and that no fault of its accounts costs its work."""

import json
from pathlib import Path

import pytest

from lockstep import accounts, digest, ledger, publishing
from lockstep.errors import StageFailed


@pytest.fixture
def published_by(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the projects for which a publisher was asked, instead of starting it; tests/pipeline starts them."""
    asked: list[Path] = []

    def ask(root: Path, seconds: float) -> publishing.Outcome:
        asked.append(root)
        return publishing.Outcome(True, "published")

    monkeypatch.setattr(publishing, "best_effort", ask)
    return asked


def entry_of(root: Path, stage: str) -> Path:
    entry = ledger.current(root, stage)
    assert entry
    return root / ".lockstep" / "ledger" / stage / f"{entry['digest']}.json"


def test_the_last_stage_publishes_also_where_a_gate_rejects(root: Path, published_by: list[Path]) -> None:
    with accounts.of(root, "package"):
        pass
    with pytest.raises(StageFailed, match="rejected"), accounts.of(root, "package"):
        raise StageFailed("rejected")

    assert published_by == [root, root]


def test_who_interrupts_it_does_not_wait_for_a_publisher(root: Path, published_by: list[Path]) -> None:
    with pytest.raises(KeyboardInterrupt), accounts.of(root, "package"):
        raise KeyboardInterrupt

    assert published_by == []


@pytest.mark.parametrize(("seconds", "times"), [(59.0, 0), (61.0, 1)])
def test_a_search_that_was_shown_as_it_went_is_shown_as_over_by_the_stage_after_it(
    seconds: float, times: int, root: Path, published_by: list[Path]
) -> None:
    """The line may end there: with the same winner as before, nothing is packaged."""
    path = entry_of(root, "tune@xgboost")
    path.write_text(json.dumps({**json.loads(path.read_text()), "seconds": seconds}))
    (root / "models" / "bento.json").unlink()

    with accounts.of(root, "fit"):
        pass

    assert len(published_by) == times


def test_a_damaged_entry_of_the_ledger_costs_nothing(
    root: Path, published_by: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for stage in ("fit", "tune@linear"):
        entry_of(root, stage).write_text("{torn")

    with accounts.of(root, "fit"):
        pass

    assert "Traceback" not in capsys.readouterr().err
    assert published_by == [root], "where nothing says how long the search took, it may have been shown"


def test_where_the_winner_was_packaged_before_its_fit_ends_the_line_and_publishes(
    root: Path, published_by: list[Path]
) -> None:
    bento = root / "models" / "bento.json"
    for predictor, times in (("another", 0), (digest.of_file(root / "models/predictor" / digest.MANIFEST), 1)):
        bento.unlink(missing_ok=True)
        bento.write_text(json.dumps({"predictor": predictor}))

        with accounts.of(root, "fit"):
            pass

        assert len(published_by) == times

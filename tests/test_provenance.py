"""The release that gave a recorded answer: found by its tag, verified, whatever code wrote it."""

import json
from pathlib import Path

import pytest

from lockstep import digest, provenance
from lockstep.errors import IntegrityError, ReleaseError, UnknownName

IDENTITY = {"name": "churn", "contract": "c0", "code": "c1", "lock": "c2", "bentofile": "c3"}


def write(root: Path, **identity: str) -> dict[str, str]:
    """Write a release as its own code did; return what is recorded of an answer that it gave."""
    made = root / "made"
    (made / "predictor").mkdir(parents=True)
    (made / "predictor" / "model").write_text("a model")
    predictor = digest.seal(made / "predictor")
    (made / "identity.json").write_text(digest.dump_json({**IDENTITY, "predictor": predictor, **identity}))
    digest.seal(made)
    named = digest.of_file(made / "identity.json")
    (root / ".lockstep" / "releases").mkdir(parents=True, exist_ok=True)
    made.rename(root / ".lockstep" / "releases" / named)
    return {"bento": f"churn:{named[:16]}", "model": predictor}


@pytest.mark.parametrize("identity", [{"card": "c4"}, {}, {"card": "c4", "of_tomorrow": "c5"}])
def test_a_release_of_earlier_or_later_code_is_followed_by_its_bytes(identity: dict[str, str], tmp_path: Path) -> None:
    asked = write(tmp_path, **identity)

    found = provenance.release(tmp_path, asked)

    assert found.identity.tag == asked["bento"]
    assert found.identity.digest == found.folder.name
    assert (found.identity.predictor, found.identity.code) == (asked["model"], "c1")


def test_what_was_packed_anew_with_other_content_under_the_old_name_is_refused(tmp_path: Path) -> None:
    asked = write(tmp_path)
    (folder,) = (tmp_path / ".lockstep" / "releases").iterdir()
    (folder / "predictor" / "model").write_text("another model")
    (folder / "predictor" / "manifest.json").unlink()
    other = digest.seal(folder / "predictor")
    (folder / "manifest.json").unlink()
    digest.seal(folder)

    with pytest.raises(IntegrityError, match=f"is damaged: predictor/manifest.json must have digest {asked['model']}"):
        provenance.release(tmp_path, asked)

    identity = json.loads((folder / "identity.json").read_text())
    (folder / "identity.json").write_text(digest.dump_json({**identity, "predictor": other}))
    (folder / "manifest.json").unlink()
    digest.seal(folder)
    with pytest.raises(IntegrityError, match=f"must hold release {asked['bento']}; it holds churn:"):
        provenance.release(tmp_path, asked)


def test_an_answer_of_another_predictor_is_refused(tmp_path: Path) -> None:
    asked = write(tmp_path)

    with pytest.raises(IntegrityError, match="must hold predictor 0123; it holds "):
        provenance.release(tmp_path, {**asked, "model": "0123"})


def test_a_release_or_a_prediction_that_is_not_here_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="release churn:0123, which answered, is not in "):
        provenance.release(tmp_path, {"bento": "churn:0123", "model": "4567"})
    with pytest.raises(UnknownName, match="no prediction 'nonsense' is recorded in "):
        provenance.asked(tmp_path, "nonsense")

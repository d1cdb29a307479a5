"""Objects of DVC's cache that are damaged or gone, and entries of its cache of runs that are torn."""

from pathlib import Path

import cached
import project
import pytest
from cached import DAMAGES
from faults import REPRO
from sites import Site

FILES = {
    "ingest": "data/raw.parquet",
    "validate": "data/valid.parquet",
    "split": "data/train.parquet",
    "featurize": "data/features.parquet",
}
FOLDERS = {
    "tune@linear": "models/candidates/linear",
    "tune@hist_gradient": "models/candidates/hist_gradient",
    "tune@xgboost": "models/candidates/xgboost",
    "fit": "models/predictor",
}
KINDS = {"a file": FILES, "an entry of a folder": FOLDERS, "a folder": FOLDERS}


def damage(site: Site, kind: str, stage: str, how: str) -> str:
    """Damage one object of a stage's out, and remove the out, so that it is wanted; return the object's name."""
    out = KINDS[kind][stage]
    named = cached.outs_of(site.root, stage)[out]
    named = cached.files_of(site.root, named)[0] if kind == "an entry of a folder" else named
    cached.damage(cached.place(site.root, named), how)
    cached.remove(site.root / out)
    return named


def told(kind: str, damaged: dict[str, str]) -> list[str]:
    """Return what is to be said of objects that were damaged in the order of ``DAMAGES``."""
    words = ["missing" if how == "missing" else "damaged" for how in DAMAGES]
    return [
        f"{KINDS[kind][stage]}: object {named} of DVC's cache is {word}"
        for (stage, named), word in zip(damaged.items(), words, strict=True)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_flow_makes_again_what_the_cache_cannot_give_back(kind: str, site: Site) -> None:
    """Four stages, each with one object damaged in another way; no other stage is run."""
    damaged = {stage: damage(site, kind, stage, how) for stage, how in zip(KINDS[kind], DAMAGES, strict=True)}

    ended = site.completes(made=list(KINDS[kind]))

    assert [line for line in told(kind, damaged) if line not in ended.text] == []
    is_verified(site)


@pytest.mark.parametrize("kind", KINDS)
def test_the_flow_takes_from_a_remote_what_the_cache_cannot_give_back(kind: str, site: Site, tmp_path: Path) -> None:
    (site.root / ".dvc" / "config.local").write_text(
        f"[core]\nremote = far\n['remote \"far\"']\nurl = {tmp_path}/far\n"
    )
    project.said(project.run(site.root, "dvc", "push", "--quiet"))
    damaged = {stage: damage(site, kind, stage, how) for stage, how in zip(KINDS[kind], DAMAGES, strict=True)}

    ended = site.completes(made=[])

    assert [line for line in told(kind, damaged) if line not in ended.text] == []
    is_verified(site)


@pytest.mark.parametrize("kind", KINDS)
def test_verify_finds_each_and_dvc_repro_mends_it(kind: str, site: Site) -> None:
    damaged = {stage: damage(site, kind, stage, how) for stage, how in zip(KINDS[kind], DAMAGES, strict=True)}

    found = project.lockstep(site.root, "verify")

    assert found.returncode == 1
    assert [line for line in told(kind, damaged) if line not in found.stdout.splitlines()] == []
    site.completes(REPRO, made=list(KINDS[kind]))
    is_verified(site)


@pytest.mark.parametrize("how", ["altered", "truncated"])
@pytest.mark.parametrize(
    ("kind", "stage", "reader"),
    [("a file", "featurize", "tune@linear"), ("an entry of a folder", "tune@xgboost", "fit")],
)
def test_damaged_bytes_that_dvc_takes_for_intact_are_not_read(
    kind: str, stage: str, reader: str, how: str, site: Site
) -> None:
    """DVC itself gives them back, trusting the object's mode; the stage that would read them stops."""
    damage(site, kind, stage, how)
    site.forget(reader)

    stopped = site.run(REPRO)

    assert stopped.made == [reader]
    stopped.said(f"lockstep {reader.partition('@')[0]}: {KINDS[kind][stage]} must have MD5 ", "run `lockstep verify`")
    assert project.lockstep(site.root, "verify").returncode == 1
    site.completes(REPRO, made=[stage, reader])
    is_verified(site)


def test_damages_that_dvc_notices_are_made_again_by_dvc_repro_at_once(site: Site) -> None:
    """An object whose mode shows that it was written to, one that is missing, and a folder's list that is none."""
    damage(site, "a file", "split", "altered with another mode")
    damage(site, "a file", "featurize", "missing")
    damage(site, "an entry of a folder", "tune@linear", "missing")
    damage(site, "a folder", "tune@xgboost", "altered with another mode")
    damage(site, "a folder", "fit", "truncated")

    site.completes(REPRO, made=["split", "featurize", "tune@linear", "tune@xgboost", "fit"])

    project.lockstep(site.root, "verify")  # it takes away the list that DVC took for intact where it lies
    site.completes(REPRO)
    is_verified(site)


TORN = {"split": "garbage", "featurize": "empty", "tune@linear": "gone", "evaluate": "cut"}


def tear(site: Site) -> None:
    """Damage entries of the cache of runs as kills and full disks do, and have ``dvc.lock`` know none of the stages."""
    commands = {stage: entry["cmd"] for stage, entry in project.lock_of(site.root).items()}
    for path in (site.root / ".dvc" / "cache" / "runs").glob("*/*/*"):
        content = path.read_text()
        state = next((state for stage, state in TORN.items() if f"cmd: {commands[stage]}\n" in content), "")
        path.chmod(0o644)
        if state == "gone":
            path.unlink()
        elif state:
            whole = content.rstrip().rpartition("\n- ")[0] + "\n"  # one out less, and nothing to tell by
            path.write_text({"garbage": "\0\xff", "empty": "", "cut": whole}[state])
    (site.root / "dvc.lock").unlink()


def test_the_flow_goes_on_over_a_torn_cache_of_runs(site: Site) -> None:
    tear(site)

    site.completes(made=list(TORN))
    is_verified(site)


def test_verify_takes_torn_runs_away_so_that_dvc_repro_goes_on(site: Site) -> None:
    """Over a folder without a run DVC itself fails."""
    tear(site)
    stopped = site.run(REPRO)

    assert stopped.status != 0
    assert "Traceback" not in stopped.text

    project.said(project.lockstep(site.root, "verify"))
    site.completes(REPRO)
    is_verified(site)


def is_verified(site: Site) -> None:
    said = project.said(project.lockstep(site.root, "verify"))
    assert "outs are what dvc.lock records, in the working tree and in DVC's cache" in said

"""Say where a predictor was made: at which commit, with which changes, and with which digests on the way."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lockstep import digest, ledger, project, provenance
from lockstep.errors import IntegrityError, ReleaseError
from lockstep.provenance import Entry

Recorded = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Origin:
    """A commit, what was changed there and not committed, and what was recorded of the run."""

    commit: str
    recorder: str
    """Who holds the digests: the commit's ``dvc.lock``, the one that lies here, or the ledger."""
    read: Recorded
    """Of each stage what it read: files by digest, parameters as ``params.yaml: key`` by value."""
    outs: Mapping[str, str]
    patch: Path | None = None
    untracked: tuple[str, ...] = ()
    """Files that git did not know then, and that no patch holds."""
    made_with: str = ""
    """Python, platform and BLAS of the fit, where the ledger knows it."""


def find(root: Path, md5: str) -> Origin:
    """Return where the predictor of this digest, DVC's MD5, was made.

    Raises
    ------
    ReleaseError
        Neither a commit nor the ledger tells.
    IntegrityError
        What the ledger kept was changed.
    """
    entry, commit = provenance.maker(root, md5), provenance.commit(root, md5)
    lock = provenance.lock(root, commit, md5)
    made_with = f"Python {entry['python']}, {entry['platform']}, {', '.join(entry['blas'])}" if entry else ""
    if commit and lock:
        return Origin(commit, "its dvc.lock", *_of_lock(lock), made_with=made_with)
    if entry is None:
        raise ReleaseError(
            f"no commit's dvc.lock holds the predictor (MD5 {md5}), and the ledger does not know the run that made it; "
            "fetch the branch that does, or commit dvc.lock after a run."
        )
    recorder, recorded = (
        ("the dvc.lock that lies here", _of_lock(lock)) if lock else ("the ledger", _of_ledger(root, entry))
    )
    return Origin(
        _known(root, entry), recorder, *recorded, _patch(root, entry), tuple(entry.get("untracked", ())), made_with
    )


def _of_lock(lock: Entry) -> tuple[Recorded, Mapping[str, str]]:
    read = {
        name: {
            **{dep["path"]: dep["md5"] for dep in stage.get("deps", []) if "md5" in dep},
            **{f"params.yaml: {key}": value for key, value in stage.get("params", {}).get("params.yaml", {}).items()},
        }
        for name, stage in lock.items()
    }
    return read, {out["path"]: out["md5"] for stage in lock.values() for out in stage.get("outs", [])}


def _of_ledger(root: Path, fit: Entry) -> tuple[Recorded, Mapping[str, str]]:
    """Follow a fit back by the digests of what each stage read, as far as the ledger leads."""
    folder = project.state(root) / ledger.FOLDER
    known = sorted(map(digest.read_object, folder.glob("*/*.json")), key=lambda entry: str(entry["began"]))
    found, waiting = {str(fit["stage"]): fit}, [fit]
    while waiting:
        read = waiting.pop()["deps"].items()
        makers = [entry for entry in known if read & entry["outs"].items() and entry["began"] <= fit["began"]]
        new = {entry["stage"]: entry for entry in makers if entry["stage"] not in found}  # of several the last
        found |= new
        waiting += new.values()
    outs = {path: md5 for entry in found.values() for path, md5 in entry["outs"].items()}
    return {name: entry["deps"] for name, entry in found.items()}, outs


def _known(root: Path, entry: Entry) -> str:
    """Return the commit at which a fit was run, if git still has it."""
    commit = entry.get("commit")
    if not commit:
        raise ReleaseError("no commit's dvc.lock holds the predictor, and it was made outside of git.")
    if not provenance.git(root, "rev-parse", "--quiet", "--verify", f"{commit}^{{commit}}"):
        raise ReleaseError(f"commit {commit}, at which the predictor was made, is not in this repository; fetch it.")
    return str(commit)


def _patch(root: Path, entry: Entry) -> Path | None:
    """Return the patch that a fit's entry names, its bytes verified."""
    named = entry.get("patch")
    if not named:
        if entry["dirty"] and not entry.get("untracked"):
            limit = f"{ledger.MAX_PATCH_BYTES >> 20} MiB"
            raise ReleaseError(f"the predictor was made with changes never committed; above {limit} they are not kept.")
        return None
    path = project.state(root) / ledger.FOLDER / "patches" / f"{named}.patch"
    if not path.is_file():
        raise ReleaseError(f"the ledger's patch {named}, of changes that were never committed, is missing: {path}.")
    if digest.of_file(path) != named:
        raise IntegrityError(f"{path} was changed: its bytes are not those that its name says.")
    return path

"""Find what stands behind a recorded prediction: the release that answered, and where its predictor was made.

People run first and commit after. So a predictor's origin is the first commit whose ``dvc.lock`` holds it, and where
there is none, what the ledger noted when it was fitted.
"""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from lockstep import digest, graph, ledger, project, recorded
from lockstep.errors import IntegrityError, ReleaseError, UnknownName
from lockstep.service import record, released
from lockstep.service.released import Identity

PREDICTOR = "models/predictor"

Entry = dict[str, Any]


def asked(root: Path, identity: str) -> Mapping[str, Any]:
    """Return a recorded prediction.

    Raises
    ------
    UnknownName
        None of this id is recorded.
    """
    folder = recorded.folder(root)
    found = record.find(folder, identity)
    if found is None:
        raise UnknownName(f"no prediction {identity!r} is recorded in {folder}.")
    return found


def release(root: Path, asked: Mapping[str, Any]) -> released.Found:
    """Return the release that gave a recorded answer, every byte of it verified.

    Raises
    ------
    ReleaseError
        It is not here.
    IntegrityError
        Its bytes changed, or it is not the one that was recorded.
    """
    tag, folders = str(asked["bento"]), project.state(root) / released.RELEASES
    for folder in sorted(folders.glob(f"{tag.rpartition(':')[2]}*")):
        try:
            digest.verify(folder)
            identity = _identity(folder)
            digest.verify(folder / released.PREDICTOR, identity.predictor)
        except IntegrityError as error:
            fault = str(error).partition(";")[0]
            raise IntegrityError(
                f"release {tag} is damaged: {fault}. Remove {folder}; where models/bento.json names that release, "
                "`lockstep rebuild` makes it again."
            ) from error
        if (identity.digest, identity.tag) != (folder.name, tag):
            raise IntegrityError(f"{folder} must hold release {tag}; it holds {identity.tag}.")
        if identity.predictor != asked["model"]:
            raise IntegrityError(f"release {tag} must hold predictor {asked['model']}; it holds {identity.predictor}.")
        return released.Found(identity, folder)
    raise ReleaseError(f"release {tag}, which answered, is not in {folders}.")


@dataclass(frozen=True)
class WrittenIdentity(Identity):
    """An identity as its release has it: earlier code wrote other fields, so its digest is that of the bytes."""

    written: str

    @property
    def digest(self) -> str:
        """The digest of the release."""
        return self.written


def _identity(folder: Path) -> Identity:
    path = folder / released.IDENTITY
    values = {name: str(value) for name, value in digest.read_object(path).items()}
    known = {one.name: values.get(one.name, "") for one in fields(Identity)}
    return WrittenIdentity(**known, written=digest.of_file(path))


def maker(root: Path, md5: str) -> Entry | None:
    """Return the ledger's entry of the fit that made a predictor, given by DVC's MD5."""
    for path in sorted((project.state(root) / ledger.FOLDER / "fit").glob("*.json")):
        entry = digest.read_object(path)
        if entry["outs"].get(PREDICTOR) == md5:
            return entry
    return None


def commit(root: Path, md5: str) -> str | None:
    """Return the first commit, on any branch, whose ``dvc.lock`` holds a digest."""
    touched = git(root, "log", "--all", "--reverse", "--format=%H", f"-S{md5}", "--", graph.LOCK).split()
    return next((one for one in touched if md5 in git(root, "show", f"{one}:./{graph.LOCK}")), None)


def lock(root: Path, commit: str | None, md5: str) -> Entry | None:
    """Return the entries of the ``dvc.lock`` that holds a digest: the commit's, else the one that lies here."""
    here = root / graph.LOCK
    text = git(root, "show", f"{commit}:./{graph.LOCK}") if commit else here.read_text("utf-8") if here.exists() else ""
    found = yaml.safe_load(text) if md5 in text else None
    return dict(found["stages"]) if found else None


def git(root: Path, *words: str) -> str:
    """Return what git says, empty where it fails."""
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, errors="replace", check=False)
    return done.stdout if done.returncode == 0 else ""

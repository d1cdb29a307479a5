"""Say what a release is, which code travels with it, and verify it before anything in it is parsed.

A release is a folder, sealed by its manifest: ``identity.json``, ``predictor/``, ``contract.json``, ``schema.json``
(the OpenAPI document), ``card.json`` (what people are told of the model) and ``golden.json`` (test rows with their
answers). Its digest is that of its identity, which names all that decides an answer; a pointer names the digest, the
bento and the manifest.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lockstep import digest, predictor
from lockstep.contract.request import Door
from lockstep.errors import IntegrityError, ReleaseError
from lockstep.predictor import Predictor

IDENTITY = "identity.json"
SCHEMA = "schema.json"
CARD = "card.json"
GOLDEN = "golden.json"
CONTRACT = "contract.json"
PREDICTOR = "predictor"
LIVE = "live.json"
"""The one pointer, in the project's state folder, beside the folder ``releases``."""
RELEASES = "releases"
PINNED = "release.json"
"""The pointer that a bento carries beside its ``lockstep`` package."""
MODEL_FOLDER = "release"
"""Where the release lies in its BentoML model, beside BentoML's own file."""
SHORT = 16
"""Digits of a digest in the tag of a bento."""
TOLERANCE = 1e-6
"""Accepted difference from a golden answer on another machine, relative to its size; float32 trees round at 6e-8."""

SHIPPED = (
    "__init__.py",
    "contract",
    "digest.py",
    "encoder.py",
    "errors.py",
    "families",
    "features.py",
    "metrics.py",
    "params.py",
    "plugins.py",
    "predictor.py",
    "problems",
    "service",
)
"""What of the package a bento carries; its digest is part of the release's identity."""
SUFFIXES = (".py", ".html", ".css", ".js")


@dataclass(frozen=True)
class Identity:
    """All that decides what a release answers: digests of its parts."""

    name: str
    """Of the bento, as ``bentofile.yaml`` gives it."""
    predictor: str
    contract: str
    card: str
    code: str
    lock: str
    bentofile: str

    def dumps(self) -> str:
        """Return it as JSON."""
        return digest.dump_json(asdict(self))

    @property
    def digest(self) -> str:
        """The digest of the release."""
        return digest.of_bytes(self.dumps().encode())

    @property
    def tag(self) -> str:
        """The tag of its bento, and of the BentoML model that holds the release."""
        return f"{self.name}:{self.digest[:SHORT]}"


@dataclass(frozen=True)
class Pointer:
    """What ``live.json``, and ``release.json`` in a bento, hold."""

    release: str
    bento: str
    model: str
    """Digest of the predictor."""
    manifest: str

    def dumps(self) -> str:
        """Return it as JSON."""
        return digest.dump_json(asdict(self))


@dataclass(frozen=True)
class Found:
    """A release on disk, verified."""

    identity: Identity
    folder: Path


def read_pointer(path: Path) -> Pointer | None:
    """Return what a pointer file says, or None where there is no file.

    Raises
    ------
    IntegrityError
        It is not a pointer.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
        return Pointer(**{name: str(values[name]) for name in Pointer.__dataclass_fields__})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path} must be a pointer to a release; {type(error).__name__}: {error}. Remove it and "
            "run `lockstep release promote`."
        ) from None


def read_identity(folder: Path) -> Identity:
    """Return what ``identity.json`` of a release says.

    Raises
    ------
    IntegrityError
        It is not an identity as this code knows it.
    """
    try:
        return Identity(**json.loads((folder / IDENTITY).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise IntegrityError(f"{folder}/{IDENTITY} is not one that this code reads; {error}. Run `make run`.") from None


def live(state: Path) -> Found:
    """Return the release that is live in a project, whose state folder is given; errors as in :func:`verify`."""
    pointer = read_pointer(state / LIVE)
    if pointer is None:
        raise ReleaseError(f"nothing is live: there is no {state / LIVE}; run `make run` first.")
    return verify(state / RELEASES / pointer.release, pointer)


def verify(folder: Path, pointer: Pointer) -> Found:
    """Check every byte of a release against the pointer that names it.

    Raises
    ------
    IntegrityError
        A byte changed, or the folder holds another release.
    ReleaseError
        There is no such folder.
    """
    if not folder.is_dir():
        raise ReleaseError(
            f"release {pointer.release[:SHORT]} is not at {folder}; make it again with `make run`, or promote "
            "another with `lockstep release promote`."
        )
    try:
        digest.verify(folder, pointer.manifest)
    except IntegrityError as error:
        fault = str(error).partition(";")[0]
        raise IntegrityError(
            f"release {pointer.release[:SHORT]} is damaged: {fault}. Remove {folder} and run "
            "`make run`, which makes it again."
        ) from error
    identity = read_identity(folder)
    if identity.digest != pointer.release:
        raise IntegrityError(f"{folder} must hold release {pointer.release}; found {identity.digest}.")
    return Found(identity, folder)


def load(release: Found) -> Predictor:
    """Read the predictor of a release, and have it answer the golden rows again.

    Raises
    ------
    IntegrityError
        Its bytes are others, or on this machine it answers otherwise.
    """
    found = predictor.load(release.folder / PREDICTOR, release.identity.predictor)
    _check_golden(found, json.loads((release.folder / GOLDEN).read_text("utf-8")))
    return found


def shipped(package: Path) -> list[str]:
    """Return the files of ``package`` that a bento carries, as sorted relative names."""
    found = [path for name in SHIPPED for path in [package / name, *(package / name).rglob("*")]]
    return sorted(
        {path.relative_to(package).as_posix() for path in found if path.suffix in SUFFIXES and path.is_file()}
    )


def code_digest(package: Path) -> str:
    """Return one digest of all the files that a bento carries."""
    files = {name: digest.of_file(package / name) for name in shipped(package)}
    return digest.of_bytes(digest.dump_json(files).encode())


def _check_golden(found: Predictor, golden: Mapping[str, Any]) -> None:
    door = Door(found.contract)
    answers = found.predict_rows([door.check(row).values for row in golden["rows"]])
    for i, expected in enumerate(golden["expected"]):
        chances = expected.get("probabilities", {})
        numbers = [chances[name] for name in found.card.classes] or [expected["prediction"]]
        given = answers.output[i].tolist() if found.card.classes else [answers.output[i]]
        if not all(abs(a - b) <= TOLERANCE * max(1.0, abs(b)) for a, b in zip(given, numbers, strict=True)):
            raise IntegrityError(
                f"the predictor must answer golden row {i} with {numbers} as on the machine that "
                f"packaged it; got {given}. Compare the processors and packages of the two."
            )

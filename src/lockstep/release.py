"""Build a release, prove that it answers as the predictor that was evaluated, promote it.

What serves lies in ``.lockstep/releases/<digest>/``, immutable, and in BentoML's store; ``.lockstep/live.json`` names
the one that is live and is written last. ``models/bento.json`` says what was packaged last, nothing more.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from lockstep import bentos, digest, predictor, project, replay, scratch
from lockstep import contract as contracts
from lockstep.errors import IntegrityError, Rejected, ReleaseError
from lockstep.params import Params
from lockstep.params import load as load_params
from lockstep.predictor import Card, Predictor
from lockstep.replay import Sample
from lockstep.service import card, released, schema
from lockstep.service.card import Evidence
from lockstep.service.released import Identity, Pointer
from lockstep.stages.files import read_json, read_table, write_json

RECORD = "models/bento.json"
N_GOLDEN = 50
PARTS = {
    "name": "another name in bentofile.yaml",
    "predictor": "another predictor",
    "contract": "another contract",
    "card": "other scores or training data",
    "code": "other service code",
    "lock": "another requirements.lock",
    "bentofile": "another bentofile.yaml",
}


@dataclass(frozen=True)
class Release:
    """What was built."""

    identity: Identity
    folder: Path
    manifest: str

    @property
    def digest(self) -> str:
        """Its own digest, which names the folder."""
        return self.identity.digest

    @property
    def tag(self) -> str:
        """The tag of the bento, and of the BentoML model that it names."""
        return self.identity.tag

    @property
    def predictor(self) -> str:
        """Digest of the predictor."""
        return self.identity.predictor

    @property
    def pointer(self) -> Pointer:
        """What points to it."""
        return Pointer(self.digest, self.tag, self.predictor, self.manifest)


def package(root: Path, params: Params) -> Release:
    """Build the release of an accepted predictor, replay test rows through it, and record it.

    Nothing is recorded or promoted unless every answer is evaluate's. The first package of a project goes live.

    Raises
    ------
    Rejected
        A gate of evaluate said no.
    ReleaseError
        The files do not belong together, or the built service answers otherwise.
    """
    _check_verdict(root)
    with scratch.folder(project.state(root)):
        release = build(root)
        _prove(release, replay.read_sample(root, params.package.replay_rows))
    write_json({"bento": release.tag, "release": release.digest, **asdict(release.identity)}, root / RECORD)
    if live(root) is None:
        promote(root, release)
    return release


def build(root: Path) -> Release:
    """Make the release of ``models/predictor`` and its bento; what exists and is intact is not made again.

    Raises
    ------
    ReleaseError
        Contract and predictor do not belong together, or ``bentofile.yaml`` cannot be used.
    IntegrityError
        The predictor's bytes are not those that were fitted.
    """
    identity = _identity(root)
    folder = project.state(root) / released.RELEASES / identity.digest
    if not _is_intact(folder, identity):
        _write(root, folder, identity)
    release = _release(folder, identity)
    bentos.put(root, folder, release.pointer, identity.code)
    return release


def find(root: Path, wanted: str) -> Release:
    """Return a release that was built before, by the first digits of its digest or by its bento's tag.

    Raises
    ------
    ReleaseError
        None, or more than one, is meant.
    """
    known = sorted((project.state(root) / released.RELEASES).glob("[0-9a-f]*"))
    start = wanted.rpartition(":")[2]
    meant = [folder for folder in known if start and folder.name.startswith(start)]
    if len(meant) != 1:
        raise ReleaseError(
            f"{wanted!r} must name one release; it names {len(meant)} of "
            f"{[folder.name[: released.SHORT] for folder in known]}."
        )
    return _release(meant[0], released.read_identity(meant[0]))


def is_packaged(root: Path) -> bool:
    """Say whether ``models/bento.json`` records a package."""
    return (root / RECORD).is_file()


def packaged(root: Path) -> str:
    """Return the digest of the release that was packaged last.

    Raises
    ------
    ReleaseError
        Nothing was packaged.
    """
    if not is_packaged(root):
        raise ReleaseError(f"nothing was packaged yet: there is no {RECORD}; run `make run`.")
    return str(read_json(root / RECORD)["release"])


def promote(root: Path, release: Release) -> None:
    """Make a release the live one, in one step, after verifying every byte of it; rolling back is the same.

    Raises
    ------
    IntegrityError
        Its bytes changed.
    """
    released.verify(release.folder, release.pointer)
    digest.write_atomic(project.state(root) / released.LIVE, release.pointer.dumps())


def live(root: Path) -> dict[str, str] | None:
    """Return what ``live.json`` says (release, bento, model, manifest), or None where nothing is live."""
    pointer = released.read_pointer(project.state(root) / released.LIVE)
    return asdict(pointer) if pointer else None


def live_folder(root: Path) -> Path:
    """Return the folder of the live release, every byte of it verified.

    Raises
    ------
    ReleaseError
        Nothing is live.
    IntegrityError
        Its bytes changed.
    """
    return released.live(project.state(root)).folder


def missing(root: Path) -> bool:
    """Say whether something was packaged whose release or bento is not here, as after a clone and `dvc pull`."""
    if not is_packaged(root):
        return False
    record = read_json(root / RECORD)
    folder = project.state(root) / released.RELEASES / record["release"]
    return not ((folder / digest.MANIFEST).is_file() and bentos.exists(root, record["bento"]))


def rebuild(root: Path) -> Release:
    """Make again what ``models/bento.json`` says was packaged; it goes live where nothing is, as after a clone.

    Raises
    ------
    ReleaseError
        What lies here now makes another release; says in what it differs.
    """
    record, identity = read_json(root / RECORD), _identity(root)
    differing = [text for part, text in PARTS.items() if record.get(part) != getattr(identity, part)]
    if differing or record["release"] != identity.digest:
        reason = " and ".join(differing) or "another version of Lockstep"
        raise ReleaseError(
            f"{RECORD} was packaged with {reason} than lies here now; run `make run` to package what is "
            "here, or check out the commit whose dvc.lock holds it."
        )
    with scratch.folder(project.state(root)):
        release = build(root)
        _prove(release, replay.read_sample(root, load_params(root).package.replay_rows))
    if live(root) is None:
        promote(root, release)
    return release


def _prove(release: Release, sample: Sample) -> None:
    """Start the built service and demand the very answers that evaluate gave."""
    with replay.serving(release.tag) as port:
        replay.compare(port, sample, release.predictor)


def _check_verdict(root: Path) -> None:
    verdict = read_json(root / "reports" / "verdict.json")
    if not verdict["accepted"]:
        failed = [f"{gate['gate']} ({gate['reason'].rstrip('.')})" for gate in verdict["gates"] if not gate["passed"]]
        raise Rejected(
            f"the predictor is rejected by {' and '.join(failed)}. Improve it, or change evaluate.gates in "
            "params.yaml; what is live stays live."
        )
    found = digest.verify(root / "models" / "predictor")
    if verdict["predictor"] != found:
        raise ReleaseError(
            f"reports/verdict.json must be about models/predictor, {found[:16]}; it is about "
            f"{verdict['predictor'][:16]}. Run `dvc repro evaluate`."
        )


def _identity(root: Path) -> Identity:
    contract = digest.of_file(root / contracts.FILE)
    folder = root / "models" / "predictor"
    fitted_with = digest.of_file(folder / "contract.json") if folder.is_dir() else None
    found = digest.verify(folder)
    if fitted_with != contract:
        raise ReleaseError(f"{contracts.FILE} was changed after models/predictor was fitted; run `make run`.")
    return Identity(
        name=bentos.settings(root)["name"],
        predictor=found,
        contract=contract,
        card=digest.of_bytes(_card(root, found).encode()),
        code=released.code_digest(root / "src" / "lockstep"),
        lock=digest.of_file(root / project.LOCK),
        bentofile=digest.of_file(root / bentos.FILE),
    )


def _release(folder: Path, identity: Identity) -> Release:
    return Release(identity, folder, digest.of_file(folder / digest.MANIFEST))


def _is_intact(folder: Path, identity: Identity) -> bool:
    if not (folder / digest.MANIFEST).is_file():
        return False
    try:
        released.verify(folder, _release(folder, identity).pointer)
        digest.verify(folder / released.PREDICTOR, identity.predictor)
    except IntegrityError:
        return False
    return True


def _write(root: Path, folder: Path, identity: Identity) -> None:
    """Write a release on the same disk, seal it, make it read-only and durable, and rename it into place."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix="writing-"))
    try:
        shutil.copytree(root / "models" / "predictor", temporary / released.PREDICTOR)
        found = predictor.load(temporary / released.PREDICTOR, identity.predictor)
        for name, content in _texts(root, identity, found).items():
            (temporary / name).write_text(content, "utf-8")
        digest.seal(temporary)
        for path in temporary.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o444)
            digest.make_durable(path)
        temporary.chmod(0o755)
        digest.make_durable(temporary)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
        digest.make_durable(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _texts(root: Path, identity: Identity, found: Predictor) -> Mapping[str, str]:
    sample = replay.read_sample(root, N_GOLDEN)
    document = schema.document(found.contract, found.encoder, found.card.classes, identity.predictor, sample.rows[0])
    return {
        released.IDENTITY: identity.dumps(),
        released.CONTRACT: found.contract.content.decode("utf-8"),
        released.CARD: _card(root, identity.predictor),
        released.SCHEMA: json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        released.GOLDEN: digest.dump_json({"rows": sample.rows, "expected": sample.expected}),
    }


def _card(root: Path, predictor: str) -> str:
    """Compile what people are told of the model, from what the line found out about it; the engine is not loaded."""
    values = read_json(root / "models" / "predictor" / "predictor.json")
    model, contract = Card(**{**values, "classes": tuple(values["classes"])}), contracts.load(root)
    train = read_table(root / "data" / "train.parquet")
    moments = [] if contract.time is None else train[contract.time].dropna().agg(["min", "max"]).dropna().tolist()
    answers = () if model.classes else read_table(root / "reports" / "predictions.parquet")["prediction"].tolist()
    evidence = Evidence(
        metrics=read_json(root / "reports" / "metrics.json"),
        n_train=len(train),
        period=(moments[0], moments[-1]) if moments else None,
        answers=answers,
    )
    return digest.dump_json(card.card(model, contract, predictor, evidence))

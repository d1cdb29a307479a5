"""Follow a recorded prediction back to its release, the commit, parameters, data, contract and versions."""

import os
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import yaml

from lockstep import digest, graph, ledger, objects, project
from lockstep.errors import IntegrityError, ReleaseError, UnknownName
from lockstep.service import record, released
from lockstep.tracking import store

PREDICTOR, VALIDATION = "models/predictor", "reports/validation.json"
SHOWN = ("numpy", "pandas", "scikit-learn", "xgboost", "treelite", "optuna", "bentoml")
RUN = """
SELECT runs.run_uuid, runs.name FROM runs JOIN tags USING (run_uuid)
WHERE tags.key = 'lockstep.predictor' AND tags.value = ? AND runs.lifecycle_stage = 'active'
ORDER BY runs.start_time DESC LIMIT 1
"""

Chain = dict[str, Any]


def trace(root: Path, identity: str) -> Chain:
    """Return the chain of a prediction, link by link; a link that is not known is None.

    Raises
    ------
    UnknownName
        No prediction of this id is recorded.
    ReleaseError
        The release that answered is not here.
    IntegrityError
        The release is not the one that was recorded.
    """
    folder = Path(os.environ.get("LOCKSTEP_PREDICTIONS") or project.state(root) / "predictions")
    asked = record.find(folder, identity)
    if asked is None:
        raise UnknownName(f"no prediction {identity!r} is recorded in {folder}.")
    release = _release(root, asked)
    md5 = graph.digest(release.folder / released.PREDICTOR)
    entry = _maker(root, md5)
    commit = _commit(root, md5)
    lock = _lock(root, commit, md5)
    return {
        "prediction": dict(asked),
        "release": {
            "bento": asked["bento"],
            "digest": release.identity.digest,
            "predictor": release.identity.predictor,
            "code": release.identity.code,
        },
        "mlflow": _run(root, release.identity.predictor),
        "commit": _origin(commit, lock, entry),
        "parameters": _parameters(lock),
        "data": _data(lock),
        "contract": {"digest": release.identity.contract, "validation": _validation(root, lock)},
        "versions": _versions(entry),
    }


def describe(chain: Chain) -> str:
    """Return the chain as a screen of text."""
    return "\n".join(_lines(chain))


def _release(root: Path, asked: Mapping[str, Any]) -> released.Found:
    tag = str(asked["bento"])
    for folder in sorted((project.state(root) / released.RELEASES).glob(f"{tag.rpartition(':')[2]}*")):
        identity = released.read_identity(folder)
        digest.verify(folder)
        if identity.predictor != asked["model"]:
            raise IntegrityError(f"release {tag} must hold predictor {asked['model']}; it holds {identity.predictor}.")
        return released.Found(identity, folder)
    raise ReleaseError(f"release {tag}, which answered, is not in {project.state(root) / released.RELEASES}.")


def _maker(root: Path, md5: str) -> Chain | None:
    """Return the ledger's entry of the fit that made a predictor."""
    for path in sorted((project.state(root) / ledger.FOLDER / "fit").glob("*.json")):
        entry = digest.read_object(path)
        if entry["outs"].get(PREDICTOR) == md5:
            return entry
    return None


def _commit(root: Path, md5: str) -> str | None:
    """Return the first commit, on any branch, whose ``dvc.lock`` holds a digest."""
    touched = _git(root, "log", "--all", "--reverse", "--format=%H", f"-S{md5}", "--", graph.LOCK).split()
    return next((commit for commit in touched if md5 in _git(root, "show", f"{commit}:./{graph.LOCK}")), None)


def _lock(root: Path, commit: str | None, md5: str) -> Chain | None:
    """Return the entries of the ``dvc.lock`` that holds a digest: the commit's, else the one that lies here."""
    here = root / graph.LOCK
    text = (
        _git(root, "show", f"{commit}:./{graph.LOCK}") if commit else here.read_text("utf-8") if here.exists() else ""
    )
    found = yaml.safe_load(text) if md5 in text else None
    return dict(found["stages"]) if found else None


def _git(root: Path, *words: str) -> str:
    asked = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, errors="replace", check=False)
    return asked.stdout if asked.returncode == 0 else ""


def _origin(commit: str | None, lock: Chain | None, entry: Chain | None) -> Chain:
    known = entry or {}
    return {
        "holds": commit,
        "here": lock is not None and commit is None,
        "made_at": known.get("commit"),
        "dirty": known.get("dirty"),
        "patch": known.get("patch"),
        "began": known.get("began"),
    }


def _parameters(lock: Chain | None) -> Chain | None:
    if lock is None:
        return None
    found: Chain = {}
    for stage in lock.values():
        found.update(stage.get("params", {}).get("params.yaml", {}))
    return found


def _data(lock: Chain | None) -> Chain | None:
    """Return the digests of what each stage made that is data."""
    if lock is None:
        return None
    return {
        out["path"]: out["md5"]
        for stage in lock.values()
        for out in stage.get("outs", [])
        if out["path"].startswith("data/")
    }


def _validation(root: Path, lock: Chain | None) -> Chain | None:
    outs = {out["path"]: out["md5"] for stage in (lock or {}).values() for out in stage.get("outs", [])}
    if VALIDATION not in outs:
        return None
    here = root / VALIDATION
    cached = objects.place(root / ".dvc" / "cache" / "files" / "md5", outs[VALIDATION])
    for path in (here, cached):
        if path.is_file() and graph.md5(path) == outs[VALIDATION]:
            found = orjson.loads(path.read_bytes())
            return {name: found[name] for name in ("success", "n_rows", "n_valid", "n_quarantined")}
    return None


def _run(root: Path, predictor: str) -> Chain | None:
    """Return the winner's run in a sqlite store; of a server nothing is asked."""
    place = store.find(root).path
    if place is None or not place.exists():
        return None
    try:
        with closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True)) as database:
            found = database.execute(RUN, (predictor,)).fetchone()
    except sqlite3.Error:
        return None
    return {"run": found[0], "name": found[1]} if found else None


def _versions(entry: Chain | None) -> Chain | None:
    if entry is None:
        return None
    packages = {name: entry["packages"][name] for name in SHOWN if name in entry["packages"]}
    return {"python": entry["python"], "platform": entry["platform"], "blas": entry["blas"], **packages}


def _lines(chain: Chain) -> Iterator[str]:
    asked, release, origin = chain["prediction"], chain["release"], chain["commit"]
    run, versions, checked = chain["mlflow"], chain["versions"], chain["contract"]["validation"]
    chances = asked.get("probabilities")
    yield f"prediction  {asked['id']}, {asked['time']}, {asked['latency_ms']} ms"
    yield f"asked       {_pairs(asked['inputs'])}"
    yield f"answered    {asked['prediction']}{f' ({_pairs(chances)})' if chances else ''}"
    for warning in asked.get("warnings", []):
        yield f"  unusual   {warning['field']}: {warning['rule']}; found {warning['found']}"
    yield f"release     {release['bento']}, predictor {release['predictor']}"
    yield "mlflow      " + (f"run {run['run']} ({run['name']})" if run else "no run is known here")
    if origin["holds"]:
        yield f"commit      {origin['holds']}: its dvc.lock holds the predictor"
    else:
        yield f"commit      none holds the predictor{'; the dvc.lock that lies here does' if origin['here'] else ''}"
    if origin["began"]:
        state = {True: "with uncommitted changes", False: "clean"}.get(origin["dirty"], "state unknown")
        patch = f", patch {origin['patch']}" if origin["patch"] else ""
        yield f"  made      {origin['began']} at {origin['made_at']}, {state}{patch}"
    yield f"parameters  {_pairs(chain['parameters']) if chain['parameters'] else 'not known'}"
    for path, md5 in (chain["data"] or {}).items():
        yield f"data        {path}  {md5}"
    counts = f"{checked['n_valid']} of {checked['n_rows']} rows kept it" if checked else "what it found is not here"
    yield f"contract    {chain['contract']['digest']}; {counts}"
    yield f"versions    {_pairs(versions) if versions else 'not known'}"


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())

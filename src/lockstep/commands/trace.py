"""Follow a recorded prediction back to its release, the commit, parameters, data, contract and versions."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from lockstep import graph, objects, provenance, tracked
from lockstep.service import released

VALIDATION = "reports/validation.json"
SHOWN = ("numpy", "pandas", "scikit-learn", "xgboost", "treelite", "optuna", "bentoml")

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
    asked = provenance.asked(root, identity)
    release = provenance.release(root, asked)
    md5 = graph.digest(release.folder / released.PREDICTOR)
    entry = provenance.maker(root, md5)
    commit = provenance.commit(root, md5)
    lock = provenance.lock(root, commit, md5)
    return {
        "prediction": dict(asked),
        "release": {
            "bento": asked["bento"],
            "digest": release.identity.digest,
            "predictor": release.identity.predictor,
            "code": release.identity.code,
        },
        "mlflow": tracked.run(root, release.identity.predictor),
        "commit": _origin(commit, lock, entry),
        "parameters": _parameters(lock),
        "data": _data(lock),
        "contract": {"digest": release.identity.contract, "validation": _validation(root, lock)},
        "versions": _versions(entry),
    }


def describe(chain: Chain) -> str:
    """Return the chain as a screen of text."""
    return "\n".join(_lines(chain))


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
    place = f" {run['url']}" if run and run["url"] else ""
    yield "mlflow      " + (f"run {run['run']} ({run['name']}){place}" if run else "no run is known here")
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

"""Keep releases in BentoML's store: the release as a model, the service's code as a bento that names it.

The bento is built from a small staging folder: BentoML walks the whole of its build context, and a store inside it
would be copied into itself.
"""

import importlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from lockstep import digest, project
from lockstep.errors import IntegrityError, ReleaseError
from lockstep.service import released
from lockstep.service.released import Pointer

FILE = "bentofile.yaml"
NAME = r"[a-z0-9](?:[a-z0-9._-]{0,44}[a-z0-9])?"


def settings(root: Path) -> dict[str, Any]:
    """Read ``bentofile.yaml``.

    Raises
    ------
    ReleaseError
        It is missing, not YAML, or its name is the name of a module, which BentoML would import instead of the bento.
    """
    try:
        values = yaml.safe_load((root / FILE).read_text("utf-8"))
        name = str(values["name"])
    except FileNotFoundError:
        raise ReleaseError(f"{FILE} is missing from {root}; take it from git.") from None
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ReleaseError(f"{FILE} must be YAML with a 'name'; {' '.join(str(error).split())[:100]}.") from None
    if not re.fullmatch(NAME, name):
        raise ReleaseError(f"{FILE}: name must be lower-case letters, digits, -, _ or ., at most 46; got {name!r}.")
    if name.isidentifier() and importlib.util.find_spec(name) is not None:
        raise ReleaseError(
            f"{FILE}: name {name!r} is also a module, which BentoML would import instead of the bento; "
            "choose another name."
        )
    return dict(values)


def home(root: Path) -> Path:
    """Return BentoML's folder: ``BENTOML_HOME``, else ``.lockstep/bento``."""
    return Path(os.environ.setdefault("BENTOML_HOME", str(project.state(root) / "bento")))


def exists(root: Path, tag: str) -> bool:
    """Say whether the store holds the bento and its model; looks at files alone."""
    place = tag.replace(":", "/")
    return all((home(root) / file).is_file() for file in (f"bentos/{place}/bento.yaml", f"models/{place}/model.yaml"))


def put(root: Path, folder: Path, pointer: Pointer, code: str) -> None:
    """Store a verified release; what is there and intact stays, what is broken is made again.

    ``code`` is the digest of the code that the bento must carry.
    """
    bentoml = _bentoml(root)
    if not _model_is_intact(bentoml, pointer):
        _remove(root, "models", pointer.bento)
        with bentoml.models.create(pointer.bento, labels={"predictor": pointer.model[: released.SHORT]}) as model:
            shutil.copytree(folder, Path(model.path) / released.MODEL_FOLDER)
    if not _bento_is_intact(bentoml, pointer, code):
        _remove(root, "bentos", pointer.bento)
        _build(bentoml, root, pointer)


def _build(bentoml: ModuleType, root: Path, pointer: Pointer) -> None:
    name, version = pointer.bento.split(":")
    staging = Path(tempfile.mkdtemp(prefix="staging-"))
    try:
        _stage(root, staging, pointer)
        bentoml.bentos.build_bentofile(str(staging / FILE), name=name, version=version, build_ctx=str(staging))
    finally:
        shutil.rmtree(staging)


def _stage(root: Path, staging: Path, pointer: Pointer) -> None:
    package = root / "src" / "lockstep"
    for file in released.shipped(package):
        target = staging / "src" / "lockstep" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(package / file, target)
    (staging / released.PINNED).write_text(pointer.dumps(), "utf-8")
    values = settings(root)
    python = values.setdefault("python", {})
    python["packages"] = pinned(root, ["bentoml", *(python.get("packages") or [])])
    values["models"] = [*values.get("models", []), pointer.bento]
    (staging / FILE).write_text(yaml.safe_dump(values), "utf-8")


def pinned(root: Path, packages: Iterable[str]) -> list[str]:
    """Return ``packages`` and all that they need, at the versions of ``requirements.lock``.

    Raises
    ------
    ReleaseError
        One of them is not locked.
    """
    from packaging.requirements import Requirement

    locked, found, left = project.locked(root), set[str](), set(packages)
    for name in sorted(left - locked.keys()):
        raise ReleaseError(
            f"{FILE}: python.packages names {name!r}, which requirements.lock does not pin; add it to "
            "pyproject.toml and run `make lock`."
        )
    while left:
        name = left.pop()
        found.add(name)
        needs = [Requirement(text) for text in importlib.metadata.requires(name) or []]
        names = {
            need.name.lower().replace("_", "-").replace(".", "-")
            for need in needs
            if not need.marker or need.marker.evaluate({"extra": ""})
        }
        left |= (names & locked.keys()) - found
    return [f"{name}=={locked[name]}" for name in sorted(found)]


def _model_is_intact(bentoml: ModuleType, pointer: Pointer) -> bool:
    try:
        folder = Path(bentoml.models.get(pointer.bento).path) / released.MODEL_FOLDER
        digest.verify(folder, pointer.manifest)
    except (bentoml.exceptions.BentoMLException, IntegrityError):
        return False
    return True


def _bento_is_intact(bentoml: ModuleType, pointer: Pointer, code: str) -> bool:
    try:
        source = Path(bentoml.bentos.get(pointer.bento).path) / "src"
        same = released.read_pointer(source / released.PINNED) == pointer
        return same and released.code_digest(source / "lockstep") == code
    except (bentoml.exceptions.BentoMLException, IntegrityError):
        return False


def _remove(root: Path, kind: str, tag: str) -> None:
    folder = home(root) / kind / tag.replace(":", "/")
    if folder.exists():
        shutil.rmtree(folder)


def _bentoml(root: Path) -> ModuleType:
    """Import BentoML once it has been told where its folder is."""
    home(root).mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    for name in ("bentos", "exceptions", "models"):
        importlib.import_module(f"bentoml.{name}")
    return importlib.import_module("bentoml")

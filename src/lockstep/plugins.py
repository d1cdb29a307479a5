"""Find a problem, a family or a source by its file name; there is no registry to edit."""

import importlib
import pkgutil
from types import ModuleType

from lockstep.errors import ProjectError, UnknownName, expected_one_of
from lockstep.params import Params

KINDS = {"problems": "problem", "families": "family", "sources": "source"}


def names(axis: str) -> list[str]:
    """Return the names of an axis (``problems``, ``families``, ``sources``), sorted."""
    folder = importlib.import_module(f"lockstep.{axis}").__path__
    return sorted(module.name for module in pkgutil.iter_modules(folder) if not module.name.startswith("_"))


def check(params: Params) -> None:
    """Refuse a name that no plugin has, before anything is run; errors as in :func:`load`."""
    named = [
        ("problems", params.problem),
        ("sources", params.source["kind"]),
        *(("families", family) for family in params.families),
    ]
    for axis, name in named:
        _check_name(axis, name)


def load(axis: str, name: str) -> ModuleType:
    """Import one plugin.

    Raises
    ------
    UnknownName
        There is no such file; the message holds the list and the near match.
    ProjectError
        A package that only this plugin needs is not installed.
    """
    known = _check_name(axis, name)
    try:
        return importlib.import_module(f"lockstep.{axis}.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("lockstep"):
            raise
        raise ProjectError(
            f"{KINDS[axis]} {name!r} needs the package {error.name!r}, which is not installed; "
            f"add it to requirements.lock, or choose among {[n for n in known if n != name]}."
        ) from error


def _check_name(axis: str, name: str) -> list[str]:
    known = names(axis)
    if name not in known:
        raise UnknownName(f"params.yaml: no {KINDS[axis]} named {name!r}; {expected_one_of(name, known)}")
    return known

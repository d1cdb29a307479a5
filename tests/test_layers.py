"""Read the imports of every module and hold them to the layers of the design."""

import ast
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"

# A unit is a module or a package directly below lockstep, or flows. It may import units of its own layer and of lower
# ones. A new unit must be placed here.
LAYERS = [
    {"errors", "activate", "alive"},
    {"params", "project"},
    {"digest", "plugins", "contract", "encoder", "features", "metrics", "held", "trial", "scratch"},
    {"families", "problems", "sources", "steps", "report"},
    {"predictor"},
    {
        "service",
        "monitor",
        "stages",
        "tracking",
        "journal",
        "ledger",
        "accounts",
        "release",
        "graph",
        "bentos",
        "replay",
        "runner",
        "objects",
        "processes",
        "recorded",
        "recorder",
        "line",
        "repository",
        "blank",
        "answers",
        "pyfunc",
        "publishing",
        "marked",
        "ports",
        "running",
        "serve",
        "servers",
        "supervised",
        "provenance",
        "origin",
        "worktree",
        "rerun",
        "proof",
        "signals",
        "tracked",
    },
    {"cli", "commands", "new", "__main__", "flows"},
]
SERVES = {
    "errors",
    "params",
    "project",
    "digest",
    "contract",
    "encoder",
    "features",
    "plugins",
    "predictor",
    "release",
    "ledger",
    "tracked",
}
ONLY = {"service": SERVES, "monitor": SERVES | {"metrics", "problems", "report"}}
"""Units that see less than their layer allows: never what trains."""

HOMES = {
    "sklearn": {"families", "steps"},
    "optuna": {"families", "steps"},
    "great_expectations": {"steps"},
    "xgboost": {"families"},
    "treelite": {"families"},
    "mlflow": {"tracking"},
    "prefect": {"flows"},
    "dvc": {"recorder", "repository"},
}
"""The units that may import a package."""

LIGHT = [
    "lockstep.cli",
    "lockstep.contract",
    "lockstep.contract.request",
    "lockstep.predictor",
    "lockstep.service.app",
    "lockstep.runner",
    "lockstep.project",
    "lockstep.graph",
]
HEAVY = {
    "pandas",
    "sklearn",
    "great_expectations",
    "optuna",
    "mlflow",
    "prefect",
    "xgboost",
    "treelite",
    "scipy",
    "dvc",
    "matplotlib",
}


@cache
def modules():
    """Return the path of every module by its dotted name; flows stand beside lockstep."""
    found = {}
    for path in sorted([*(SRC / "lockstep").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]):
        parts = path.relative_to(SRC if SRC in path.parents else ROOT).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


@cache
def imports(name, *, top_only=False):
    """Return the dotted names that a module imports; ``from a import b`` is ``a.b`` where that is a module."""
    tree = ast.parse(modules()[name].read_text("utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    if top_only:
        nodes = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in nodes), f"{name} imports relatively"
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            longer = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {one if one in modules() else node.module for one in longer}
    return frozenset(found)


def unit(name):
    """Return the unit of a module of ours; an empty text for packages of others and for lockstep itself."""
    top, _, rest = name.partition(".")
    return "flows" if top == "flows" else rest.split(".")[0] if top == "lockstep" else ""


def layer(one):
    return next((rank for rank, units in enumerate(LAYERS) if one in units), None)


def test_every_module_has_a_place_and_every_place_is_one():
    unplaced = sorted({unit(name) for name in modules() if unit(name) and layer(unit(name)) is None})
    assert not unplaced, f"say in LAYERS where {unplaced} stand"
    assert sum(map(len, LAYERS)) == len(set().union(*LAYERS))


def test_no_module_imports_from_a_higher_layer():
    wrong = [
        f"{name} imports {other}"
        for name in modules()
        for other in sorted(imports(name))
        if unit(name) and unit(other) and layer(unit(other)) > layer(unit(name))
    ]
    assert not wrong


@pytest.mark.parametrize("seeing", sorted(ONLY))
def test_what_serves_never_sees_what_trains(seeing):
    wrong = [
        f"{name} imports {other}"
        for name in modules()
        if unit(name) == seeing
        for other in sorted(imports(name))
        if unit(other) not in ONLY[seeing] | {seeing, ""}
    ]
    assert not wrong


def test_each_heavy_package_is_imported_only_at_its_home():
    wrong = [
        f"{name} imports {other}"
        for name in modules()
        for other in sorted(imports(name))
        if unit(name) not in HOMES.get(other.split(".")[0], {unit(name)})
    ]
    assert not wrong


def test_no_modules_import_each_other_in_a_circle():
    left = {name: (imports(name, top_only=True) & modules().keys()) - {name} for name in modules()}
    while free := [name for name, needed in left.items() if not needed & left.keys()]:
        for name in free:
            del left[name]
    assert not left, f"these stand in or above a circle: {sorted(left)}"


def test_the_rules_are_read_from_real_imports():
    assert {unit(name) for name in modules()} >= {"errors", "params", "contract", "encoder", "families", "predictor"}
    assert "lockstep.encoder" in imports("lockstep.predictor")
    assert "lockstep.digest" in imports("lockstep.predictor"), "from lockstep import digest names a module"
    assert "sklearn.ensemble" in imports("lockstep.families.hist_gradient")
    assert "sklearn.ensemble" not in imports("lockstep.families.hist_gradient", top_only=True)


def test_what_must_start_quickly_or_serve_loads_nothing_heavy():
    names = [name for name in modules() if name in LIGHT or unit(name) in ("families", "problems")]
    assert {"lockstep.contract", "lockstep.predictor", "lockstep.families.linear"} <= set(names)
    program = f"""
import importlib, json, sys
found = {{}}
for name in {names!r}:
    importlib.import_module(name)
    loaded = {HEAVY!r} & set(sys.modules) - set().union(*found.values())
    if loaded:
        found[name] = sorted(loaded)
print(json.dumps(found))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SRC)},
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}

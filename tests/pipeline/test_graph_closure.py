"""A stage depends on all the code that it runs and names all the parameters that it reads, and no others."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lockstep import graph, plugins
from lockstep.params import Params
from lockstep.service import released

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
PACKAGE = SRC / "lockstep"
CODE = "src/lockstep/"
ENTRY = ("__main__.py", "runner.py")
SOURCES = f"{CODE}sources"
"""Listed as a whole: to a kind that has no file DVC answers by a path, our own code by the near match."""
CHECKS = f"{CODE}plugins.py"
"""Reads parameters only to refuse them."""
STAGES = {stage.name: stage for stage in graph.load(ROOT)}


def module_file(name: str) -> Path | None:
    """Return the file of a module of ours, or None if there is no such module."""
    path = SRC.joinpath(*name.split("."))
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def modules_of(file: Path) -> Iterator[str]:
    """Yield every module of ours that a file imports, at its top or within a function, but not for types alone."""
    for node in run_nodes(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def run_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            yield node
            yield from run_nodes(node)


@functools.cache
def imported(file: Path) -> set[Path]:
    """Return the files that importing ``file`` runs first: what it names, and the packages above."""
    names = {name for name in modules_of(file) if name.split(".")[0] == "lockstep"}
    names |= {".".join(name.split(".")[:n]) for name in names for n in range(1, name.count(".") + 1)}
    return {found for name in names if (found := module_file(name))}


def closure(files: set[Path], stage: str) -> set[Path]:
    """Return ``files``, what they import, what that imports, and the plugins that they load."""
    seen: set[Path] = set()
    left = set(files)
    while left:
        file = left.pop()
        seen.add(file)
        left |= (imported(file) | plugins_of(file, stage)) - seen
    return seen


@functools.cache
def plugins_of(file: Path, stage: str) -> set[Path]:
    """Return the plugins that a file may load for a stage: of a search its own family, else all of the axis."""
    axes = {
        str(node.args[0].value)
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "plugins.load"
        and isinstance(node.args[0], ast.Constant)
    }
    return {found for axis in axes for name in chosen(axis, stage) if (found := module_file(f"lockstep.{axis}.{name}"))}


def chosen(axis: str, stage: str) -> list[str]:
    if axis == "families" and stage.startswith("tune@"):
        return [stage.partition("@")[2]]
    if axis == "sources":
        return [yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))["source"]["kind"]]
    return plugins.names(axis)


def needed(stage: str) -> set[str]:
    """Return the files of ours that a stage runs, or ships, as ``dvc.yaml`` writes them."""
    files = closure({PACKAGE / name for name in ENTRY} | {PACKAGE / "stages" / f"{stage.partition('@')[0]}.py"}, stage)
    if stage == "package":
        files |= {PACKAGE / name for name in released.shipped(PACKAGE)}
    return written(files)


def written(files: set[Path]) -> set[str]:
    """Return files as ``dvc.yaml`` writes them; those that hold nothing but a docstring decide nothing."""
    return {
        file.relative_to(ROOT).as_posix()
        for file in files
        if file.suffix != ".py"
        or not all(isinstance(node, ast.Expr) for node in ast.parse(file.read_text("utf-8")).body)
    }


def covers(listed: str, file: str) -> bool:
    return file == listed or file.startswith(f"{listed}/")


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_every_module_that_it_imports(name: str) -> None:
    lacking = {file for file in needed(name) if not any(covers(dep, file) for dep in STAGES[name].deps)}

    assert lacking == set(), f"dvc.yaml: stage {name} must list them in deps"


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_no_module_that_it_does_not_import(name: str) -> None:
    matrix = [other for other in STAGES if other.partition("@")[0] == name.partition("@")[0]]
    wanted = {file for other in matrix for file in needed(other)}  # the stages of a matrix have one list
    idle = {dep for dep in STAGES[name].deps if dep.startswith(CODE) and not any(covers(dep, file) for file in wanted)}

    assert idle == set(), f"dvc.yaml: stage {name} must not list them in deps; it would run again for nothing"


@pytest.mark.parametrize("name", STAGES)
def test_a_listed_folder_holds_nothing_that_the_stage_does_not_import(name: str) -> None:
    folders = [dep for dep in STAGES[name].deps if dep.startswith(CODE) and (ROOT / dep).is_dir() and dep != SOURCES]
    held = written({file for dep in folders for file in (ROOT / dep).rglob("*.py")})

    assert held - needed(name) == set(), f"dvc.yaml: stage {name} must list files of that folder, not all of it"


@pytest.mark.parametrize("kind", plugins.names("sources"))
def test_ingest_depends_on_what_any_source_imports(kind: str) -> None:
    own = written(closure({PACKAGE / "sources" / f"{kind}.py"}, "ingest"))

    assert {file for file in own if not any(covers(dep, file) for dep in STAGES["ingest"].deps)} == set()


@pytest.mark.parametrize("family", plugins.names("families"))
def test_a_search_depends_on_what_any_family_imports(family: str) -> None:
    own = written(closure({PACKAGE / "families" / f"{family}.py"}, f"tune@{family}"))
    deps = {dep.replace("linear", family) for dep in STAGES["tune@linear"].deps}

    assert {file for file in own if not any(covers(dep, file) for dep in deps)} == set()


@pytest.mark.parametrize("name", ["tune@linear", "fit", "package"])
def test_what_fits_or_ships_depends_on_the_packages(name: str) -> None:
    assert "requirements.lock" in STAGES[name].deps


@pytest.mark.parametrize("name", STAGES)
def test_deps_are_sorted_and_named_once(name: str) -> None:
    assert list(STAGES[name].deps) == sorted(set(STAGES[name].deps))


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_names_the_parameters_that_its_code_reads_and_no_others(name: str) -> None:
    own = {file for file in needed(name) if file.startswith(CODE) and file.endswith(".py")}
    code = [ROOT / file for file in own - {CHECKS}]

    assert set(STAGES[name].params) == whole_blocks({key for file in code for key in keys_read(file)})


def keys_read(file: Path) -> Iterator[str]:
    """Yield the keys that functions with an argument ``params: Params`` read."""
    for function in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(function, ast.FunctionDef) and any(
            arg.annotation is not None and ast.unparse(arg.annotation) == "Params" for arg in function.args.args
        ):
            attributes = [node for node in ast.walk(function) if isinstance(node, ast.Attribute)]
            inner = {id(node.value) for node in attributes}
            chains = [ast.unparse(node) for node in attributes if id(node) not in inner]
            yield from (as_written(chain) for chain in chains if chain.startswith("params."))


def as_written(chain: str) -> str:
    """Return an attribute chain as params.yaml writes it: aliases resolved, cut where the models end."""
    written, model = [], Params
    for part in chain.split(".")[1:]:
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            break
        written.append(fields[part].alias or part)
        model = fields[part].annotation
    return ".".join(written)


def whole_blocks(keys: set[str]) -> set[str]:
    """Return ``keys``, those of a block that is read as a whole replaced by the block."""
    keys = {key for key in keys if not any(key.startswith(f"{other}.") for other in keys)}
    for name, field in Params.model_fields.items():
        block = {f"{field.alias or name}.{key}" for key in getattr(field.annotation, "model_fields", {})}
        if block and block <= keys:
            keys = keys - block | {field.alias or name}
    return keys

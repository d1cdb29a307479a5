"""Hold the documentation to the code: every key, command and link that it names, and none that is missing."""

import json
import re
import typing
from functools import cache
from pathlib import Path

import pytest
import typer.main
from pydantic import BaseModel

from lockstep import cli, plugins
from lockstep.contract import loads
from lockstep.contract.model import ROW_RULES, Column
from lockstep.params import Params

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCKS = r"(?:validate|split|tune|evaluate|package|source)"
OF_A_MACHINE = {
    "a path of one machine": r"(?<![\w.~…])/(?:tmp|home|root|work|mnt|opt|usr|var|Users)\b",
    "the address of a package registry": r"(?i)pypi\.|pythonhosted|index-url|conda\.anaconda|ghcr\.io|docker\.io|npmjs",
}

names = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@cache
def read(page: Path) -> str:
    return page.read_text("utf-8")


def everything() -> str:
    return "\n".join(map(read, PAGES))


def code(text: str) -> list[str]:
    """Return what stands in backticks, and the lines of fenced blocks, a prompt taken off."""
    lines = [line.removeprefix("$ ") for block in FENCE.findall(text) for line in block.splitlines()[1:-1]]
    return [*re.findall(r"`([^`\n]+)`", FENCE.sub("", text)), *lines]


def keys_of(model: type[BaseModel], above: str = "") -> set[str]:
    """Return the dotted names of a model's keys, those of models within it included."""
    found = set()
    for name, field in model.model_fields.items():
        key = f"{above}{field.alias or name}"
        found.add(key)
        for part in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                found |= keys_of(part, f"{key}.")
    return found


@cache
def keys() -> frozenset[str]:
    sources = [plugins.load("sources", name).Settings for name in plugins.names("sources")]
    return frozenset(keys_of(Params).union(*(keys_of(settings, "source.") for settings in sources)))


def first_cells(text: str, heading: str) -> set[str]:
    """Return the names in the first column of every table whose first heading is ``heading``."""
    tables = re.findall(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, flags=re.MULTILINE)
    cells = [row.split("|")[1] for table in tables for row in table.splitlines()]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as git's hosts make them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", read(page)), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(group: typing.Any = None, above: str = "") -> dict[str, typing.Any]:
    """Return every command of the command line by its words: ``contract show``."""
    group = group or typer.main.get_command(cli.app)
    found = {}
    for name, command in group.commands.items():
        within = getattr(command, "commands", None)
        found |= commands(command, f"{above}{name} ") if within else {f"{above}{name}": command}
    return found


def test_every_key_of_params_yaml_is_explained_and_no_other():
    assert first_cells(read(ROOT / "docs" / "params.md"), "key") == keys()


@names
def test_a_page_names_no_key_that_does_not_exist(page: Path):
    inline = re.findall(r"`([^`\n]+)`", FENCE.sub("", read(page)))
    named = {key for text in inline for key in re.findall(rf"(?<![\w./'-])({BLOCKS}(?:\.[a-z_]+)+)", text)}
    assert named <= keys()


def test_every_variable_of_the_environment_is_explained():
    files = [path for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    used = {name for path in files for name in re.findall(r"\"(LOCKSTEP_[A-Z]+)\"", path.read_text("utf-8"))}
    assert used
    assert used | {"BENTOML_HOME", "PREFECT_HOME", "MLFLOW_TRACKING_URI"} <= first_cells(
        read(ROOT / "docs" / "params.md"), "variable"
    )


def test_every_command_and_option_is_documented():
    said = "\n".join(code(everything()))
    missing = [name for name in commands() if f"lockstep {name}" not in said]
    options = {option for command in commands().values() for each in command.params for option in each.opts}
    assert not missing
    assert not [option for option in options if option.startswith("--") and option not in said and option != "--header"]


@names
def test_a_page_names_no_command_that_does_not_exist(page: Path):
    known, found = commands(), []
    groups = {name.split()[0] for name in known if " " in name}
    for text in code(read(page)):
        for first, second in re.findall(r"(?:^|[;&|(] ?)lockstep ([a-z]+)(?: ([a-z]+))?(?![\w:])", text):
            found += [f"{first} {second}"] if first in groups and second else [first]
    assert [name for name in found if name not in known and name not in groups] == []


@names
def test_a_page_names_no_task_that_the_makefile_lacks(page: Path):
    tasks = set(re.findall(r"^([a-z]+):", read(ROOT / "Makefile"), flags=re.MULTILINE))
    named = {name for text in code(read(page)) for name in re.findall(r"(?:^|&& )make ([a-z]+)", text)}
    assert named <= tasks


@names
def test_links_of_a_page_lead_somewhere(page: Path):
    for target in LINK.findall(FENCE.sub("", read(page))):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        meant = (page.parent / path).resolve() if path else page
        assert meant.is_file(), f"{target} is no file"
        assert not anchor or anchor in anchors(meant), f"{target} is no heading"


def test_every_page_can_be_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        targets = [target.partition("#")[0] for target in LINK.findall(read(page)) if ".md" in target]
        linked = {(page.parent / target).resolve() for target in targets if "://" not in target}
        waiting += linked - reached
    assert set(PAGES) <= reached


def test_the_results_in_the_readme_are_figures_of_the_benchmarks():
    shown = re.search(r"<!-- results -->(.*)<!-- /results -->", read(ROOT / "README.md"), flags=re.DOTALL)
    assert shown
    figures = re.findall(r"\d[\d,.]*\d", shown[1])
    measured = set(re.findall(r"\d[\d,.]*\d", read(ROOT / "docs" / "benchmarks.md")))
    assert sorted(set(figures) - measured) == [], "take them anew from docs/benchmarks.md"
    assert len(figures) > 20


@pytest.mark.parametrize("kind", OF_A_MACHINE)
def test_no_page_and_no_figure_holds(kind: str):
    files = [*PAGES, *(ROOT / "docs").rglob("*.svg")]
    assert [path.name for path in files if re.search(OF_A_MACHINE[kind], read(path))] == []


def test_every_key_of_a_column_is_explained_and_no_other():
    assert first_cells(read(ROOT / "docs" / "contract.md"), "key") == set(Column.model_fields)


def test_every_rule_on_a_row_is_shown_and_every_example_of_a_rule_can_be_read():
    text = read(ROOT / "docs" / "contract.md")
    examples = [json.loads(line) for line in code(text) if line.startswith('{"type"')]
    kinds = {"category": ["plan", "billed_plan"], "date": ["signup", "cancelled"], "text": ["customer", "note"]}
    columns = {name: {"kind": kind} for kind, named in kinds.items() for name in named}
    columns |= {"age": {"kind": "number"}, "y": {"kind": "category", "role": "target"}}
    read_back = loads(json.dumps({"expectations": examples, "meta": {"columns": columns}}).encode())
    assert {rule.type for rule in read_back.row_rules} == set(ROW_RULES) == first_cells(text, "type")
    assert len(read_back.table_rules) >= 3


def test_decisions_are_numbered_without_a_gap_and_listed():
    files = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(path.name[:4]) for path in files] == list(range(1, len(files) + 1))
    listed = LINK.findall(read(ROOT / "docs" / "design.md"))
    assert [target for target in listed if target.startswith("decisions/")] == [f"decisions/{p.name}" for p in files]

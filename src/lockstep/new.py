"""Write a project for somebody's own table: this tree, with its own parameters, contract, features and README."""

import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lockstep import blank, contract, digest, graph, params, repository
from lockstep.errors import ProjectError
from lockstep.sources import _guess, file
from lockstep.steps import lock
from lockstep.steps.suggest import Suggestion, suggest

ORIGIN = Path(__file__).resolve().parents[2]
COPIED = (
    "src/lockstep",
    "flows",
    "Makefile",
    "pyproject.toml",
    "requirements.lock",
    "dvc.yaml",
    "bentofile.yaml",
    ".gitignore",
    ".dvcignore",
    ".dvc/plots",
)
"""What a new project takes from this one, where it is there."""


@dataclass(frozen=True)
class Report:
    """What was made, and what was decided on the way."""

    folder: Path
    table: Path
    n_rows: int
    n_columns: int
    suggestion: Suggestion
    notes: tuple[str, ...]


def create(
    folder: Path,
    *,
    table: Path,
    target: str,
    problem: str | None = None,
    ignore: Sequence[str] = (),
    time: str | None = None,
    group: str | None = None,
    id: str | None = None,
    names: Sequence[str] = (),
    separator: str | None = None,
    header: bool | None = None,
) -> Report:
    """Look at ``table`` and write a project for it into ``folder``, ready to run.

    Nothing is left behind where it fails.

    Raises
    ------
    ProjectError
        The folder holds something already.
    SourceError, UnknownName, FitError
        The table cannot be read, a named column is not in it, or the target cannot be learned.
    """
    folder, table = folder.expanduser().resolve(), table.expanduser().resolve()
    _check_folder(folder, table)
    _check_place(folder, table)
    written = table.relative_to(folder).as_posix() if table.is_relative_to(folder) else str(table)
    guessed = _guess.guess(table, written, names=tuple(names), separator=separator, header=header)
    raw = file.read(guessed.settings, folder)
    suggestion = suggest(raw, target, problem=problem, ignore=ignore, time=time, group=group, id=id)
    before = set(folder.rglob("*")) if folder.exists() else None
    try:
        said = _write(folder, table, target, guessed.settings, suggestion, len(raw))
    except BaseException:
        _undo(folder, before)
        raise
    return Report(folder, table, len(raw), len(raw.columns), suggestion, (*guessed.notes, *suggestion.notes, *said))


def _check_place(folder: Path, table: Path) -> None:
    """Refuse a table where a stage would overwrite it."""
    for out in (out for stage in graph.load(ORIGIN) for out in stage.outs):
        if table.is_relative_to(folder / out):
            raise ProjectError(
                f"{table.name} lies at {out}, which a stage writes; the line would overwrite your table. "
                "Move it elsewhere, such as to the top of the project."
            )


def describe(report: Report) -> str:
    """Say what was decided about every column, what else to know, and what to do next."""
    found = report.suggestion
    width = min(40, max(len(decision.column) for decision in found.decisions))
    lines = [f"{report.table.name}: {report.n_rows} rows, {report.n_columns} columns", ""]
    lines += [f"  {decision.column:{width}}  {decision.decision:8}  {decision.why}" for decision in found.decisions]
    lines += ["", f"problem {found.problem}, split {'at random' if found.split == 'random' else f'by {found.split}'}"]
    lines += [f"note: {note}" for note in report.notes]
    here = Path.cwd()
    folder = report.folder.relative_to(here) if report.folder.is_relative_to(here) else report.folder
    return "\n".join(
        [
            *lines,
            "",
            f"next: cd {shlex.quote(str(folder))} && make run",
            "and review expectations/rows.json, which was suggested from the table",
        ]
    )


def _check_folder(folder: Path, table: Path) -> None:
    if folder.is_file():
        raise ProjectError(f"{folder} must be a folder, or not exist; it is a file. Name another.")
    inside = sorted(path for path in folder.rglob("*") if path.is_file() and path != table) if folder.exists() else []
    if inside:
        raise ProjectError(
            f"{folder} must be empty, but for the table, or not exist; it holds "
            f"{inside[0].relative_to(folder)}. Name another."
        )


def _write(
    folder: Path, table: Path, target: str, settings: file.Settings, found: Suggestion, n_rows: int
) -> list[str]:
    """Write everything; return what there is to say."""
    folder.mkdir(parents=True, exist_ok=True)
    said = repository.begin(folder)
    _copy_tree(folder)
    name = blank.bento_name(folder.name)
    source = {"kind": "file", **settings.model_dump(exclude_defaults=True), "path": settings.path}
    own = {
        params.FILE: blank.params(found, source),
        contract.FILE: found.contract,
        "src/features.py": blank.features(found),
        "tests/test_project.py": blank.TEST,
        "README.md": blank.readme(folder.name, target, table.name, n_rows, found),
    }
    for path, text in own.items():
        digest.write_atomic(folder / path, text)
    edits: dict[str, Callable[[str], str]] = {
        "bentofile.yaml": lambda text: blank.bentofile(text, name),
        "Makefile": blank.makefile,
        "dvc.yaml": lambda text: blank.graph(text, found.problem),
    }
    for path, edit in edits.items():
        digest.write_atomic(folder / path, edit((folder / path).read_text("utf-8")))
    inside = table.is_relative_to(folder)
    if inside:
        _ignore(folder, settings.path)
    contract.load(folder)
    lock.write(folder, params.load(folder))
    failed = repository.commit(folder, f"Begin a project that predicts {target} from {table.name}")
    texts = ["only texts are there to learn from: src/features.py holds simple features of them to begin with"]
    place = (
        "the table lies in the project and is ignored by git; `dvc add` it if it should travel with it"
        if inside
        else f"the table stays where it is, {table}; data/source.lock holds its digest"
    )
    return [*(texts if not found.n_inputs else []), *([said] if said else []), *([failed] if failed else []), place]


def _copy_tree(folder: Path) -> None:
    known = [name for name in repository.tracked(ORIGIN) if any(f"{name}/".startswith(f"{part}/") for part in COPIED)]
    for name in known if any(name.startswith("src/lockstep/") for name in known) else _found():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ORIGIN / name, folder / name)
    config = ORIGIN / ".dvc" / "config"
    if config.is_file():
        digest.write_atomic(folder / ".dvc" / "config", blank.dvc_config(config.read_text("utf-8")))


def _found() -> list[str]:
    """Return what there is to copy, as it lies on disk."""
    paths = [path for part in COPIED for path in (ORIGIN / part, *(ORIGIN / part).rglob("*"))]
    return [path.relative_to(ORIGIN).as_posix() for path in paths if path.is_file() and "__pycache__" not in path.parts]


def _ignore(folder: Path, path: str) -> None:
    ignored = folder / ".gitignore"
    text = ignored.read_text("utf-8") if ignored.is_file() else ""
    said = f"# The table; `dvc add` it if it should travel with the project.\n/{path}\n"
    digest.write_atomic(ignored, f"{text.rstrip()}\n\n{said}".lstrip())


def _undo(folder: Path, before: set[Path] | None) -> None:
    """Remove what was written; what was there before stays."""
    if before is None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in sorted(folder.rglob("*"), reverse=True):
        if path not in before:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)

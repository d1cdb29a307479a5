"""Read and write what lies between the stages, byte-stable."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lockstep.digest import dump_json
from lockstep.errors import ProjectError

INDEX = "__row__"
"""Name of the index of every table after ingest: the number of the row in ``data/raw.parquet``."""


def read_table(path: Path) -> pd.DataFrame:
    """Read one of the line's own Parquet files.

    Raises
    ------
    ProjectError
        It is missing or damaged.
    """
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise ProjectError(f"{path} is missing; run `dvc repro`, or `dvc pull`.") from None
    except (OSError, ValueError) as error:
        raise ProjectError(
            f"{path} is damaged ({' '.join(str(error).split())[:100]}); remove it and run `dvc checkout`, "
            "or `dvc repro`."
        ) from error


def write_table(rows: pd.DataFrame, path: Path) -> None:
    """Write a table with its index, which is named ``__row__``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _naming(path):
        rows.rename_axis(index=INDEX).to_parquet(path, engine="pyarrow", compression="zstd")


def read_json(path: Path) -> Any:
    """Read a JSON file of the line's own."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ProjectError(f"{path} is missing; run `dvc repro`, or `dvc pull`.") from None
    except ValueError as error:
        raise ProjectError(f"{path} is damaged ({error}); remove it and run `dvc checkout`, or `dvc repro`.") from error


def write_json(value: Mapping[str, Any] | list[Any], path: Path) -> None:
    """Write JSON with sorted keys."""
    write_text(dump_json(value), path)


def write_text(text: str, path: Path) -> None:
    """Write UTF-8 text, the folder made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _naming(path):
        path.write_text(text, "utf-8")


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Tell an error of writing, as on a full disk, which file it was."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def empty_folder(path: Path) -> Path:
    """Return ``path`` as an empty folder."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def n_threads() -> int:
    """Return how many threads fitting may use: ``LOCKSTEP_THREADS``, else the processors allowed.

    Threads change the time, never the result.
    """
    return _stated("LOCKSTEP_THREADS") or (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def n_workers() -> int:
    """Return how many trials a search judges side by side: ``LOCKSTEP_WORKERS``, else one a thread.

    Workers share the threads among them; they change the time, never the result.
    """
    return _stated("LOCKSTEP_WORKERS") or n_threads()


def _stated(variable: str) -> int | None:
    stated = os.environ.get(variable, "")
    if stated and (not stated.isdigit() or int(stated) < 1):
        raise ProjectError(f"{variable} must be a whole number of at least 1; got {stated!r}.")
    return int(stated) if stated else None

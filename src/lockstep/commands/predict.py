"""Answer every row of a file by the live release, in chunks; a refused row comes out with its reason."""

import csv
from pathlib import Path
from types import TracebackType

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lockstep import params, project
from lockstep.answers import answer
from lockstep.contract import Contract
from lockstep.errors import ReleaseError, SourceError
from lockstep.params import parse
from lockstep.predictor import Predictor
from lockstep.service import released
from lockstep.sources import file

CHUNK_ROWS = 50_000


def predict(root: Path, table: Path, to: Path) -> str:
    """Write one row out for each row in, in order: ``prediction``, ``probability_<class>``, ``refused``.

    Raises
    ------
    LockstepError
        Nothing is live, the table cannot be read, a column is missing, or ``to`` has another ending.
    """
    if table.resolve() == to.resolve():
        raise SourceError(f"--to must be another file than the table; both are {table}.")
    model = _live_model(root)
    n_rows = n_refused = 0
    with _Writer(to) as writer:
        for raw in file.read_chunks(_settings(root, table, model.contract), Path.cwd(), CHUNK_ROWS):
            answers = answer(raw, model)
            writer.write(answers)
            n_rows, n_refused = n_rows + len(answers), n_refused + int(answers["refused"].notna().sum())
    return f"{n_rows} rows answered by {model.digest[:12]}, {n_refused} of them refused: {to}"


def _live_model(root: Path) -> Predictor:
    """Load what is live, as the service does: every byte verified, golden rows answered, by the very code it ships."""
    found = released.live(project.state(root))
    if released.code_digest(root / "src" / "lockstep") != found.identity.code:
        raise ReleaseError(
            f"the code in src/lockstep is not that of the live release {found.identity.tag}, so it may answer "
            "otherwise; run `make run` and `lockstep release promote`, or check out the commit that packaged it."
        )
    return released.load(found)


def _settings(root: Path, table: Path, contract: Contract) -> file.Settings:
    """Cut the file as the project's own source is cut, where that is a file of the same format.

    Where names are not in the file, they are the contract's; one column less is taken for a table without its target.
    """
    plain = parse(file.Settings, {"kind": "file", "path": str(table)})
    own = params.load(root).source
    if own["kind"] != "file":
        return plain
    cut = parse(file.Settings, {**own, "path": str(table), "format": None}, where="source")
    if cut.resolved_format != parse(file.Settings, own, where="source").resolved_format:
        return plain
    if cut.header or cut.resolved_format not in ("csv", "tsv"):
        return cut
    unnamed = cut.model_copy(update={"names": None})
    width = len(next(file.read_chunks(unnamed, Path.cwd(), 1)).columns)
    names = [name for name in contract.columns if width != len(contract.columns) - 1 or name != contract.target]
    return cut.model_copy(update={"names": tuple(names)})


class _Writer:
    """Writes chunks to a temporary file beside ``to``, which takes its place when all went well."""

    def __init__(self, to: Path) -> None:
        if to.suffix not in (".csv", ".parquet"):
            raise SourceError(f"--to must end in .csv or .parquet; got {to.name!r}.")
        if not to.parent.is_dir():
            raise SourceError(f"--to names a folder that does not exist: {to.parent}.")
        self._to, self._part = to, to.with_name(f".{to.name}.part")
        self._parquet: pq.ParquetWriter | None = None
        self._begun = False

    def __enter__(self) -> "_Writer":
        return self

    def write(self, answers: pd.DataFrame) -> None:
        """Append a chunk."""
        if self._to.suffix == ".csv":
            answers.to_csv(
                self._part,
                mode="a" if self._begun else "w",
                header=not self._begun,
                index=False,
                quoting=csv.QUOTE_MINIMAL,
            )
        else:
            chunk = pa.Table.from_pandas(answers, preserve_index=False)
            self._parquet = self._parquet or pq.ParquetWriter(self._part, chunk.schema)
            self._parquet.write_table(chunk.cast(self._parquet.schema))
        self._begun = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._parquet:
            self._parquet.close()
        if kind is None and self._begun:
            self._part.replace(self._to)
        else:
            self._part.unlink(missing_ok=True)

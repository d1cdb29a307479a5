"""Take the table from its source, if it is still the locked one."""

from pathlib import Path

from lockstep import plugins
from lockstep.errors import SourceError
from lockstep.params import Params, parse
from lockstep.stages.files import write_table
from lockstep.steps import lock


def run(root: Path, params: Params) -> None:
    """``data/source.lock`` -> ``data/raw.parquet``."""
    lock.check(root, params)
    source = plugins.load("sources", params.source["kind"])
    raw = source.read(parse(source.Settings, params.source, where="source"), root)
    if not len(raw):
        raise SourceError(f"the source {params.source['kind']!r} must give at least one row; it gave none.")
    write_table(raw.reset_index(drop=True), root / "data" / "raw.parquet")

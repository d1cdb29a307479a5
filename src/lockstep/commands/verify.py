"""Compare every out with what ``dvc.lock`` records, in the working tree and in DVC's cache, byte by byte."""

from dataclasses import dataclass
from pathlib import Path

from lockstep import graph
from lockstep.recorder import Recorder


@dataclass(frozen=True)
class Verdict:
    """What was found; ``passed`` where every byte is the recorded one."""

    passed: bool
    said: str


def verify(root: Path) -> Verdict:
    """Check all outs; a damaged object leaves the cache, and what lacks is fetched if there is a remote."""
    entries = graph.recorded(root)
    outs = [out for stage in graph.load(root) for out in entries.get(stage.name, {}).get("outs", [])]
    recorded = {out["path"]: out["md5"] for out in outs}
    recorder, lines = Recorder(root), list[str]()
    try:
        lacking = recorder.mend(recorded, lines.append)
    finally:
        recorder.close()
    changed = [
        path for path, named in recorded.items() if (root / path).exists() and graph.digest(root / path) != named
    ]
    absent = [path for path in recorded if path not in lacking and not (root / path).exists()]
    lines += [f"{path}: it is missing here; `dvc repro` takes it from DVC's cache" for path in absent]
    lines += [f"{path}: DVC's cache cannot give it back; `dvc repro` makes it again" for path in lacking]
    lines += [f"{path}: its bytes are not those that dvc.lock records; `dvc repro` makes it again" for path in changed]
    well = f"{len(recorded)} outs are what dvc.lock records, in the working tree and in DVC's cache"
    found = [*lacking, *absent, *changed]
    return Verdict(not found, "\n".join([*lines, *([] if found else [well])]))

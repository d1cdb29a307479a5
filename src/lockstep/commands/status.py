"""Say what is stale and why, what is packaged, and what is live."""

from pathlib import Path

from lockstep import graph, params, plugins, release, running
from lockstep.digest import read_object

MAX_REASONS = 3


def describe(root: Path) -> str:
    """Return a screen of text; compares digests, runs nothing."""
    plugins.check(params.load(root))
    return "\n".join([f"project   {root}", *_line(root), *_packaged(root), *_live(root), *_up(root)])


def _line(root: Path) -> list[str]:
    found = graph.stale(root)
    late = [stage for stage in found if stage.reasons]
    if not late:
        return [f"line      all {len(found)} stages are up to date"]
    lines = [f"line      {len(late)} of {len(found)} stages would run by `dvc repro`:"]
    for stage in late:
        more = f" (and {len(stage.reasons) - MAX_REASONS} more)" if len(stage.reasons) > MAX_REASONS else ""
        lines.append(f"  {stage.stage}: {'; '.join(stage.reasons[:MAX_REASONS])}{more}")
    return lines


def _packaged(root: Path) -> list[str]:
    path = root / "models" / "bento.json"
    if not path.exists():
        return ["packaged  nothing yet; `make run` packages the winner"]
    packaged = read_object(path)
    lines = [f"packaged  {packaged['bento']} (predictor {packaged['predictor'][:12]})"]
    if release.missing(root):
        lines.append("          it is not in the bento store; `make run` builds it again, to the recorded digest")
    live = release.live(root)
    if live and live["bento"] != packaged["bento"]:
        lines.append("          it waits; `lockstep release promote` makes it live")
    return lines


def _live(root: Path) -> list[str]:
    live = release.live(root)
    return [
        f"live      {live['bento']} (predictor {live['model'][:12]})"
        if live
        else "live      nothing; the first package promotes itself"
    ]


def _up(root: Path) -> list[str]:
    up = running.read(root)
    return [f"up        {up}" if up.ready else f"up        starting as process {up.owner.pid}"] if up else []

"""Say what each input added to the score behind a recorded prediction."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from lockstep import provenance, recorded
from lockstep.contract.request import Door, shown
from lockstep.errors import IntegrityError
from lockstep.service import released
from lockstep.service.explain import explain as explain_rows

BAR = 24
"""Signs of the longest bar."""
VALUE = 24
"""Signs shown of a value."""
PRIVATE = "private"
"""Stands for a private value."""
DIGITS = 4
"""Shown of the largest contribution; the others have as many decimals."""

Explained = dict[str, Any]


def explain(root: Path, identity: str, row: Path | None = None) -> Explained:
    """Return the explanation of a prediction, by the release that made it; ``row`` names a file with the row.

    Raises
    ------
    UnknownName
        No prediction of this id is recorded, or its family explains nothing.
    ReleaseError
        The release that answered is not here.
    IntegrityError
        The row is not known as it was asked, or is answered otherwise now.
    """
    asked = provenance.asked(root, identity)
    release = provenance.release(root, asked)
    model = released.load(release)
    given = recorded.read_row(row) if row else None
    inputs = recorded.row(recorded.folder(root), asked, model.contract, given)
    door = Door(model.contract)
    checked = door.check(inputs)
    if checked.faults:
        broken = [f"{fault.field}: {fault.rule}" for fault in checked.faults]
        raise IntegrityError(f"prediction {identity} must keep the contract of its release; it breaks {broken}.")
    (found,) = explain_rows(model, [checked.values])
    _check_same(asked, found, _hint(root, release))
    return {
        **{name: asked[name] for name in ("id", "time", "bento", "model")},
        "inputs": {name: PRIVATE if column.private else inputs.get(name) for name, column in door.columns.items()},
        **found,
    }


def describe(found: Explained) -> str:
    """Return the explanation as a table, the largest contribution first; of several classes for the one predicted."""
    return "\n".join(_lines(found))


def _check_same(asked: Mapping[str, Any], found: Explained, hint: str) -> None:
    """Refuse to explain another answer than the recorded one."""
    names = ("prediction", "probabilities")
    was, is_now = ({name: answer[name] for name in names if name in answer} for answer in (asked, found))
    if orjson.dumps(was, option=orjson.OPT_SORT_KEYS) != orjson.dumps(is_now, option=orjson.OPT_SORT_KEYS):
        raise IntegrityError(
            f"prediction {asked['id']} must be answered again as recorded, {was}; got {is_now}. {hint}"
        )


def _hint(root: Path, release: released.Found) -> str:
    if released.code_digest(root / "src" / "lockstep") == release.identity.code:
        return "Was it made on another processor?"
    return f"The code in src/lockstep is not that of {release.identity.tag}; check out the commit that packaged it."


def _lines(found: Explained) -> Iterator[str]:
    classes = len(found["raw"]) > 1
    raw = next(raw for raw in found["raw"] if not classes or raw["class"] == found["prediction"])
    meaning = f" of {raw['class']!r}" if "class" in raw else ""
    yield f"prediction  {found['id']}, {found['time']}, {found['bento']}"
    yield f"answered    {found['prediction']}" + _chances(found.get("probabilities"))
    yield f"score       {raw['score']:.6g}: {'score' if classes else 'log odds' if meaning else 'the number'}{meaning}"
    yield f"base        {raw['base']:.6g}"
    yield ""
    added = sorted(raw["contributions"].items(), key=lambda item: -abs(item[1]))
    largest = max((abs(value) for _, value in added), default=0.0) or 1.0
    decimals = min(max(DIGITS - 1 - math.floor(math.log10(largest)), 0), 12)
    width = max((len(name) for name, _ in added), default=0)
    for name, value in added:
        bar = ("+" if value > 0 else "-") * round(BAR * abs(value) / largest)
        given = _text(found["inputs"][name]) if name in found["inputs"] else "computed"
        yield f"{name:<{width}}  {given[:VALUE]:<{VALUE}} {value:>+{DIGITS + 8}.{decimals}f}  {bar}".rstrip()
    if classes:
        yield f"\nthe scores of all {len(found['raw'])} classes: --json"


def _text(value: Any) -> str:
    match value:
        case None:
            return "missing"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.10g}"
    return shown(value)


def _chances(chances: Mapping[str, float] | None) -> str:
    return f" ({', '.join(f'{name} {chance:.6g}' for name, chance in chances.items())})" if chances else ""

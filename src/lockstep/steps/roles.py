"""Decide which part each column plays: input, identifier, time, group, or none at all."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lockstep.contract.model import Role
from lockstep.steps import leaks
from lockstep.steps.cells import Look

MIN_ROWS = 20
"""Fewer rows tell nothing by being unique or alike."""
NEARLY_UNIQUE = 0.95
IN_ORDER = 0.98
"""Rank correlation with the order of the rows that makes a date the time of its row."""
MAX_ROWS_A_VALUE = 0.05
"""A value of an entity's key covers at most this share of the rows, on average."""
MAX_VALUES = 50
MAX_TOKEN = 64
N_ROWS = 50_000
ID_NAME = re.compile(
    r"(?i:(?:^|[\s_.-])(?:id|uuid|guid|key|nr|no|number|index|idx|ref|code)$)"
    r"|[a-z](?:ID|Id|Key|Number|Code|Ref|Nr)$"
    r"|(?i:^(?:instant|row_?num|unnamed: 0|__index_level_0__)$)"
)
ENTITY = re.compile(
    r"(?i:(?:customer|client|user|member|person|patient|subject|account|employee|household|session|"
    r"order|invoice|transaction|device)[\s_.-]*(?:id|no|nr|num|number|key|code|uuid)$)"
)
"""Names that can mean nothing but a key; the shorter ones below need evidence."""
ENTITY_NAME = re.compile(r"(?i:(?:^|[\s_.-])(?:id|uuid|guid)$)|[a-z](?:ID|Id)$")


@dataclass(frozen=True)
class Decision:
    """What was decided about a column, and why."""

    column: str
    decision: Role
    why: str
    input: bool = False
    """Whether it is one, which goes without saying unless there is a reason to tell."""


@dataclass(frozen=True)
class Wishes:
    """What the user said."""

    target: str
    ignore: tuple[str, ...] = ()
    time: str | None = None
    group: str | None = None
    id: str | None = None

    def said(self) -> list[tuple[str, str | None]]:
        """Return each option with a column it names."""
        return [
            ("target", self.target),
            *(("ignore", name) for name in self.ignore),
            ("time", self.time),
            ("group", self.group),
            ("id", self.id),
        ]


def decide(rows: pd.DataFrame, looks: Mapping[str, Look], wishes: Wishes, *, seed: int) -> dict[str, Decision]:
    """Decide on every column but the target, in the order of the table.

    What the user said stands; then what says nothing, what identifies, the time and the group, leaks, and copies.

    Parameters
    ----------
    rows
        Typed by ``looks``; the target as the problem needs it.
    """
    decided, names = _wished(wishes), [str(name) for name in rows]
    for name in names:
        if name not in decided:
            decided |= _named(_judge_alone(rows[name], looks[name], name))
    left = [name for name in names if name not in decided]
    if not wishes.time and not wishes.group:
        decided |= _named(_find_time(rows, [name for name in left if looks[name].kind == "date"]))
    left = [name for name in left if name not in decided]
    decided |= _named(_find_entity(rows, left, looks, can_group=not _has(decided, "time", "group")))
    left = [name for name in left if name not in decided]
    found = leaks.find(rows, wishes.target, [name for name in left if looks[name].kind != "text"], seed=seed)
    decided |= {name: _leaking(leak, name) for leak in reversed(found) for name in leak.columns}
    left = [name for name in left if name not in decided or decided[name].input]
    decided |= _named(_find_copies(rows, left, looks))
    return {name: decided.get(name) or _plain(rows[name], looks[name], name) for name in names if name != wishes.target}


def is_ordered(values: pd.Series) -> bool:
    """Say whether the rows stand in ascending, or in descending, order of times, but for a few."""
    if len(values) < MIN_ROWS or values.isna().any() or values.nunique() < 5:
        return False
    ranks = values.rank().to_numpy()
    return abs(float(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1])) >= IN_ORDER


def _has(decided: Mapping[str, Decision], *kinds: str) -> bool:
    return any(decision.decision in kinds for decision in decided.values())


def _named(decisions: Iterable[Decision | None]) -> dict[str, Decision]:
    return {decision.column: decision for decision in decisions if decision}


def _wished(wishes: Wishes) -> dict[str, Decision]:
    roles: dict[str, Role] = {"target": "target", "ignore": "ignored", "time": "time", "group": "group", "id": "id"}
    return {name: Decision(name, roles[what], "as asked") for what, name in wishes.said() if name is not None}


def _judge_alone(values: pd.Series, look: Look, name: str) -> list[Decision]:
    """Set aside a column that says nothing or identifies."""
    n_missing, n_distinct = int(values.isna().sum()), int(values.nunique())
    if look.mixed:
        return [Decision(name, "ignored", look.notes[0])]
    if n_distinct == 0:
        return [Decision(name, "ignored", "every cell is missing")]
    if n_distinct == 1 and min(n_missing, len(values) - n_missing) < 5:
        return [Decision(name, "ignored", f"every row holds {values.dropna().iloc[0]!r}")]
    why = _why_id(values, look, name, n_distinct) if len(values) >= MIN_ROWS else ""
    return [Decision(name, "id", why)] if why else []


def _why_id(values: pd.Series, look: Look, name: str, n_distinct: int) -> str:
    """Return why a column identifies its row; nothing if it does not."""
    known = values.dropna()
    unique = n_distinct == len(values)
    if n_distinct < NEARLY_UNIQUE * len(known) or len(known) < 0.5 * len(values) or look.kind in ("date", "boolean"):
        return ""
    how = "unique" if unique else f"nearly unique ({n_distinct} of {len(known)})"
    named = ID_NAME.search(name) is not None
    if look.kind != "number":
        unbroken = float((~known.str.contains(r"\s", regex=True)).mean()) >= NEARLY_UNIQUE
        tokens = unbroken and known.str.len().mean() <= MAX_TOKEN
        return f"{how}: identifies, never predicts" if tokens or named else ""
    if not (known % 1 == 0).all():
        return ""
    if unique and known.max() - known.min() + 1 == len(known):
        return "a running number: identifies, never predicts"
    lengths = known.abs().astype("int64").astype("str").str.len()
    same_length = unique and lengths.nunique() == 1 and lengths.iloc[0] >= 6
    return f"{how}: identifies, never predicts" if named or same_length else ""


def _find_time(rows: pd.DataFrame, dates: Sequence[str]) -> list[Decision]:
    """Take the first date in whose order the rows stand for the time of the row."""
    for name in dates:
        if is_ordered(rows[name]):
            why = "the rows stand in its order: split by time, so that the future judges the past"
            return [Decision(name, "time", why)]
    return []


def _find_entity(
    rows: pd.DataFrame, names: Sequence[str], looks: Mapping[str, Look], *, can_group: bool
) -> list[Decision]:
    """Find keys of things that have several rows each; the one of fewest values is the group."""
    why = {name: reason for name in names if (reason := _why_entity(rows, name, names, looks[name]))}
    complete = [name for name in why if can_group and rows[name].notna().all()]
    group = min(complete, key=lambda name: rows[name].nunique(), default=None)
    return [
        Decision(name, "group", f"{reason}: split by it, so that none stands on both sides")
        if name == group
        else Decision(name, "id", f"{reason}: identifies, never predicts")
        for name, reason in why.items()
    ]


def _why_entity(rows: pd.DataFrame, name: str, names: Sequence[str], look: Look) -> str:
    """Return why a column is a key (named like one, many values, few rows of each); nothing if it is not."""
    known = rows[name].dropna()
    n_distinct, whole = known.nunique(), look.kind != "number" or bool((known % 1 == 0).all())
    if look.kind in ("date", "boolean") or not whole or not (ENTITY.search(name) or ENTITY_NAME.search(name)):
        return ""
    if len(known) < 5 * MIN_ROWS or n_distinct < 1 / MAX_ROWS_A_VALUE or n_distinct > NEARLY_UNIQUE * len(known):
        return ""
    keys = f"{n_distinct} keys with {len(known) / n_distinct:.1f} rows each"
    if ENTITY.search(name):
        return keys
    follower = next((other for other in names if other != name and _is_constant_within(rows, other, name)), None)
    return f"{keys}, of equal {follower!r}" if follower else ""


def _is_constant_within(rows: pd.DataFrame, other: str, key: str) -> bool:
    several = rows[[key, other]].dropna().iloc[:N_ROWS]
    counts = several.groupby(key)[other].agg(["size", "nunique"])
    counts = counts[counts["size"] > 1]
    values = several[other].value_counts(normalize=True)
    if len(counts) < MIN_ROWS or len(values) < 2:
        return False
    by_chance = float((values**2).sum())
    return bool((counts["nunique"] == 1).mean() >= 0.99 and by_chance < 0.5)


def _leaking(leak: leaks.Leak, name: str) -> Decision:
    if leak.certain:
        return Decision(name, "ignored", f"gives the target away: {leak.reason}")
    return Decision(name, "input", f"{leak.reason}: make sure that it is known before the target is", input=True)


def _find_copies(rows: pd.DataFrame, names: Sequence[str], looks: Mapping[str, Look]) -> list[Decision]:
    """Find columns that say one-to-one what another says; of the two the number stays, else the first."""
    rows = rows[list(names)].drop_duplicates()
    if len(rows) < MIN_ROWS:
        return []
    codes = {name: pd.factorize(rows[name], use_na_sentinel=False)[0].astype(np.int64) for name in names}
    sizes = {name: int(code.max()) + 1 for name, code in codes.items()}
    # A value must repeat for its repetition to say something.
    judged = [name for name in names if len(rows) - sizes[name] >= MIN_ROWS and looks[name].kind != "text"]
    kept: list[str] = []
    found: list[Decision] = []
    for name in sorted(judged, key=lambda name: looks[name].kind != "number"):
        told = [other for other in kept if sizes[name] <= sizes[other] == _n_pairs(codes[other], codes[name])]
        twins = (other for other in told if sizes[other] == sizes[name] and _is_copy(rows[other], rows[name]))
        twin = next(twins, None)
        source = next((other for other in told if _are_few(looks, sizes, (name, other))), None)
        if twin:
            found.append(Decision(name, "ignored", f"repeats {twin!r}, value for value"))
            continue
        kept.append(name)
        if source:
            found.append(Decision(name, "input", f"kept, though it follows from {source!r}", input=True))
    return found


def _is_copy(a: pd.Series, b: pd.Series) -> bool:
    """Ask of two columns of many numbers, which say the same of every row, that they also rise or fall together.

    Else the age and the income of a few customers with many rows each would be copies.
    """
    if "str" in (a.dtype, b.dtype) or a.nunique() <= MAX_VALUES:
        return True
    return abs(float(np.corrcoef(a.rank(), b.rank())[0, 1])) > 1 - 1e-9 if a.notna().all() else False


def _are_few(looks: Mapping[str, Look], sizes: Mapping[str, int], names: Sequence[str]) -> bool:
    return all(looks[name].kind in ("category", "boolean") and sizes[name] <= MAX_VALUES for name in names)


def _n_pairs(a: NDArray[np.int64], b: NDArray[np.int64]) -> int:
    return len(pd.unique(a * (int(b.max()) + 1) + b))  # np.unique takes twenty times as long


def _plain(values: pd.Series, look: Look, name: str) -> Decision:
    share = float(values.isna().mean())
    missing = f", {share:.2g} missing" if share else ""
    missing += "; it enters the model only through src/features.py" if look.kind == "text" else ""
    return Decision(name, "input", f"{look.kind}, {values.nunique()} different{missing}", input=True)

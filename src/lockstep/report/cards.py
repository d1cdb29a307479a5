"""Say in a few lines of Markdown what a stage found: what the Prefect UI shows as artifacts."""

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_BREACHES = 20


def of(root: Path, outs: tuple[str, ...]) -> dict[str, str]:
    """Return a text for each of the reports that stand among ``outs``, by the name of the artifact."""
    known: dict[str, tuple[str, Callable[[Any], str]]] = {
        "reports/validation.json": ("validation", validation),
        "models/leaderboard.json": ("leaderboard", leaderboard),
        "reports/metrics.json": ("scores", scores),
        "reports/verdict.json": ("verdict", verdict),
    }
    found = {}
    for path in outs:
        if path in known:
            name, tell = known[path]
            with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):  # another run puts it back just then
                found[name] = tell(json.loads((root / path).read_text("utf-8")))
    return found


@dataclass(frozen=True)
class Progress:
    """How far a search is; ``wanted`` is None where seconds are counted, ``best`` where no trial is complete yet."""

    family: str
    n_trials: int
    wanted: int | None
    best: float | None


def progress(searches: Sequence[Progress]) -> str:
    """Tell how the searches that run are doing, the best first."""
    rows = [
        (one.family, f"{one.n_trials}{f' of {one.wanted}' if one.wanted else ''}", _number(one.best))
        for one in sorted(searches, key=lambda one: (one.best is None, one.best or 0))
    ]
    return "Searching." + _table(("family", "trials", "least loss so far"), rows)


def validation(report: dict[str, Any]) -> str:
    """Tell the contract's verdict on a table."""
    broken = [rule for rule in report["rules"] if not rule["success"]]
    said = "keeps the contract" if report["success"] else "breaks the contract"
    head = f"The table {said}: {report['n_valid']:,} rows valid, {report['n_quarantined']:,} set aside."
    rows = [
        (rule["severity"], ", ".join(rule["columns"]), rule["rule"], f"{rule['n_unexpected'] or 0:,}")
        for rule in broken[:MAX_BREACHES]
    ]
    more = f"\n\nand {len(broken) - MAX_BREACHES} more" if len(broken) > MAX_BREACHES else ""
    return head + (_table(("severity", "columns", "rule", "rows"), rows) + more if rows else "")


def leaderboard(entries: list[dict[str, Any]]) -> str:
    """Tell how the families did, best first."""
    rows = [
        (
            entry["family"] + (" (chosen)" if entry["chosen"] else ""),
            f"{entry['loss']:.5g}",
            f"{entry['standard_error']:.2g}",
            f"{entry['difference']:.2g} ± {entry['difference_error']:.2g}",
            str(entry["n_trials"]),
        )
        for entry in entries
    ]
    return _table(("family", "loss", "standard error", "behind the best", "trials"), rows)


def scores(metrics: dict[str, float]) -> str:
    """Tell the winner's scores on the test rows beside those of the baselines."""
    own = [name for name in metrics if f"trivial_{name}" in metrics and not name.endswith(("_low", "_high"))]
    rows = [
        (
            name,
            _number(metrics[name]),
            f"{_number(metrics.get(f'{name}_low'))} to {_number(metrics.get(f'{name}_high'))}",
            _number(metrics.get(f"linear_{name}")),
            _number(metrics[f"trivial_{name}"]),
        )
        for name in sorted(own)
    ]
    return f"On {metrics['n_rows']:,.0f} test rows." + _table(("metric", "winner", "95 %", "linear", "trivial"), rows)


def verdict(found: dict[str, Any]) -> str:
    """Tell whether the winner may be packaged, and why."""
    head = f"**{'Accepted' if found['accepted'] else 'Rejected'}**: {found['family']}, {found['predictor'][:16]}."
    rows = [(gate["gate"], "passed" if gate["passed"] else "failed", gate["reason"]) for gate in found["gates"]]
    return head + _table(("gate", "", "reason"), rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n\n" + "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)

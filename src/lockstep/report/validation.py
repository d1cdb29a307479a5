"""The page of a validation: what the contract found in the table, breaches first."""

from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

from lockstep.report.markup import bar, code, facts, fold, lines, page, paragraph, section, table, tag, with_share
from lockstep.report.text import Html, cell, number, share

SEVERITIES = ("critical", "warning", "info")
MEANING = {
    ("critical", "row"): "Stops the line; a request is refused.",
    ("critical", "table"): "Stops the line.",
    ("warning", "row"): "The rows were set aside; a request is refused.",
    ("warning", "table"): "Reported, and counted against validate.max_warnings.",
    ("info", "row"): "The rows were kept and flagged.",
    ("info", "table"): "Reported.",
}
FIGURES = (("n_distinct", "distinct"), ("min", "least"), ("mean", "mean"), ("max", "greatest"))


def validation_page(result: Mapping[str, Any], breaches: Sequence[str]) -> str:
    """Return the page as self-contained HTML: no script, nothing loaded; equal results give equal bytes.

    Parameters
    ----------
    result
        What ``reports/validation.json`` holds.
    breaches
        Sentences on what stops the line; it goes on if there are none.
    """
    broken = sorted((rule for rule in result["rules"] if not rule["success"]), key=_weight)
    state = "failed" if breaches else "passed"
    return page(
        f"Validation {state}: {number(result['n_rows'])} rows",
        _summary(result, broken, breaches),
        _breaches(broken),
        _quarantine(result["quarantine"], result["n_rows"]),
        _rules(result["rules"]),
        _columns(result["columns"]),
    )


def _weight(rule: Mapping[str, Any]) -> tuple[Any, ...]:
    return SEVERITIES.index(rule["severity"]), -(rule["n_unexpected"] or 0), rule["columns"], rule["rule"]


def _summary(result: Mapping[str, Any], broken: Sequence[Mapping[str, Any]], breaches: Sequence[str]) -> Html:
    n_rules = len(result["rules"])
    counts = [f"{sum(rule['severity'] == severity for rule in broken)} {severity}" for severity in SEVERITIES]
    verdict = "✗ The table breaks the contract" if breaches else "✓ The table keeps the contract"
    items = "".join(f"<li>{cell(breach)}</li>" for breach in breaches)
    stops = f"<ul>{items}</ul>" if items else ""
    found = f"{n_rules - len(broken)} of {n_rules} rules hold; broken: {', '.join(counts)}."
    return lines(
        [
            Html("<header>\n<h1>Validation</h1>"),
            paragraph(Html(f"Contract {code(result['contract'])}"), "muted"),
            Html("</header>"),
            Html(
                f'<section class="card verdict {"bad" if breaches else "good"}" aria-labelledby="verdict">\n'
                f'<h2 id="verdict">{verdict}</h2>\n{stops}\n{paragraph(found, "muted")}\n</section>'
            ),
            facts(
                [
                    ("rows", result["n_rows"]),
                    ("kept", result["n_valid"]),
                    ("in quarantine", result["n_quarantined"]),
                    ("share in quarantine", share(result["n_quarantined"] / max(result["n_rows"], 1))),
                ]
            ),
        ]
    )


def _breaches(broken: Sequence[Mapping[str, Any]]) -> Html:
    if not broken:
        return section("Breaches", paragraph("None: every rule holds."))
    rows = [
        [_rule_name(rule), tag(rule["severity"], rule["severity"]), _found(rule), _examples(rule)] for rule in broken
    ]
    return section(
        "Breaches",
        table("Rules that do not hold, the gravest first", "llll", ["rule", "severity", "found", "examples"], rows),
    )


def _rule_name(rule: Mapping[str, Any]) -> Html:
    return Html(f"{_names(rule['columns'])}<br>{code(rule['rule'])}")


def _names(columns: Iterable[str]) -> Html:
    return cell(", ".join(columns) or "the table")


def _found(rule: Mapping[str, Any]) -> Html:
    parts = []
    if rule["n_unexpected"]:
        unit = "cells" if rule["scope"] == "read" else "rows"
        parts.append(f"{with_share(rule['n_unexpected'], rule['share'])} {unit}")
    if rule["observed"] is not None:
        parts.append(f"observed {cell(_plain(rule['observed']))}")
    meaning = MEANING[rule["severity"], "table" if rule["scope"] == "table" else "row"]
    return Html(f'{"; ".join(parts)}<br><span class="muted">{cell(meaning)}</span>')


def _examples(rule: Mapping[str, Any]) -> Html:
    shown = [f"row {cell(example['row'])}: {code(_plain(example['value']))}" for example in rule["examples"]]
    if len(shown) <= 3:
        return Html("<br>".join(shown))
    return Html(f"{'<br>'.join(shown[:3])}{fold(f'{len(shown) - 3} more', Html('<br>'.join(shown[3:])))}")


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(inner) for inner in value)
    if isinstance(value, Real) and not isinstance(value, bool):
        return number(value)
    if value is None:
        return "missing"
    return str(value) or "(empty)"


def _quarantine(entries: Sequence[Mapping[str, Any]], n_rows: int) -> Html:
    if not entries:
        return section("Quarantine", paragraph("Empty: no row was set aside."))
    ranked = sorted(entries, key=lambda entry: (-entry["n_only"], -entry["n_rows"], entry["column"], entry["rule"]))
    rows = [
        [
            entry["column"],
            code(entry["rule"]),
            with_share(entry["n_rows"], entry["n_rows"] / max(n_rows, 1)),
            entry["n_only"],
        ]
        for entry in ranked
    ]
    return section(
        "Quarantine",
        paragraph(_advice(ranked[0])),
        table(
            "Why rows were set aside; one row may break several rules",
            "llrr",
            ["column", "rule", "rows", "back if only this rule is relaxed"],
            rows,
        ),
    )


def _advice(first: Mapping[str, Any]) -> Html:
    if not first["n_only"]:
        return Html("No single rule holds rows back: each of them breaks two or more.")
    return Html(
        f"Relaxing {code(first['rule'])} on <strong>{cell(first['column'])}</strong> alone would bring back "
        f"{cell(first['n_only'])} rows, more than any other rule."
    )


def _rules(rules: Sequence[Mapping[str, Any]]) -> Html:
    if not rules:
        return section("All rules", paragraph("The contract states none."))
    rows = [
        [
            _names(rule["columns"]),
            code(rule["rule"]),
            tag(rule["severity"], rule["severity"]),
            rule["scope"],
            _n_unexpected(rule),
            _state(rule),
        ]
        for rule in rules
    ]
    head = ["column", "rule", "severity", "scope", "unexpected", "holds"]
    return section("All rules", table(f"{len(rules)} rules", "llllrl", head, rows))


def _n_unexpected(rule: Mapping[str, Any]) -> int | None:
    """Return a count of rows; a rule on the table has none, unless it found some."""
    return rule["n_unexpected"] or (None if rule["scope"] == "table" else 0)


def _state(rule: Mapping[str, Any]) -> Html:
    return Html('<span class="yes">✓ yes</span>' if rule["success"] else '<span class="no">✗ no</span>')


def _columns(columns: Mapping[str, Mapping[str, Any]]) -> Html:
    cards = lines(_column(name, profile) for name, profile in columns.items())
    return section("Columns", Html(f'<div class="grid narrow">\n{cards}\n</div>'))


def _column(name: str, profile: Mapping[str, Any]) -> Html:
    missing, known = profile["share_missing"], _figures(profile)
    return Html(
        f'<article class="card">\n<h3>{cell(name)}</h3>\n<p class="muted">{cell(profile["kind"])}, '
        f"{cell(profile['role'])}</p>\n"
        f"{_pair('missing', with_share(profile['n_missing'], missing))}{bar(missing, 'missing')}\n"
        f"{lines(_pair(label, value) for label, value in known)}\n{_top(profile)}</article>"
    )


def _figures(profile: Mapping[str, Any]) -> list[tuple[str, Any]]:
    if profile["kind"] == "boolean" and profile.get("mean") is not None:
        return [("distinct", profile["n_distinct"]), ("true", share(profile["mean"]))]
    return [(label, _short(profile[key])) for key, label in FIGURES if profile.get(key) is not None]


def _short(value: Any) -> Any:
    """Drop midnight from a date."""
    return value.removesuffix("T00:00:00") if isinstance(value, str) else value


def _top(profile: Mapping[str, Any]) -> Html:
    values = profile.get("top") or []
    most = max((count for _, count in values), default=1) or 1
    items = lines(f"<li>{_pair(value, count)}{bar(count / most)}</li>" for value, count in values)
    return Html(f'<ul class="top" aria-label="most frequent values">\n{items}\n</ul>\n' if items else "")


def _pair(name: Any, value: Any) -> Html:
    return Html(f'<div class="pair"><span>{cell(name)}</span><span>{cell(value)}</span></div>')

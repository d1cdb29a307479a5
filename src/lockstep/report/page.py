"""The page of a training run: what won, by how much, whether it may serve, and how to go on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lockstep.report.drawings import CAPTIONS
from lockstep.report.markup import bar, code, fold, lines, page, paragraph, section, table, tag, with_share
from lockstep.report.text import MISSING, Html, cell, number

ACCEPTED = (
    ("bentoml serve", "answers POST /predict; GET /openapi.json lists every field of a request"),
    ("lockstep predict rows.csv --to answers.csv", "answers a table through the same predictor"),
    ("lockstep status", "says what is stale and why, what is packaged, what is live"),
)
REJECTED = (
    ("lockstep status", "says what is stale and why"),
    ("dvc repro", "runs the line again after a change of data, features, families or gates"),
)
STAYS = (
    "Nothing is packaged while a gate says no, and what serves now stays. The gates stand in params.yaml under "
    "evaluate.gates."
)
RANGE_WIDTH = 180


@dataclass(frozen=True)
class Results:
    """What a run found; mappings as the files in ``reports/`` and ``models/`` hold them."""

    project: str
    verdict: Mapping[str, Any]
    """``verdict.json``."""
    metrics: Mapping[str, Any]
    """``metrics.json``: name, ``name_low``, ``name_high``, ``linear_name``, ``trivial_name``; ``n_rows``."""
    greater_is_better: Mapping[str, bool]
    """The problem's ``METRICS``, in the order of the page."""
    leaderboard: Sequence[Mapping[str, Any]]
    """``leaderboard.json``."""
    loss: str
    """What the leaderboard's loss is: ``log loss`` or ``RMSE``."""
    n_rows: Mapping[str, int]
    """Rows by part: train, test, holdout, quarantine."""


def index_page(results: Results, figures: Mapping[str, str]) -> str:
    """Return the page as self-contained HTML: no script, nothing loaded; equal results give equal bytes.

    Parameters
    ----------
    figures
        SVG by name, as :func:`~lockstep.report.drawings.figures` returns them.
    """
    accepted = results.verdict["accepted"]
    title = f"{results.project}: {results.verdict['problem']}, {'accepted' if accepted else 'rejected'}"
    return page(
        title,
        _head(results),
        _verdict(results.verdict),
        _scores(results),
        _leaderboard(results),
        _figures(figures),
        _data(results.n_rows),
        _next(results.verdict),
    )


def _head(results: Results) -> Html:
    verdict = results.verdict
    return lines(
        [
            Html(f"<header>\n<h1>{cell(results.project)}</h1>"),
            paragraph(
                f"A {verdict['problem']} problem, judged on {number(results.metrics.get('n_rows'))} test rows. "
                f"The winner is {verdict['family']}.",
                "muted",
            ),
            Html("</header>"),
        ]
    )


def _verdict(verdict: Mapping[str, Any]) -> Html:
    accepted = verdict["accepted"]
    gates = lines(_gate(gate) for gate in verdict["gates"]) or Html("<li>No gate is switched on.</li>")
    return Html(
        f'<section class="card verdict {"good" if accepted else "bad"}" aria-labelledby="verdict">\n'
        f'<h2 id="verdict">{"✓ Accepted" if accepted else "✗ Rejected"}</h2>\n<ul>\n{gates}\n</ul>\n</section>'
    )


def _gate(gate: Mapping[str, Any]) -> Html:
    mark = '<span class="yes">✓ passed</span>' if gate["passed"] else '<span class="no">✗ failed</span>'
    return Html(f"<li>{mark} <strong>{cell(_words(gate['gate']))}</strong>: {cell(gate['reason'])}</li>")


def _scores(results: Results) -> Html:
    names = [name for name in results.greater_is_better if name in results.metrics]
    head = ["metric", str(results.verdict["family"]), "95 % interval", "linear", "trivial", ""]
    note = (
        "Linear and trivial are what the same rows give a linear model, and one that knows no column. In the "
        "drawing the line is the interval, the dot the winner, the tick the linear model."
    )
    return section(
        "Scores",
        table("On the test rows, with bootstrap intervals", "lrrrrl", head, [_score(results, name) for name in names]),
        paragraph(note, "muted"),
    )


def _score(results: Results, name: str) -> list[Any]:
    found = results.metrics
    low, high = found.get(f"{name}_low"), found.get(f"{name}_high")
    linear, trivial = found.get(f"linear_{name}"), found.get(f"trivial_{name}")
    better = "↑ greater is better" if results.greater_is_better[name] else "↓ smaller is better"
    title = Html(f'{cell(_words(name))}<br><span class="small">{better}</span>')
    interval = MISSING if low is None else f"{number(low)} to {number(high)}"
    return [
        title,
        Html(f"<strong>{cell(found[name])}</strong>"),
        interval,
        linear,
        trivial,
        _range(found[name], low, high, linear),
    ]


def _range(*values: Any) -> Html:
    """Draw value, low, high and linear on one line; the table beside it has the figures."""
    known = [value for value in values if value is not None]
    least, span = min(known), (max(known) - min(known)) or 1.0
    x = [None if value is None else f"{6 + (RANGE_WIDTH - 12) * (value - least) / span:.1f}" for value in values]
    value, low, high, linear = x
    parts = [
        _line(low, 10, high, 10, "var(--accent)") if low and high else "",
        _line(linear, 2, linear, 18, "var(--ink)") if linear else "",
        f'<circle cx="{value}" cy="10" r="4.5" fill="var(--accent)"/>',
    ]
    return Html(
        f'<svg width="{RANGE_WIDTH}" height="20" viewBox="0 0 {RANGE_WIDTH} 20" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )


def _line(x1: str, y1: int, x2: str, y2: int, color: str) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{color}" stroke-width="2.5"/>'


def _leaderboard(results: Results) -> Html:
    rows = [
        [
            _family(entry),
            _pm(entry["loss"], entry["standard_error"]),
            _pm(entry["difference"], entry["difference_error"]),
            entry["n_trials"],
            _settings(entry),
        ]
        for entry in results.leaderboard
    ]
    note = (
        "The simplest family whose loss is within one standard error of the best is chosen; the error is that of "
        "the paired differences between folds."
    )
    head = ["family", results.loss, "difference to the best", "trials", "settings"]
    return section(
        "Families",
        table(f"Mean {results.loss} over the folds ± standard error, smaller is better", "lrrrl", head, rows),
        paragraph(note, "muted"),
    )


def _family(entry: Mapping[str, Any]) -> Html:
    parts = [cell(entry["family"])]
    parts += [tag("chosen", "good")] if entry["chosen"] else []
    parts += [] if entry["repeatable"] else [tag("not repeatable", "warning")]
    return Html(" ".join(parts))


def _pm(value: float, error: float) -> str:
    """Return a value and its error, to the same place."""
    if not (value or error):
        return number(value)
    decimals = len(number(value).partition(".")[2])
    return f"{number(value)} ± {f'{error:,.{decimals}f}' if abs(value) >= 1e-4 else number(error)}"


def _settings(entry: Mapping[str, Any]) -> Html:
    pairs = ", ".join(
        f"{name} = {number(value) if isinstance(value, float) else value}" for name, value in entry["settings"].items()
    )
    return fold("show", Html(f"<code>{cell(pairs or 'none')}</code>"))


def _figures(figures: Mapping[str, str]) -> Html:
    return section("Figures", Html(f'<div class="grid">\n{lines(_figure(*item) for item in figures.items())}\n</div>'))


def _figure(name: str, svg: str) -> Html:
    title, caption = CAPTIONS[name]
    return Html(
        f'<figure class="card">\n<h3>{cell(title)}</h3>\n<figcaption>{cell(caption)}</figcaption>\n'
        f"{svg.strip()}\n</figure>"
    )


def _data(n_rows: Mapping[str, int]) -> Html:
    total = max(sum(n_rows.values()), 1)
    rows = [[name, with_share(count, count / total), _wide(count / total)] for name, count in n_rows.items()]
    link = Html('What the contract found in them: <a href="validation.html">validation.html</a>.')
    return section(
        "Data",
        table(f"{number(sum(n_rows.values()))} rows by part", "lrl", ["part", "rows", ""], rows),
        paragraph(link, "muted"),
    )


def _wide(part: float) -> Html:
    return Html(f'<div class="wide">{bar(part)}</div>')


def _next(verdict: Mapping[str, Any]) -> Html:
    accepted = verdict["accepted"]
    commands = [[code(command), purpose] for command, purpose in (ACCEPTED if accepted else REJECTED)]
    return section(
        "How to go on",
        paragraph(Html(f"Predictor {code(verdict['predictor'])}")),
        Html("") if accepted else paragraph(STAYS),
        table("Commands", "ll", ["command", "what it does"], commands),
    )


def _words(name: str) -> str:
    return name.replace("_", " ")

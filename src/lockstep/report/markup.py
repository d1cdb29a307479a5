"""Pieces of a page: the frame around it, tables, bars. Text goes in as it is and is escaped here."""

from collections.abc import Iterable, Sequence
from typing import Any

from lockstep.report.text import Html, cell, share

CSS = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1f2933; --muted: #5a6672; --rule: #dfe3e8;
  --accent: #1f6feb; --good: #12703f; --good-soft: #e3f4ea; --bad: #a8201a; --bad-soft: #fdeae8; --warn: #8a5200;
  --warn-soft: #fdf1dd; --bar: #a9cbf5; }
@media (prefers-color-scheme: dark) { :root { --page: #12161b; --card: #1b2128; --ink: #e4e8ec; --muted: #a3aeb9;
  --rule: #323b45; --accent: #6fa8ff; --good: #7fd6a4; --good-soft: #16301f; --bad: #ff9d94; --bad-soft: #3b1b19;
  --warn: #f0bd6b; --warn-soft: #35280f; --bar: #2f5a94; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 1.5rem 1.25rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .75rem; }
h3 { font-size: 1rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
p { margin: .25rem 0 .75rem; max-width: 48rem; }
a { color: var(--accent); }
.muted, figcaption, caption { color: var(--muted); }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 1rem 1.25rem; }
.scroll { overflow-x: auto; padding: .25rem 1.25rem .5rem; }
.scroll:focus-visible, a:focus-visible, summary:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .94rem; }
caption { text-align: left; padding: .6rem 0; font-size: .9rem; }
caption span { display: block; position: sticky; left: 0; max-width: calc(100vw - 4.5rem); }
th, td { text-align: left; padding: .45rem 1.1rem .45rem 0; border-top: 1px solid var(--rule); vertical-align: top; }
th { font-weight: 600; } thead th { color: var(--muted); font-size: .82rem; white-space: nowrap; border-top: 0; }
tbody th { overflow-wrap: anywhere; min-width: 9rem; } td:has(code), tbody th:has(code) { min-width: 13rem; }
th:last-child, td:last-child { padding-right: 0; }
.r { text-align: right; white-space: nowrap; }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: .88em; overflow-wrap: anywhere; }
.card + p { margin-top: .75rem; } th code { font-weight: 400; } .yes, .no { white-space: nowrap; }
.wide { width: 24rem; max-width: 40vw; padding-top: .35rem; }
.small { font-size: .82rem; font-weight: 400; color: var(--muted); }
.verdict { border-left: 6px solid; margin-top: 1.25rem; } .verdict h2 { margin: 0 0 .5rem; }
.verdict ul { list-style: none; margin: 0; padding: 0; } .verdict li { margin: .35rem 0; overflow-wrap: anywhere; }
.good { border-left-color: var(--good); } .bad { border-left-color: var(--bad); }
.good h2, .yes { color: var(--good); } .bad h2, .no { color: var(--bad); }
.tag { display: inline-block; border-radius: 99px; padding: 0 .55rem; font-size: .78rem; font-weight: 600;
  white-space: nowrap; background: var(--page); color: var(--muted); border: 1px solid var(--rule); }
.tag.good { background: var(--good-soft); color: var(--good); border-color: transparent; }
.tag.critical { background: var(--bad-soft); color: var(--bad); border-color: transparent; }
.tag.warning { background: var(--warn-soft); color: var(--warn); border-color: transparent; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 28rem), 1fr)); }
.grid.narrow { grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); }
.grid.facts { grid-template-columns: repeat(auto-fit, minmax(min(45%, 9rem), 1fr)); gap: .75rem; margin: 1.25rem 0 0; }
.facts dt { color: var(--muted); font-size: .82rem; } .facts dd { margin: 0; font-size: 1.35rem; font-weight: 600; }
figure { margin: 0; } figure svg { display: block; width: 100%; height: auto; background: #fff; border-radius: 6px; }
figcaption { font-size: .88rem; margin-bottom: .6rem; }
.bar { display: block; height: .55rem; border-radius: 3px; background: var(--bar); }
.bar.missing { background: var(--warn); }
.track { display: block; background: var(--page); border-radius: 3px; margin: .1rem 0 .35rem; }
.top { list-style: none; margin: .5rem 0 0; padding: 0; font-size: .86rem; }
.top span:first-child { overflow-wrap: anywhere; } .pair { display: flex; justify-content: space-between; gap: 1rem; }
.pair span:last-child { white-space: nowrap; font-variant-numeric: tabular-nums; }
details { margin-top: .3rem; } td > details { margin: 0; }
summary { cursor: pointer; color: var(--muted); font-size: .88rem; }
@media (max-width: 30rem) { main { padding: 1rem .75rem 2rem; } .card { padding: .8rem .9rem; }
  .scroll { padding: .1rem .9rem .4rem; } th, td { padding-right: .8rem; } }
@media print { body { background: #fff; } .card { break-inside: avoid; } }
"""


def page(title: str, *sections: Html) -> str:
    """Return a whole page, which loads nothing."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" '
        f'content="width=device-width, initial-scale=1">\n<title>{cell(title)}</title>\n<style>{CSS}</style>\n'
        f"</head>\n<body>\n<main>\n{lines(sections)}\n</main>\n</body>\n</html>\n"
    )


def section(title: str, *parts: Html) -> Html:
    """Return a section under a heading of its own."""
    return Html(f"<section>\n<h2>{cell(title)}</h2>\n{lines(parts)}\n</section>")


def paragraph(text: str, kind: str = "") -> Html:
    """Return a paragraph of text or markup."""
    return Html(f'<p class="{kind}">{cell(text)}</p>' if kind else f"<p>{cell(text)}</p>")


def table(caption: str, align: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Html:
    """Return a table on a card, its first column the rows' headings; ``align`` is one of l, r for each column."""
    kinds = [' class="r"' if letter == "r" else "" for letter in align]
    titles = "".join(f'<th scope="col"{kind}>{cell(title)}</th>' for kind, title in zip(kinds, head, strict=True))
    body = lines(_row(kinds, row) for row in rows)
    return Html(
        f'<div class="card scroll" role="region" tabindex="0" aria-label="{cell(caption)}">\n<table>\n'
        f"<caption><span>{cell(caption)}</span></caption>\n<thead><tr>{titles}</tr></thead>\n<tbody>\n{body}\n</tbody>\n"
        "</table>\n</div>"
    )


def _row(kinds: Sequence[str], row: Sequence[Any]) -> Html:
    first, *others = (cell(value) for value in row)
    cells = "".join(f"<td{kind}>{value}</td>" for kind, value in zip(kinds[1:], others, strict=True))
    return Html(f'<tr><th scope="row"{kinds[0]}>{first}</th>{cells}</tr>')


def facts(pairs: Iterable[tuple[str, Any]]) -> Html:
    """Return figures in large type, each under its name."""
    items = (f'<div class="card"><dt>{cell(name)}</dt><dd>{cell(value)}</dd></div>' for name, value in pairs)
    return Html(f'<dl class="grid facts">{"".join(items)}</dl>')


def tag(text: str, kind: str = "") -> Html:
    """Return a word in a coloured pill."""
    kinds = f"tag {kind}".rstrip()
    return Html(f'<span class="{cell(kinds)}">{cell(text)}</span>')


def code(text: str) -> Html:
    """Return text in fixed width."""
    return Html(f"<code>{cell(text)}</code>")


def fold(summary: str, content: Html) -> Html:
    """Return content that opens on demand."""
    return Html(f"<details><summary>{cell(summary)}</summary>{content}</details>")


def bar(part: float, kind: str = "") -> Html:
    """Return a bar that fills ``part`` (0 to 1) of the width; the number itself must stand beside it."""
    width = f"max({100 * min(part, 1.0):.4g}%, 1px)" if part > 0 else "0"
    return Html(f'<span class="track" aria-hidden="true"><span class="bar {kind}" style="width:{width}"></span></span>')


def with_share(count: int, part: float) -> Html:
    """Return a count and, in grey, its share."""
    return Html(f'{cell(count)} <span class="muted">({cell(share(part))})</span>')


def lines(parts: Iterable[str]) -> Html:
    """Join markup, a line for each piece."""
    return Html("\n".join(part for part in parts if part))

"""Make an SVG by matplotlib: byte-stable, text kept as text, ready to stand inside a page."""

import html
import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE = "#1f2933", "#66727f", "#d5dae0"
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
RIGHT = 0.955
"""Where axes end, as a share of the width."""

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 2,
    "legend.frameon": False,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": False,
    "axes.formatter.limits": [-5, 6],
}

Margins = tuple[float, float, float]
"""Inches at the left, the bottom and the top."""


def render(name: str, label: str, size: tuple[float, float], margins: Margins, paint: Callable[["Axes"], None]) -> str:
    """Return what ``paint`` draws, as an ``<svg>`` element.

    Parameters
    ----------
    name
        Begins every id, so that several figures can stand in one page.
    label
        What a screen reader says of it.
    size
        Width and height in inches.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with _own_style(name):
        figure = Figure(figsize=size)
        axes = figure.subplots()
        paint(axes)
        _place(figure, axes, margins)
        file = io.StringIO()
        FigureCanvasSVG(figure).print_svg(file, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _embeddable(file.getvalue(), name, label)


def _place(figure: "Figure", axes: "Axes", margins: Margins) -> None:
    """Put axes and their labels where the margins say, so that no measured text moves them."""
    width, height = figure.get_size_inches()
    left, bottom, top = margins[0] / width, margins[1] / height, 1 - margins[2] / height
    figure.subplots_adjust(left=left, right=RIGHT, bottom=bottom, top=top)
    axes.xaxis.set_label_coords((left + RIGHT) / 2, 0.25 / height, transform=figure.transFigure)
    axes.yaxis.set_label_coords(0.24 / width, (bottom + top) / 2, transform=figure.transFigure)


@contextmanager
def _own_style(name: str) -> Iterator[None]:
    """Use our settings alone: a matplotlibrc of the machine must not change bytes."""
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update({**STYLE, "svg.hashsalt": name})
        warnings.filterwarnings("ignore", message=r"Glyph \d+", category=UserWarning)  # the browser has the glyph
        yield


def _embeddable(svg: str, name: str, label: str) -> str:
    """Strip what belongs to a file alone, make ids unique in a page, and say what the figure is."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]*>", lambda tag: _own_ids(tag[0], name), svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" stroke-linejoin="round" ', 1)


def _own_ids(tag: str, name: str) -> str:
    tag = tag.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "").replace("xlink:href", "href")
    tag = re.sub(r'(\bid="|\bhref="#|url\(#)', rf"\g<1>{name}-", tag)
    return tag.replace("'DejaVu Sans'", FONTS)

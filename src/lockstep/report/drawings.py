"""Draw the tables of ``curves``: what each figure shows, and how."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lockstep.errors import UnknownName, expected_one_of
from lockstep.report import svg
from lockstep.report.svg import INK, MUTED, RULE
from lockstep.report.text import number, shorten

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Frames = dict[str, "pd.DataFrame"]

ACCENT, SECOND = "#1f6feb", "#d9730d"
# Okabe and Ito, Color Universal Design, 2008, without the yellow, which is too pale for a line.
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = "osD^vP*"
WIDTH_INCHES, HEIGHT_INCHES = 5.4, 4.1
MAX_CLASSES, MAX_CLASSES_COUNTED, MAX_CLASSES_UPRIGHT = 20, 8, 4
LEGEND_COLUMNS = 3
CAPTIONS = {
    "roc": (
        "ROC curve",
        "Share of positives found against share of negatives taken for positive, at every threshold. "
        "The dot is the threshold that serves; the dashed line is chance.",
    ),
    "precision_recall": (
        "Precision and recall",
        "Share of positives among the rows taken, against share of positives "
        "found. The dot is the threshold that serves.",
    ),
    "calibration": (
        "Calibration",
        "Observed share against mean predicted probability, in bins of about equally many "
        "rows, with 95 % Wilson intervals. On the dashed line a probability means what it says.",
    ),
    "confusion": (
        "Confusion",
        "Rows by actual and predicted class. Shares are of the actual class; the diagonal is right.",
    ),
    "residuals": (
        "Predicted and actual",
        "One dot a row, evenly sampled if there are many. On the dashed line the prediction is right.",
    ),
    "residual_histogram": (
        "Residuals",
        "Actual less predicted, all test rows. The outermost bars also hold what lies beyond them.",
    ),
    "importance": (
        "Importance of columns",
        "Increase of the mean loss when one column is shuffled among the rows: "
        "mean, least and greatest of the shuffles.",
    ),
    "search": ("Search", "Least mean loss over the folds so far, by trial and family; faint dots are single trials."),
}
LABELS = {
    "roc": ("false positive rate", "true positive rate (recall)"),
    "precision_recall": ("recall", "precision"),
    "calibration": ("mean predicted probability", "observed share"),
    "confusion": ("predicted", "actual"),
    "residuals": ("actual", "predicted"),
    "residual_histogram": ("actual - predicted", "rows"),
    "importance": ("increase of the loss", ""),
    "search": ("trial", "least {loss} so far"),
}
UNIT_SQUARE = {"xlim": (-0.02, 1.02), "ylim": (-0.02, 1.02)}


def figures(frames: Frames, loss: str) -> dict[str, str]:
    """Return the SVG of each of ``frames`` that is drawn, by its name, in the order of a reader."""
    return {name: draw(name, frames[name], loss) for name in CAPTIONS if name in frames}


def draw(name: str, frame: "pd.DataFrame", loss: str) -> str:
    """Return one figure as SVG.

    Parameters
    ----------
    name, frame
        As :func:`~lockstep.report.curves.curves` gives them.
    loss
        What the search minimises, for its axis: ``log loss`` or ``RMSE``.

    Raises
    ------
    UnknownName
        No figure has this name.
    """
    if name not in _DRAWINGS:
        raise UnknownName(f"no figure {name!r}; {expected_one_of(name, _DRAWINGS)}")
    title, caption = CAPTIONS[name]
    height, margins = _layout(name, frame)
    xlabel, ylabel = LABELS[name]

    def paint(axes: "Axes") -> None:
        axes.set(xlabel=xlabel, ylabel=ylabel.format(loss=loss))
        _DRAWINGS[name](axes, frame)

    return svg.render(name, f"{title}. {caption}", (WIDTH_INCHES, height), margins, paint)


def _layout(name: str, frame: "pd.DataFrame") -> tuple[float, svg.Margins]:
    """Return the height and the margins of a figure, in inches."""
    if name == "importance":
        return 0.9 + 0.26 * max(len(frame), 3), (1.95, 0.6, 0.1)
    if name == "confusion":
        n_classes = frame["actual"].nunique()
        few = n_classes <= MAX_CLASSES_UPRIGHT
        return min(HEIGHT_INCHES, 1 + 0.75 * n_classes) if few else HEIGHT_INCHES, (1.6, 0.65 if few else 1.3, 0.1)
    if name == "search":
        return HEIGHT_INCHES, (0.95, 0.6, 0.2 + 0.22 * math.ceil(frame["family"].nunique() / LEGEND_COLUMNS))
    return HEIGHT_INCHES, (0.95 if name.startswith("residual") else 0.7, 0.6, 0.15)


def _roc(axes: "Axes", frame: "pd.DataFrame") -> None:
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
    axes.plot(frame["fpr"], frame["tpr"], color=ACCENT)
    _mark_chosen(axes, frame, "fpr", "tpr")
    axes.set(**UNIT_SQUARE)


def _precision_recall(axes: "Axes", frame: "pd.DataFrame") -> None:
    axes.plot(
        [0, *frame["recall"]], [frame["precision"].iloc[0], *frame["precision"]], color=ACCENT, drawstyle="steps-pre"
    )
    _mark_chosen(axes, frame, "recall", "precision")
    axes.set(**UNIT_SQUARE)


def _calibration(axes: "Axes", frame: "pd.DataFrame") -> None:
    spread = [frame["observed"] - frame["low"], frame["high"] - frame["observed"]]
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
    axes.errorbar(
        frame["predicted"],
        frame["observed"],
        yerr=[side.clip(lower=0) for side in spread],
        color=ACCENT,
        fmt="o-",
        markersize=5,
        linewidth=1.5,
        elinewidth=1.2,
        capsize=3,
    )
    least, most = frame["n_rows"].min(), frame["n_rows"].max()
    counts = number(least) if least == most else f"{number(least)} to {number(most)}"
    axes.text(0.03, 0.95, f"{counts} rows a bin", transform=axes.transAxes, color=MUTED, va="top")
    most_seen = max(frame["predicted"].max(), frame["high"].max())
    rare = {"xlim": (0, most_seen * 1.08), "ylim": (0, most_seen * 1.08)}
    axes.set(**(rare if most_seen < 0.5 else UNIT_SQUARE))  # rare events would crowd in a corner


def _confusion(axes: "Axes", frame: "pd.DataFrame") -> None:
    from matplotlib.colors import LinearSegmentedColormap

    names, counts = _counted(frame)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    blues = LinearSegmentedColormap.from_list("blues", ["#ffffff", "#a9cbf5", ACCENT, "#0b3f91"])
    axes.pcolormesh(shares, cmap=blues, vmin=0, vmax=1, edgecolors="white", linewidth=1.5)
    size = 11 if len(names) <= MAX_CLASSES_UPRIGHT else 9 if len(names) <= MAX_CLASSES_COUNTED else 7
    for i, j in np.ndindex(counts.shape):
        axes.text(
            j + 0.5,
            i + 0.5,
            _cell(counts[i, j], shares[i, j], len(names)),
            ha="center",
            va="center",
            fontsize=size,
            linespacing=1.3,
            color="white" if shares[i, j] > 0.6 else INK,
        )
    places = [i + 0.5 for i in range(len(names))]
    labels = [shorten(name, 16) for name in names]
    upright = len(names) <= MAX_CLASSES_UPRIGHT
    axes.set_xticks(
        places, labels, rotation=0 if upright else 40, ha="center" if upright else "right", rotation_mode="anchor"
    )
    axes.set_yticks(places, labels)
    axes.set(ylim=(len(names), 0))
    if len(names) > MAX_CLASSES_COUNTED:
        axes.set(xlabel="predicted (cells: % of the actual class)")
    axes.grid(visible=False)
    axes.tick_params(length=0, labelsize=10 if len(names) <= MAX_CLASSES_COUNTED else 8)
    axes.spines[:].set(visible=True, color=RULE)


def _residuals(axes: "Axes", frame: "pd.DataFrame") -> None:
    ends = [frame[["actual", "predicted"]].min().min(), frame[["actual", "predicted"]].max().max()]
    axes.scatter(frame["actual"], frame["predicted"], s=12, color=ACCENT, alpha=0.35, linewidths=0)
    axes.plot(ends, ends, color=INK, linewidth=1, linestyle="--")
    _plain_ticks(axes, "both")


def _residual_histogram(axes: "Axes", frame: "pd.DataFrame") -> None:
    axes.bar(
        frame["low"],
        frame["n_rows"],
        width=frame["high"] - frame["low"],
        align="edge",
        color=ACCENT,
        edgecolor="white",
        linewidth=0.5,
    )
    axes.axvline(0, color=INK, linewidth=1, linestyle="--")
    _plain_ticks(axes, "both")


def _importance(axes: "Axes", frame: "pd.DataFrame") -> None:
    places = range(len(frame))
    spread = [frame["increase"] - frame["low"], frame["high"] - frame["increase"]]
    axes.barh(
        places,
        frame["increase"],
        height=0.7,
        color=ACCENT,
        xerr=[side.clip(lower=0) for side in spread],
        error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 2},
    )
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.set_yticks(places, [shorten(str(name), 24) for name in frame["column"]])
    axes.set(ylim=(max(len(frame), 3) - 0.4, -0.6))
    _plain_ticks(axes, "x")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _search(axes: "Axes", frame: "pd.DataFrame") -> None:
    from matplotlib.ticker import MaxNLocator

    for i, family in enumerate(sorted(set(frame["family"]))):
        trials = frame[frame["family"] == family]
        style: dict[str, Any] = {"color": LINES[i % len(LINES)], "marker": MARKERS[i % len(MARKERS)]}
        axes.scatter(trials["trial"], trials["loss"], s=14, alpha=0.35, linewidths=0, **style)
        axes.plot(
            trials["trial"],
            trials["best"],
            drawstyle="steps-post",
            markersize=4,
            label=shorten(str(family), 24),
            markevery=[-1],
            **style,
        )
    _plain_ticks(axes, "y")
    if frame["best"].notna().any():
        low, high = frame["best"].min(), frame["best"].max()
        room = max(high - low, abs(low) * 0.01) * 0.35
        # Limits by the best alone: a trial far off must not flatten the lines.
        axes.set(xlim=(0.5, frame["trial"].max() + 0.5), ylim=(low - room, high + room))
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=LEGEND_COLUMNS,
            borderaxespad=0.2,
            columnspacing=1.2,
            fontsize=9,
        )


_DRAWINGS: dict[str, Callable[["Axes", "pd.DataFrame"], None]] = {
    "roc": _roc,
    "precision_recall": _precision_recall,
    "calibration": _calibration,
    "confusion": _confusion,
    "residuals": _residuals,
    "residual_histogram": _residual_histogram,
    "importance": _importance,
    "search": _search,
}


def _plain_ticks(axes: "Axes", which: Literal["x", "y", "both"]) -> None:
    axes.locator_params(axis=which, nbins=6)
    if which != "y":
        axes.xaxis.set_major_formatter(lambda value, _: _tick(value))
    if which != "x":
        axes.yaxis.set_major_formatter(lambda value, _: _tick(value))


def _tick(value: float) -> str:
    for size, sign in ((1e9, "G"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:,.4g} {sign}"
    return f"{value:,.6g}"


def _mark_chosen(axes: "Axes", frame: "pd.DataFrame", x: str, y: str) -> None:
    chosen = frame[frame["chosen"].astype(bool)]
    axes.plot(chosen[x], chosen[y], "o", color=SECOND, markersize=8, markeredgecolor="white", clip_on=False)


def _counted(frame: "pd.DataFrame") -> tuple[list[str], Any]:
    """Return names and counts of at most 20 classes; beyond that the least frequent stand together as one."""
    names = list(dict.fromkeys(frame["actual"]))
    if len(names) > MAX_CLASSES:
        totals = frame.groupby("actual")["n_rows"].sum()
        kept = set(sorted(names, key=lambda name: (-totals[name], names.index(name)))[: MAX_CLASSES - 1])
        others = f"({len(names) - len(kept)} others)"
        merged = {name: name if name in kept else others for name in names}
        frame = frame.assign(actual=frame["actual"].map(merged), predicted=frame["predicted"].map(merged))
        names = [name for name in names if name in kept] + [others]
    table = frame.pivot_table(index="actual", columns="predicted", values="n_rows", aggfunc="sum")
    return names, table.loc[names, names].to_numpy()


def _cell(count: int, share: float, n_classes: int) -> str:
    if n_classes <= MAX_CLASSES_COUNTED:
        return f"{number(count)}\n{100 * share:.1f} %"
    return f"{100 * share:.0f}" if count else ""

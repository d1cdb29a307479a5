"""What the figures show, as tables: pure functions of targets, outputs and predictions.

The tables are small: curves hold at most 500 points, scatters 1,500, rows for DVC's confusion template 20,000.
Numbers carry six significant digits.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    Frames = dict[str, pd.DataFrame]

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

N_CURVE_POINTS = 500
N_SCATTER_POINTS = 1_500
N_CONFUSION_ROWS = 20_000
N_BINS = 10
N_HISTOGRAM_BINS = 40
N_BARS = 20
Z_95 = 1.959964


def curves(
    classes: Sequence[str],
    y: NDArray[np.generic],
    output: Array,
    predicted: NDArray[np.generic],
    importance: "pd.DataFrame",
    search: Mapping[str, Sequence[float | None]],
) -> "Frames":
    """Return the table of each figure by its name.

    Two classes give ``roc`` and ``precision_recall`` (unless the rows are all of one class), ``calibration``,
    ``confusion`` and ``confusion_rows``; more classes the last three; numbers ``residuals`` and
    ``residual_histogram``. ``importance`` and ``search`` are always there.

    Parameters
    ----------
    classes
        Names in the order of their codes, the positive one last; none in regression.
    y, predicted
        Codes of classes, or numbers; shape (n_rows,), at least one row.
    output
        Probabilities (n_rows, n_classes), or numbers (n_rows,).
    importance
        As :func:`~lockstep.report.importance.permutation_importance` returns it; the first 20 rows are kept.
    search
        Losses by family, in the order of trials; None or NaN where a trial ended without one.
    """
    if not classes:
        frames = _of_numbers(y.astype(np.float64), output)
    else:
        frames = _of_classes(classes, y.astype(np.int64), output, predicted.astype(np.int64))
    frames |= {"importance": importance.head(N_BARS).reset_index(drop=True), "search": best_so_far(search)}
    return {name: _rounded(frame) for name, frame in frames.items()}


def _of_classes(classes: Sequence[str], y: Codes, output: Array, predicted: Codes) -> "Frames":
    frames: Frames = {}
    if len(classes) == 2:
        positive, score = y == 1, output[:, 1]
        if 0 < positive.sum() < len(y):
            frames["roc"] = roc(positive, score, int((predicted == 1).sum()))
            frames["precision_recall"] = precision_recall(positive, score, int((predicted == 1).sum()))
        frames["calibration"] = calibration(positive, score)
    else:
        frames["calibration"] = calibration(np.argmax(output, axis=1) == y, output.max(axis=1))
    frames["confusion"] = confusion(classes, y, predicted)
    frames["confusion_rows"] = confusion_rows(classes, y, predicted)
    return frames


def _of_numbers(y: Array, output: Array) -> "Frames":
    import pandas as pd

    kept = _spread(np.argsort(y, kind="stable"), N_SCATTER_POINTS)
    scatter = pd.DataFrame({"actual": y[kept], "predicted": output[kept], "residual": (y - output)[kept]})
    return {"residuals": scatter, "residual_histogram": residual_histogram(y - output)}


def roc(positive: NDArray[np.bool_], score: Array, n_taken: int) -> "pd.DataFrame":
    """Return false and true positive rates at each threshold; ``chosen`` marks the one that takes ``n_taken`` rows."""
    import pandas as pd

    threshold, taken, hits = _by_threshold(positive, score)
    frame = pd.DataFrame(
        {
            "fpr": np.r_[0, taken - hits] / np.sum(~positive),
            "tpr": np.r_[0, hits] / positive.sum(),
            "threshold": np.r_[np.nan, threshold],
            "chosen": _marked(np.r_[0, taken], n_taken),
        }
    )
    return _thin(frame, "fpr", "tpr")


def precision_recall(positive: NDArray[np.bool_], score: Array, n_taken: int) -> "pd.DataFrame":
    """Return recall and precision at each threshold; a precision holds from the recall before it to its own."""
    import pandas as pd

    threshold, taken, hits = _by_threshold(positive, score)
    frame = pd.DataFrame(
        {
            "recall": hits / positive.sum(),
            "precision": hits / taken,
            "threshold": threshold,
            "chosen": _marked(taken, n_taken) & (n_taken > 0),
        }
    )
    return _thin(frame, "recall", "precision")


def calibration(happened: NDArray[np.bool_], probability: Array) -> "pd.DataFrame":
    """Return the mean probability and the observed share in up to ten bins of about equally many rows.

    ``low`` and ``high`` are the 95 % Wilson interval of the share [1]_.

    .. [1] Wilson, Probable Inference, JASA 22, 1927.
    """
    import pandas as pd

    edges = np.unique(np.quantile(probability, np.linspace(0, 1, N_BINS + 1)))
    bins = np.searchsorted(edges[1:-1], probability, side="right")
    n_rows = np.bincount(bins)
    filled = n_rows > 0
    hits = np.bincount(bins, weights=happened)[filled].astype(np.int64)
    mean = np.bincount(bins, weights=probability)[filled] / n_rows[filled]
    low, high = wilson(hits, n_rows[filled])
    return pd.DataFrame(
        {"predicted": mean, "observed": hits / n_rows[filled], "low": low, "high": high, "n_rows": n_rows[filled]}
    )


def wilson(hits: Codes, n_rows: Codes) -> tuple[Array, Array]:
    """Return the 95 % Wilson interval of ``hits`` among ``n_rows``, each at least 1."""
    n = n_rows.astype(np.float64)
    share = hits / n
    middle = share + Z_95**2 / (2 * n)
    half = Z_95 * np.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n**2))
    scale = 1 + Z_95**2 / n
    return np.clip((middle - half) / scale, 0, 1), np.clip((middle + half) / scale, 0, 1)


def confusion(classes: Sequence[str], y: Codes, predicted: Codes) -> "pd.DataFrame":
    """Return the number of rows for each pair of classes, and its share of the rows that are ``actual``."""
    import pandas as pd

    n = len(classes)
    counts = np.bincount(y * n + predicted, minlength=n * n)
    totals = np.repeat(np.bincount(y, minlength=n), n)
    share = np.divide(counts, totals, out=np.zeros(n * n), where=totals > 0)
    return pd.DataFrame(
        {"actual": np.repeat(classes, n), "predicted": np.tile(classes, n), "n_rows": counts, "share": share}
    )


def confusion_rows(classes: Sequence[str], y: Codes, predicted: Codes) -> "pd.DataFrame":
    """Return ``actual`` and ``predicted`` of single rows, evenly spaced among all, as DVC's template counts them."""
    import pandas as pd

    kept = _spread(np.arange(len(y)), N_CONFUSION_ROWS)
    names = np.asarray(classes)
    return pd.DataFrame({"actual": names[y[kept]], "predicted": names[predicted[kept]]})


def residual_histogram(residuals: Array) -> "pd.DataFrame":
    """Count residuals (actual - predicted) in 40 bins.

    They span the 0.5 % and the 99.5 % quantile; the outer two hold what is beyond as well.
    """
    import pandas as pd

    bounds = np.quantile(residuals, [0.005, 0.995])
    counts, edges = np.histogram(np.clip(residuals, *bounds), bins=N_HISTOGRAM_BINS)
    return pd.DataFrame(
        {"residual": (edges[:-1] + edges[1:]) / 2, "low": edges[:-1], "high": edges[1:], "n_rows": counts}
    )


def best_so_far(search: Mapping[str, Sequence[float | None]]) -> "pd.DataFrame":
    """Return each trial's loss and the least until then; a trial without a loss has none of its own."""
    import pandas as pd

    frames = [
        pd.DataFrame(
            {"family": family, "trial": np.arange(1, len(losses) + 1), "loss": np.array(losses, dtype=np.float64)}
        )
        for family, losses in search.items()
        if losses
    ]
    if not frames:
        return pd.DataFrame({"family": [], "trial": [], "loss": [], "best": []})
    return pd.concat(
        [frame.assign(best=np.fmin.accumulate(frame["loss"].to_numpy())) for frame in frames], ignore_index=True
    )


def _by_threshold(positive: NDArray[np.bool_], score: Array) -> tuple[Array, Codes, Codes]:
    """Return the distinct scores, descending, with the number of rows and of positives at or above each."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(score[order]) != 0, True])
    return score[order][ends], np.asarray(ends + 1), np.cumsum(positive[order])[ends].astype(np.int64)


def _marked(taken: Codes, n_taken: int) -> NDArray[np.bool_]:
    return np.asarray(np.arange(len(taken)) == np.argmin(np.abs(taken - n_taken)))


def _thin(frame: "pd.DataFrame", x: str, y: str) -> "pd.DataFrame":
    """Keep points spaced evenly along the curve's length, the ends and the chosen one among them."""
    if len(frame) <= N_CURVE_POINTS:
        return frame
    steps = np.abs(np.diff(frame[x])) + np.abs(np.diff(frame[y]))
    length = np.r_[0, np.cumsum(steps)]
    kept = np.searchsorted(length, np.linspace(0, length[-1], N_CURVE_POINTS - 1))
    return frame.iloc[np.union1d(kept, np.flatnonzero(frame["chosen"]))].reset_index(drop=True)


def _spread(values: Codes, n: int) -> Codes:
    return values if len(values) <= n else values[np.linspace(0, len(values) - 1, n).astype(np.int64)]


def _rounded(frame: "pd.DataFrame") -> "pd.DataFrame":
    floats = frame.select_dtypes("float64").columns
    return frame.assign(**{name: [float(f"{value:.6g}") + 0.0 for value in frame[name]] for name in floats})

"""How much worse the answers get when one column's values are shuffled among the rows."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

N_ROWS = 5_000
"""Rows used at most; the mean loss of 5,000 rows is steady enough to rank columns by."""

PredictLosses = Callable[["pd.DataFrame"], NDArray[np.float64]]


def permutation_importance(
    predict_losses: PredictLosses, rows: "pd.DataFrame", columns: Sequence[str], *, seed: int, repeats: int = 3
) -> "pd.DataFrame":
    """Return the increase of the mean loss for each of ``columns`` shuffled alone, the largest first [1]_.

    Parameters
    ----------
    predict_losses
        Gives each row's loss. It is called with a sample of ``rows`` that keeps index, columns and types; a target
        that it looks up by the index, or that stands in a column not among ``columns``, stays with its row.
    rows
        One row per observation, not empty; of more than 5,000 a sample is taken.
    columns
        Inputs of the model. A column that it does not use has an increase of exactly 0.
    repeats
        Number of shuffles. Every column gets the same ones, so neither order nor company of columns matters.

    Returns
    -------
    pandas.DataFrame
        ``column``, ``increase`` (mean over the repeats), ``low`` and ``high`` (least and greatest of them).

    .. [1] Breiman, Random Forests, 2001, section 10.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    sample = rows.iloc[np.sort(rng.choice(len(rows), min(len(rows), N_ROWS), replace=False))]
    orders = [rng.permutation(len(sample)) for _ in range(repeats)]
    usual = float(np.mean(predict_losses(sample)))
    found = []
    for column in columns:
        increases = [float(np.mean(predict_losses(_shuffled(sample, column, order)))) - usual for order in orders]
        found.append((column, float(np.mean(increases)), min(increases), max(increases)))
    found.sort(key=lambda item: (-item[1], item[0]))
    return pd.DataFrame(found, columns=["column", "increase", "low", "high"])


def _shuffled(rows: "pd.DataFrame", column: str, order: NDArray[np.int64]) -> "pd.DataFrame":
    shuffled = rows.copy(deep=False)  # not assign: a column may be called "self"
    shuffled[column] = rows[column].iloc[order].set_axis(rows.index)
    return shuffled

"""Say what each input adds to the raw score of a row: the score before the link that makes probabilities of it.

Of two classes it is the log odds of the positive one; of several, each one's score before the softmax; in regression
the number itself. ``base`` and all ``contributions`` sum to ``score``, within the bound that the family states. Columns
of the matrix are added up to what they come from: a column of the contract, or a feature of the project's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep.contract.rules import Value
from lockstep.predictor import Predictor

Explanation = dict[str, Any]


def explain(predictor: Predictor, rows: Sequence[Mapping[str, Value]]) -> list[Explanation]:
    """Return for each row, typed by the contract, its prediction and why.

    Raises
    ------
    UnknownName
        The predictor's family explains nothing.
    LockstepError
        The contributions do not sum to the score.
    """
    answers = predictor.predict_rows(rows).told(predictor.card.classes)
    return [{**answer, "raw": raw} for answer, raw in zip(answers, _scores(predictor, rows), strict=True)]


def _scores(predictor: Predictor, rows: Sequence[Mapping[str, Value]]) -> list[list[Explanation]]:
    """Return for each row one entry an output of the engine."""
    found = predictor.contributions(rows)
    classes, sources = predictor.card.classes, [part.source for part in predictor.encoder.parts]
    names = list(dict.fromkeys(sources))
    added, base = _by_source(found.values, [names.index(source) for source in sources]).tolist(), found.base.tolist()
    named: list[Explanation] = [{"class": name} for name in (classes[1:] if len(classes) == 2 else classes)] or [{}]
    return [
        [
            {**one, "base": base[k], "score": score[k], "contributions": dict(zip(names, values[k], strict=True))}
            for k, one in enumerate(named)
        ]
        for score, values in zip(found.raw.tolist(), added, strict=True)
    ]


def _by_source(values: NDArray[np.float64], positions: Sequence[int]) -> NDArray[np.float64]:
    """Return contributions of shape (n_rows, n_outputs, n_sources)."""
    added = np.zeros((len(values), values.shape[2], max(positions, default=-1) + 1))
    for j, position in enumerate(positions):
        added[:, :, position] += values[:, j]
    return added

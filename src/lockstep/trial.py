"""One setting of a family, and how it did on the folds."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

SCALARS = (bool, int, float, str, type(None))
"""What the search may draw a setting from."""


@dataclass(frozen=True)
class Trial:
    """One setting and how it did; one that was given up has losses of its first folds, the last perhaps not finite."""

    number: int
    settings: dict[str, Any]
    losses: tuple[float, ...]
    rounds: tuple[int, ...]
    complete: bool

    @property
    def loss(self) -> float:
        """Mean loss over the folds that were judged."""
        return float(np.mean(self.losses))

    def as_json(self) -> dict[str, Any]:
        """Return what :func:`read` reads, and the loss."""
        return {**asdict(self), "losses": list(self.losses), "rounds": list(self.rounds), "loss": self.loss}


def read(value: Mapping[str, Any]) -> Trial:
    """Return the trial that ``value`` holds; keys that it does not know are left alone.

    Raises
    ------
    ValueError
        It holds none: a key is missing, is of another type, or contradicts the others.
    """
    try:
        trial = Trial(
            value["number"], value["settings"], tuple(value["losses"]), tuple(value["rounds"]), value["complete"]
        )
        loss = value["loss"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"a trial must have number, settings, losses, rounds, complete and loss; {error!r}") from None
    if not (_has_types(trial) and type(loss) is float):
        raise ValueError("a trial's values must be of their types")
    if not trial.losses or len(trial.losses) != len(trial.rounds) or trial.number < 0:
        raise ValueError("a trial must have a number from 0, and a loss and a count of rounds for each fold judged")
    if not (loss == trial.loss or (math.isnan(loss) and math.isnan(trial.loss))):
        raise ValueError(f"a trial's loss must be the mean of its losses, {trial.loss!r}; found {loss!r}")
    return trial


def numbers_of(batch: int, size: int) -> range:
    """Return the numbers of a batch's trials; the first batch is the family's defaults alone.

    >>> [list(numbers_of(batch, 3)) for batch in range(3)]
    [[0], [1, 2, 3], [4, 5, 6]]
    """
    return range(1) if batch == 0 else range(1 + (batch - 1) * size, 1 + batch * size)


def batch_of(number: int, size: int) -> int:
    """Return the batch to which a trial belongs.

    >>> [batch_of(number, 3) for number in range(7)]
    [0, 1, 1, 1, 2, 2, 2]
    """
    return -(-number // size)


def _has_types(trial: Trial) -> bool:
    return (
        type(trial.number) is int
        and isinstance(trial.settings, dict)
        and all(isinstance(value, SCALARS) for value in trial.settings.values())
        and all(type(loss) is float for loss in trial.losses)
        and all(type(rounds) is int for rounds in trial.rounds)
        and type(trial.complete) is bool
    )

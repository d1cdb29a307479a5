"""Ask for settings batch by batch, the same ones whenever the same was told."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from lockstep.families import Settings

N_STARTUP_TRIALS = 6
"""Before so many were told, settings are drawn from all of the space alike."""


class Sampler:
    """Asks by TPE, seeded anew for each batch from (seed, batch); the first batch is the family's defaults alone."""

    def __init__(self, family: ModuleType, n_classes: int, *, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._defaults = family.space(n_classes), family.defaults(n_classes)
        self._seed, self._study = seed, optuna.create_study(direction="minimize")
        self._asked: list[Any] = []

    def ask(self, batch: int, n: int) -> list[Settings]:
        """Return ``n`` settings; how many more are asked for later changes none of them."""
        import optuna

        if batch == 0:
            return [_rounded(self._defaults)]
        entropy = int(np.random.SeedSequence([self._seed, batch]).generate_state(1)[0])
        self._study.sampler = optuna.samplers.TPESampler(seed=entropy, n_startup_trials=N_STARTUP_TRIALS)
        self._asked = [self._study.ask(fixed_distributions=dict(self._space)) for _ in range(n)]
        return [_rounded(trial.params) for trial in self._asked]

    def tell(self, losses: list[float]) -> None:
        """Tell the losses of what was asked, in its order; of a batch that was cut short there are fewer."""
        import optuna

        if not self._asked:
            default = optuna.trial.create_trial(params=self._defaults, distributions=self._space, value=losses[0])
            self._study.add_trial(default)
        for trial, loss in zip(self._asked, losses, strict=False):
            self._study.tell(trial, loss)


def _rounded(settings: Mapping[str, Any]) -> Settings:
    """Cut floats to six digits: what a person reads in a file is what was fitted, on any machine."""
    return {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in settings.items()}

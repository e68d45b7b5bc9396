"""TPE that begins in the middle of the space, where a family's author put the likely values."""

from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial


class MiddleFirst(TPESampler):
    """The first trial has the middle of each range; all others are TPE's.

    Args:
        seed: given by Modelyard.
        startup_trials: drawn at random before TPE begins its work.
    """

    def __init__(self, *, seed: int, startup_trials: int = 10) -> None:
        super().__init__(seed=seed, n_startup_trials=startup_trials)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        """A value of one parameter."""
        if trial.number > 0 or not isinstance(distribution, FloatDistribution | IntDistribution):
            return super().sample_independent(study, trial, name, distribution)
        low, high = distribution.low, distribution.high
        middle = (low * high) ** 0.5 if distribution.log else (low + high) / 2
        if distribution.step is not None:
            middle = low + round((middle - low) / distribution.step) * distribution.step
        return int(middle) if isinstance(distribution, IntDistribution) else float(middle)

"""Bidding on a shrunken prediction: the posterior mean of the value given a noisy, unbiased one.

The highest of several noisy predictions is too high on average (the winner's curse: Capen, Clapp and Campbell 1971;
Smith and Winkler, Management Science 2006). With values N(mean, spread^2) and prediction errors N(0, noise^2) the
posterior mean is mean + spread^2 / (spread^2 + noise^2) (prediction - mean).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import Money, NonNegative, Settings
from bidsim.core.units import price_of, to_nanos
from bidsim.kernels.shrinkage import posterior_mean

if TYPE_CHECKING:
    from collections.abc import Mapping


class ShrunkParams(Settings):
    """How noisy predictions are, relative to how much values differ."""

    noise: NonNegative = 0.3
    """Standard deviation of the prediction's error, in units of the mean value."""
    spread: NonNegative = 0.6
    """Standard deviation of true values, in units of the mean value."""
    mean: Money | None = None
    """Mean value of an impression (of a click where clicks are charged), currency units; by default the model's mean
    prediction times what a conversion is worth."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Bid the posterior mean of the value times the multiplier."""
    for k in range(lo, hi):
        state = floats[offers.campaign[k]]
        offers.bid[k] = price_of(
            max(posterior_mean(offers.value[k], state[0], state[1], state[2]) * offers.multiplier[k], 0.0)
        )


class Shrunk(Policy):
    """Assumes normal values and errors of known size; the mean is the model's mean prediction."""

    Params = ShrunkParams
    floats = ("mean", "spread", "noise")
    bid = bid

    @staticmethod
    def start(params: ShrunkParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Scale to the campaign's mean value."""
        mean = to_nanos(params.mean) if params.mean is not None else brief.mean_value
        return {"mean": mean, "spread": float(params.spread) * mean, "noise": float(params.noise) * mean}

"""Throttling: full bids in a random part of the auctions (Agarwal et al., KDD 2014.

Karande, Mehta and Srikant, WSDM 2013).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Pacer
from bidsim.core.kernel import kernel
from bidsim.core.settings import Number, Settings
from bidsim.kernels.arms import second_dice

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHANCE, _RATE, _COUNT = range(3)
_EVERY = 50.0
_LOWEST = 1e-4


class ThrottleParams(Settings):
    """How often to take part."""

    probability: Annotated[Number, Field(gt=0.0, le=1.0)] | None = None
    """Part of the auctions that are entered; by default it follows the budget, up or down by ``rate`` at a time."""
    rate: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.1
    """Step of the probability every fifty opportunities, as a part of it."""


@kernel(OFFERS_SIGNATURE)
def pace(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Stay out by the seeded dice."""
    for k in range(lo, hi):
        if second_dice(offers.dice[k]) >= floats[offers.campaign[k], _CHANCE]:
            offers.active[k] = 0


@kernel(OFFERS_SIGNATURE)
def settle(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Take part more often while behind the plan, less often while ahead."""
    for k in range(lo, hi):
        state = floats[offers.campaign[k]]
        state[_COUNT] += 1.0
        if state[_RATE] > 0.0 and state[_COUNT] % _EVERY == 0.0:
            behind = offers.spent[k] < offers.budget[k] * offers.passed[k]
            state[_CHANCE] = min(
                max(state[_CHANCE] * (1.0 + state[_RATE] if behind else 1.0 - state[_RATE]), _LOWEST), 1.0
            )


class Throttle(Pacer):
    """Assumes that the expected traffic curve is known; wastes the difference between good and poor impressions."""

    Params = ThrottleParams
    floats = ("chance", "rate", "count")
    pace = pace
    settle = settle

    @staticmethod
    def start(params: ThrottleParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Start by taking part in a tenth of the auctions, or at the fixed probability."""
        if params.probability is not None:
            return {"chance": float(params.probability), "rate": 0.0}
        return {"chance": 0.1, "rate": float(params.rate)}

"""Max-eCPC: bid the predicted rate times the most that an event may cost (Lee et al., KDD 2012.

The benchmark of Zhang et al., arXiv:1407.7073).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import Money, Positive, Settings
from bidsim.core.units import NANOS_PER_CPM, NANOS_PER_UNIT, price_of

if TYPE_CHECKING:
    from collections.abc import Mapping


class MaxEcpcParams(Settings):
    """The most that an event may cost."""

    max_ecpc: Money | None = None
    """Currency units for one event (click or conversion) that the rate speaks of; by default what it is worth."""
    whole_cpm: bool = False
    """Whether bids are whole units of CPM, rounded down, as in the iPinYou log."""
    highest_cpm: Positive = 1e6
    """Highest bid."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Bid pcvr x max eCPC x multiplier."""
    for k in range(lo, hi):
        state = floats[offers.campaign[k]]
        cpm = min(offers.pcvr[k] * state[0] / offers.quality[k] * offers.multiplier[k], state[1])
        offers.bid[k] = int(cpm) * NANOS_PER_CPM if ints[offers.campaign[k], 0] else price_of(cpm * NANOS_PER_CPM)


class MaxEcpc(Policy):
    """Assumes that rates are calibrated; pays no heed to the market."""

    Params = MaxEcpcParams
    floats = ("cpm_for_certain", "highest_cpm")
    ints = ("whole",)
    bid = bid

    @staticmethod
    def start(params: MaxEcpcParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Turn the price of an event into a CPM."""
        units = params.max_ecpc if params.max_ecpc is not None else brief.value_nanos / NANOS_PER_UNIT
        return {
            "cpm_for_certain": units * (NANOS_PER_UNIT / NANOS_PER_CPM),
            "highest_cpm": float(params.highest_cpm),
            "whole": 1 if params.whole_cpm else 0,
        }

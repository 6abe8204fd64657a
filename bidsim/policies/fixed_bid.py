"""A constant bid for every impression: the simplest thing that can be done, and what every comparison needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import Positive, Settings
from bidsim.core.units import cpm_to_nanos, price_of

if TYPE_CHECKING:
    from collections.abc import Mapping


class FixedBidParams(Settings):
    """The bid."""

    bid_cpm: Positive = 2.0
    """Per thousand impressions; where clicks are charged, what that comes to for one."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Bid the constant times the multiplier."""
    for k in range(lo, hi):
        offers.bid[k] = price_of(floats[offers.campaign[k], 0] / offers.quality[k] * offers.multiplier[k])


class FixedBid(Policy):
    """Assumes that all impressions are alike."""

    Params = FixedBidParams
    floats = ("nanos",)
    bid = bid

    @staticmethod
    def start(params: FixedBidParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Keep the bid."""
        return {"nanos": float(cpm_to_nanos(params.bid_cpm))}

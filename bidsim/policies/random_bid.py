"""A uniformly random bid.

Explores the whole market, and is the baseline of the iPinYou benchmark (Zhang et al., arXiv:1407.7073).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.random import unit
from bidsim.core.settings import NonNegative, Positive, Settings
from bidsim.core.units import cpm_to_nanos, price_of

if TYPE_CHECKING:
    from collections.abc import Mapping


class RandomBidParams(Settings):
    """Between what the bid is drawn."""

    low_cpm: NonNegative = 0.0
    """Lowest bid, per thousand impressions."""
    high_cpm: Positive = 4.0
    """Highest bid, per thousand impressions."""

    @model_validator(mode="after")
    def _ordered(self) -> RandomBidParams:
        if self.low_cpm >= self.high_cpm:
            raise ValueError(f"low_cpm {self.low_cpm:g} must be below high_cpm {self.high_cpm:g}")
        return self


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Draw the bid by the seeded dice, times the multiplier."""
    for k in range(lo, hi):
        low, high = floats[offers.campaign[k], 0], floats[offers.campaign[k], 1]
        scale = offers.multiplier[k] / offers.quality[k]
        offers.bid[k] = price_of((low + (high - low) * unit(offers.dice[k])) * scale)
        offers.propensity[k] = 1.0 / ((high - low) * scale) if scale > 0.0 else 1.0


class RandomBid(Policy):
    """Assumes nothing; the logged propensity is the density of the bid, per nano."""

    Params = RandomBidParams
    floats = ("low", "high")
    bid = bid

    @staticmethod
    def start(params: RandomBidParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Keep the range in nanos."""
        return {"low": float(cpm_to_nanos(params.low_cpm)), "high": float(cpm_to_nanos(params.high_cpm))}

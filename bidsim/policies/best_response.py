"""The best bid in first price against a known landscape.

Argmax over b of (v - b) F(b) (Zhou et al., KDD 2021, section 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import Settings
from bidsim.core.units import NANOS_PER_UNIT, price_of
from bidsim.kernels.distributions import Distribution, quantiles
from bidsim.kernels.shading import best_bid, envelope

if TYPE_CHECKING:
    from collections.abc import Mapping

_POINTS = 1024


class BestResponseParams(Settings):
    """What is known of the highest rival bid."""

    landscape: Distribution | None = None
    """Its distribution, currency units; by default the policy is told the forecast of the market outside."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Look up the bid for value x multiplier."""
    for k in range(lo, hi):
        c = offers.campaign[k]
        value = offers.value[k] * offers.multiplier[k]
        offers.bid[k] = price_of(best_bid(value, floats[c, :_POINTS], floats[c, _POINTS : 2 * _POINTS], ints[c, 0]))


class BestResponse(Policy):
    """Assumes that the distribution of the highest rival bid is known.

    It is the same for all impressions of the campaign.
    """

    Params = BestResponseParams
    floats = (("start", _POINTS), ("chosen", _POINTS))
    ints = ("kept",)
    bid = bid

    @staticmethod
    def start(params: BestResponseParams, brief: CampaignBrief) -> Mapping[str, object]:
        """Compute the best bid for every value; without a landscape or a forecast nothing is bid."""
        prices = brief.prices if params.landscape is None else quantiles(params.landscape, _POINTS) * NANOS_PER_UNIT
        bids = np.unique(np.maximum(np.asarray(prices, np.float64)[np.isfinite(prices)], 0.0) + 1.0)
        wins = np.searchsorted(np.sort(np.asarray(prices)), bids, side="left") / max(len(prices), 1)
        start, chosen = np.zeros(_POINTS), np.zeros(_POINTS)
        kept = envelope(bids, wins, len(bids), start, chosen) if len(bids) else 0
        return {"start": start, "chosen": chosen, "kept": kept}

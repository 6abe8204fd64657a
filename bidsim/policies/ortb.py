"""ORTB: bids that are concave in the value, optimal against two families of win rates.

Zhang, Yuan and Wang, KDD 2014, equations 6 and 10.

Form 1 assumes the win rate b / (c + b) and bids sqrt(c v + c^2) - c. Form 2 assumes b^2 / (c^2 + b^2) and bids
c (((v + sqrt(c^2 + v^2)) / c)^(1/3) - (c / (v + sqrt(c^2 + v^2)))^(1/3)). The paper's 1 / lambda is the pacing
multiplier: v is value x multiplier.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import Positive, Settings
from bidsim.core.units import cpm_to_nanos, price_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_TYPICAL_CPM = 2.0


class OrtbParams(Settings):
    """The assumed market."""

    form: Literal[1, 2] = 1
    """Which of the two bidding functions."""
    c_cpm: Positive | None = None
    """The bid that wins half of the auctions, per thousand impressions; by default as forecast."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Bid by the chosen form."""
    for k in range(lo, hi):
        c = floats[offers.campaign[k], 0]
        value = max(offers.value[k] * offers.multiplier[k], 0.0)
        if ints[offers.campaign[k], 0] == 1:
            offers.bid[k] = price_of(math.sqrt(c * value + c * c) - c)
        else:
            root = (value + math.sqrt(c * c + value * value)) / c
            offers.bid[k] = price_of(max(c * (root ** (1.0 / 3.0) - (1.0 / root) ** (1.0 / 3.0)), 0.0))


class Ortb(Policy):
    """Assumes a win rate of its form, whatever the impression; only c is fitted, to the forecast's median price."""

    Params = OrtbParams
    floats = ("c",)
    ints = ("form",)
    bid = bid

    @staticmethod
    def start(params: OrtbParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Take c from the parameters, or from the forecast."""
        told = float(np.median(brief.within_reach)) if len(brief.within_reach) else 0.0
        typical = cpm_to_nanos(params.c_cpm if params.c_cpm is not None else _TYPICAL_CPM) / brief.quality
        c = typical if params.c_cpm is not None else told or typical
        return {"c": float(max(c, 1)), "form": params.form}

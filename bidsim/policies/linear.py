"""Linear bidding: a base price for the average impression, scaled by the predicted rate.

Perlich et al., KDD 2012.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import Number, Positive, Settings
from bidsim.core.units import NANOS_PER_CPM, price_of

if TYPE_CHECKING:
    from collections.abc import Mapping


class LinearParams(Settings):
    """The price of the average impression."""

    base_cpm: Positive = 2.0
    """Bid for an impression of average predicted rate, per thousand impressions; where clicks are charged, what that
    comes to for one."""
    mean_rate: Annotated[Number, Field(gt=0.0, le=1.0)] | None = None
    """What counts as the average rate; by default the model's mean on logged traffic."""
    whole_cpm: bool = False
    """Whether bids are whole units of CPM, rounded down, as in the iPinYou log."""
    highest_cpm: Positive = 1e6
    """Highest bid."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Bid base x pcvr / mean pcvr x multiplier."""
    for k in range(lo, hi):
        state = floats[offers.campaign[k]]
        cpm = state[0] * offers.pcvr[k] / state[1] / offers.quality[k] * offers.multiplier[k]
        whole = int(min(cpm, state[2])) * NANOS_PER_CPM
        offers.bid[k] = whole if ints[offers.campaign[k], 0] else price_of(min(cpm, state[2]) * NANOS_PER_CPM)


class Linear(Policy):
    """Assumes that an impression is worth its predicted rate and that the mean rate is known from the past."""

    Params = LinearParams
    floats = ("base_cpm", "mean_rate", "highest_cpm")
    ints = ("whole",)
    bid = bid

    @staticmethod
    def start(params: LinearParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Keep the base price and the mean rate."""
        mean = params.mean_rate if params.mean_rate is not None else max(brief.mean_pcvr, 1e-9)
        return {
            "base_cpm": float(params.base_cpm),
            "mean_rate": float(mean),
            "highest_cpm": float(params.highest_cpm),
            "whole": 1 if params.whole_cpm else 0,
        }

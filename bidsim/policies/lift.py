"""Lift-based bidding: pay for the conversions that an impression adds.

Those that it is credited with do not count (Xu et al., WWW 2016).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import Settings, Share
from bidsim.core.units import price_of

if TYPE_CHECKING:
    from collections.abc import Mapping


class LiftParams(Settings):
    """What share of the credited conversions is caused."""

    caused_share: Share = 1.0
    """Part of the lift that is bid for: with a model that predicts attributed conversions, the measured share of them
    that advertising causes (see the hold-out's estimate of a run); with the oracle 1, for it knows the lift."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Bid the value of one conversion x lift x share x multiplier."""
    for k in range(lo, hi):
        worth = offers.value[k] / offers.pcvr[k] if offers.pcvr[k] > 0.0 else 0.0
        offers.bid[k] = price_of(
            max(worth * offers.lift[k] * floats[offers.campaign[k], 0] * offers.multiplier[k], 0.0)
        )


class Lift(Policy):
    """Assumes that the lift of an impression is known (oracle).

    For any other model it is a fixed part of the predicted rate.
    """

    Params = LiftParams
    floats = ("share",)
    bid = bid

    @staticmethod
    def start(params: LiftParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Keep the share."""
        return {"share": float(params.caused_share)}

"""Target ROAS: the most value while spend stays below value over target (Feng, Padmanabhan and Wang, WWW 2023)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import Positive, Settings
from bidsim.kernels.constraint import bid_factor, moved

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOG_PRICE, _STEP, _COST, _SCALE = range(4)


class TargetRoasParams(Settings):
    """The target."""

    target: Positive = 2.0
    """Predicted value per unit of spend, at least."""
    step: Positive = 1.0
    """Step size in units of 1 / sqrt(expected opportunities)."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Bid (1 + 1 / lambda) x value over target x multiplier."""
    for k in range(lo, hi):
        state = floats[offers.campaign[k]]
        offers.bid[k] = int(bid_factor(state[_LOG_PRICE]) * state[_COST] * offers.value[k] * offers.multiplier[k])


@kernel(OFFERS_SIGNATURE)
def notice(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Move the price of the constraint by the slack of each win."""
    for k in range(lo, hi):
        if offers.won[k]:
            state = floats[offers.campaign[k]]
            state[_LOG_PRICE] = moved(state[_LOG_PRICE], state[_STEP], state[_COST] * offers.value[k], offers.payment[k], state[_SCALE])


class TargetRoas(Policy):
    """Assumes calibrated values and second price; in first price it wins less than it could."""

    Params = TargetRoasParams
    floats = ("log_price", "step", "cost", "scale")
    bid = bid
    notice = notice

    @staticmethod
    def start(params: TargetRoasParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Start with lambda = 1; money is counted in units of the mean allowed cost."""
        cost = 1.0 / params.target
        typical = max(brief.mean_pcvr * brief.value_nanos * cost, 1.0)
        return {"log_price": 0.0, "step": float(params.step) / math.sqrt(max(brief.opportunities, 1.0)), "cost": cost, "scale": typical}

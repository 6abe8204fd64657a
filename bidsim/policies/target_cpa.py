"""Target CPA: the most conversions while each costs at most the target on average (Feng, Padmanabhan and Wang, WWW 2023)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import Money, Positive, Settings
from bidsim.core.units import to_nanos
from bidsim.kernels.constraint import bid_factor, moved

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOG_PRICE, _STEP, _CPA, _SCALE = range(4)


class TargetCpaParams(Settings):
    """The target."""

    target: Money | None = None
    """Cost of a predicted conversion on average, currency units, at most; by default what a conversion is worth."""
    step: Positive = 1.0
    """Step size in units of 1 / sqrt(expected opportunities)."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Bid (1 + 1 / lambda) x target x predicted rate x multiplier."""
    for k in range(lo, hi):
        state = floats[offers.campaign[k]]
        offers.bid[k] = int(max(bid_factor(state[_LOG_PRICE]) * state[_CPA] * offers.pcvr[k] * offers.multiplier[k], 0.0))


@kernel(OFFERS_SIGNATURE)
def notice(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Move the price of the constraint by the slack of each win."""
    for k in range(lo, hi):
        if offers.won[k]:
            state = floats[offers.campaign[k]]
            state[_LOG_PRICE] = moved(state[_LOG_PRICE], state[_STEP], state[_CPA] * offers.pcvr[k], offers.payment[k], state[_SCALE])


class TargetCpa(Policy):
    """Assumes calibrated rates and second price; in first price it wins less than it could."""

    Params = TargetCpaParams
    floats = ("log_price", "step", "cpa", "scale")
    bid = bid
    notice = notice

    @staticmethod
    def start(params: TargetCpaParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Start with lambda = 1; money is counted in units of the mean allowed cost."""
        cpa = float(to_nanos(params.target) if params.target is not None else brief.value_nanos)
        return {"log_price": 0.0, "step": float(params.step) / math.sqrt(max(brief.opportunities, 1.0)), "cpa": cpa, "scale": max(brief.mean_pcvr * cpa, 1.0)}

"""Target ROAS: the most value while spend stays below value over target (Feng, Padmanabhan and Wang, WWW 2023)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import Positive, Settings
from bidsim.core.units import price_of
from bidsim.kernels.constraint import moved

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOG_MULTIPLE, _STEP, _COST, _SCALE, _WINS = range(5)


class TargetRoasParams(Settings):
    """The target."""

    target: Positive = 2.0
    """Predicted value per unit of spend, at least."""
    step: Positive = 1.0
    """Size of the steps, in units of 1 / sqrt(auctions won so far)."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Bid the learned multiple of value over target, times the multiplier."""
    for k in range(lo, hi):
        state = floats[offers.campaign[k]]
        offers.bid[k] = price_of(math.exp(state[_LOG_MULTIPLE]) * state[_COST] * offers.value[k] * offers.multiplier[k])


@kernel(OFFERS_SIGNATURE)
def notice(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Move the multiple by the slack of each win.

    Where clicks are charged a win costs what it is expected to.
    """
    for k in range(lo, hi):
        if offers.won[k]:
            state = floats[offers.campaign[k]]
            state[_WINS] += 1.0
            slack = (
                (state[_COST] * offers.value[k] - offers.price[k])
                * offers.quality[k]
                * offers.effect[k]
                / state[_SCALE]
            )
            state[_LOG_MULTIPLE] = moved(state[_LOG_MULTIPLE], state[_STEP], state[_WINS], slack)


class TargetRoas(Policy):
    """Assumes calibrated values; optimal in second price among bids that are a multiple of the value."""

    Params = TargetRoasParams
    floats = ("log_multiple", "step", "cost", "scale", "wins")
    bid = bid
    notice = notice

    @staticmethod
    def start(params: TargetRoasParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Start with the target itself; money is counted in units of the mean allowed cost."""
        cost = 1.0 / params.target
        return {"step": float(params.step), "cost": cost, "scale": max(brief.mean_pcvr * brief.value_nanos * cost, 1.0)}

"""Target CPA: the most conversions while each costs at most the target on average.

Feng, Padmanabhan and Wang, WWW 2023.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import Money, Positive, Settings
from bidsim.core.units import price_of, to_nanos
from bidsim.kernels.constraint import moved

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOG_MULTIPLE, _STEP, _CPA, _SCALE, _WINS = range(5)


class TargetCpaParams(Settings):
    """The target."""

    target: Money | None = None
    """Cost of a predicted conversion on average, currency units, at most; by default what a conversion is worth."""
    step: Positive = 1.0
    """Size of the steps, in units of 1 / sqrt(auctions won so far)."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Bid the learned multiple of target x predicted rate, times the multiplier."""
    for k in range(lo, hi):
        state = floats[offers.campaign[k]]
        offers.bid[k] = price_of(
            max(
                math.exp(state[_LOG_MULTIPLE])
                * state[_CPA]
                * offers.pcvr[k]
                / offers.quality[k]
                * offers.multiplier[k],
                0.0,
            )
        )


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
                (state[_CPA] * offers.pcvr[k] - offers.price[k] * offers.quality[k]) * offers.effect[k] / state[_SCALE]
            )
            state[_LOG_MULTIPLE] = moved(state[_LOG_MULTIPLE], state[_STEP], state[_WINS], slack)


class TargetCpa(Policy):
    """Assumes calibrated rates; optimal in second price among bids that are a multiple of the rate."""

    Params = TargetCpaParams
    floats = ("log_multiple", "step", "cpa", "scale", "wins")
    bid = bid
    notice = notice

    @staticmethod
    def start(params: TargetCpaParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Start with the target itself; money is counted in units of the mean allowed cost."""
        cpa = float(to_nanos(params.target) if params.target is not None else brief.value_nanos)
        return {"step": float(params.step), "cpa": cpa, "scale": max(brief.mean_pcvr * cpa, 1.0)}

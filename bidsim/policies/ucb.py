"""Upper confidence bounds over shading factors (Auer, Cesa-Bianchi and Fischer 2002): optimism decides what to try."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import Positive, Settings
from bidsim.core.units import price_of
from bidsim.kernels.arms import ARMS, factor_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_COUNT, _SUM, _WIDTH, _TOTAL = 0, ARMS, 2 * ARMS, 2 * ARMS + 1


class UcbParams(Settings):
    """How optimistic it is."""

    width: Positive = 0.3
    """Width of the bound: width x sqrt(2 ln t / n); 1 is UCB1 for rewards in [0, 1]."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Bid with the arm of the highest bound; arms never tried come first."""
    for k in range(lo, hi):
        c = offers.campaign[k]
        state = floats[c]
        best, chosen = -1.0, 0
        log_total = math.log(state[_TOTAL] + 1.0)
        for arm in range(ARMS - 1, -1, -1):
            count = state[_COUNT + arm]
            bound = (
                state[_SUM + arm] / count + state[_WIDTH] * math.sqrt(2.0 * log_total / count) if count > 0.0 else 1e300
            )
            if bound > best:
                best, chosen = bound, arm
        ints[c, 0] = chosen
        offers.bid[k] = price_of(factor_of(chosen) * offers.value[k] * offers.multiplier[k])


@kernel(OFFERS_SIGNATURE)
def notice(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Add the reward, the kept part of the value, to the arm that was played."""
    for k in range(lo, hi):
        value = offers.value[k] * offers.multiplier[k]
        if offers.bid[k] <= 0 or value <= 0.0:
            continue
        state, arm = floats[offers.campaign[k]], ints[offers.campaign[k], 0]
        state[_TOTAL] += 1.0
        state[_COUNT + arm] += 1.0
        state[_SUM + arm] += offers.effect[k] * max(1.0 - offers.price[k] / value, 0.0) if offers.won[k] else 0.0


class Ucb(Policy):
    """Assumes that the best factor is the same for all impressions, and never changes."""

    Params = UcbParams
    floats = (("count", ARMS), ("sum", ARMS), "width", "total")
    ints = ("arm",)
    bid = bid
    notice = notice

    @staticmethod
    def start(params: UcbParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Know nothing yet."""
        return {"width": float(params.width)}

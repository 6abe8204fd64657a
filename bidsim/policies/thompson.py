"""Thompson sampling over shading factors (Thompson 1933.

Chapelle and Li, NeurIPS 2011): bid what a draw from the posterior likes best.

The reward of an arm is the part of the value that is kept: (value - price) / value on a win, by the view rate of the
position won, else 0. Posteriors are normal with the arm's own mean and standard error.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.random import mix
from bidsim.core.settings import Number, Positive, Settings
from bidsim.core.units import price_of
from bidsim.kernels.arms import ARMS, factor_of
from bidsim.kernels.normal import normal_quantile

if TYPE_CHECKING:
    from collections.abc import Mapping

_COUNT, _SUM = 0, ARMS
_WIDTH, _DISCOUNT = 2 * ARMS, 2 * ARMS + 1
_UNIT = 2.0**-53


class ThompsonParams(Settings):
    """Prior and memory."""

    width: Positive = 0.3
    """Standard deviation of one reward, and of the prior of an arm's mean."""
    discount: Annotated[Number, Field(gt=0.0, le=1.0)] = 1.0
    """What is left of old rewards at each notice; below 1 follows a changing market."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Draw each arm's mean and bid with the best."""
    for k in range(lo, hi):
        c = offers.campaign[k]
        state = floats[c]
        best, chosen, bits = -1e300, 0, offers.dice[k]
        for arm in range(ARMS):
            bits = mix(bits + np.uint64(1))
            z = normal_quantile((np.float64(bits >> np.uint64(11)) + 0.5) * _UNIT)
            count = state[_COUNT + arm] + 1.0
            drawn = state[_SUM + arm] / count + state[_WIDTH] * z / math.sqrt(count)
            if drawn > best:
                best, chosen = drawn, arm
        ints[c, 0] = chosen
        offers.bid[k] = price_of(factor_of(chosen) * offers.value[k] * offers.multiplier[k])


@kernel(OFFERS_SIGNATURE)
def notice(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Add the reward to the arm that was played."""
    for k in range(lo, hi):
        value = offers.value[k] * offers.multiplier[k]
        if offers.bid[k] <= 0 or value <= 0.0:
            continue
        state, arm = floats[offers.campaign[k]], ints[offers.campaign[k], 0]
        if state[_DISCOUNT] < 1.0:
            for a in range(2 * ARMS):
                state[a] *= state[_DISCOUNT]
        state[_COUNT + arm] += 1.0
        state[_SUM + arm] += offers.effect[k] * max(1.0 - offers.price[k] / value, -1.0) if offers.won[k] else 0.0


class Thompson(Policy):
    """Assumes that the best factor is the same for all impressions; learns from its own wins and losses alone."""

    Params = ThompsonParams
    floats = (("count", ARMS), ("sum", ARMS), "width", "discount")
    ints = ("arm",)
    bid = bid
    notice = notice

    @staticmethod
    def start(params: ThompsonParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Know nothing yet."""
        return {"width": float(params.width), "discount": float(params.discount)}

"""Exponential weights over shading factors: no regret even against rivals who change (Auer et al. 2002.

Han, Zhou and Weissman 2020).

Where the notice tells the minimum bid to win, and what the winner pays follows from it, every arm's reward is known
after each auction (Hedge); where not, the arm played is weighted by its propensity (EXP3).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.random import unit
from bidsim.core.settings import Number, Positive, Settings
from bidsim.core.units import price_of
from bidsim.kernels.arms import ARMS, factor_of, gain

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUM, _CHANCE = 0, ARMS
_RATE, _EXPLORE = 2 * ARMS, 2 * ARMS + 1
_NEITHER, _BID, _MINIMUM = range(3)
_PAYS = {"neither": _NEITHER, "bid": _BID, "minimum": _MINIMUM}


class ExpWeightsParams(Settings):
    """Learning rate and exploration."""

    rate: Positive = 1.0
    """Learning rate in units of sqrt(8 ln(arms) / expected opportunities)."""
    explore: Annotated[Number, Field(ge=0.0, le=1.0)] = 0.03
    """Share of bids with an arm drawn uniformly; only needed where minimum bids are not told."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Draw an arm by its weight."""
    for k in range(lo, hi):
        c = offers.campaign[k]
        state = floats[c]
        top = state[_SUM]
        for arm in range(1, ARMS):
            top = max(top, state[_SUM + arm])
        total = 0.0
        for arm in range(ARMS):
            total += math.exp(state[_RATE] * (state[_SUM + arm] - top))
        left, chosen = unit(offers.dice[k]), ARMS - 1
        for arm in range(ARMS):
            chance = (1.0 - state[_EXPLORE]) * math.exp(state[_RATE] * (state[_SUM + arm] - top)) / total + state[
                _EXPLORE
            ] / ARMS
            state[_CHANCE + arm] = chance
            left -= chance
            if left < 0.0:
                chosen = arm
                break
        ints[c, 0] = chosen
        offers.propensity[k] = state[_CHANCE + chosen]
        offers.bid[k] = price_of(factor_of(chosen) * offers.value[k] * offers.multiplier[k])


@kernel(OFFERS_SIGNATURE)
def notice(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Add rewards: of all arms where the price is told, else of the arm played, over its propensity."""
    for k in range(lo, hi):
        value = offers.value[k] * offers.multiplier[k]
        if offers.bid[k] <= 0 or value <= 0.0:
            continue
        state, played = floats[offers.campaign[k]], ints[offers.campaign[k], 0]
        if offers.minimum[k] >= 0 and ints[offers.campaign[k], 1] != _NEITHER:
            for arm in range(ARMS):
                state[_SUM + arm] += gain(arm, value, offers.minimum[k], ints[offers.campaign[k], 1] == _BID)
        elif offers.won[k]:
            state[_SUM + played] += offers.effect[k] * max(1.0 - offers.price[k] / value, 0.0) / state[_CHANCE + played]


class ExpWeights(Policy):
    """Assumes nothing about rivals; competes with the best fixed factor in hindsight."""

    Params = ExpWeightsParams
    floats = (("sum", ARMS), ("chance", ARMS), "rate", "explore")
    ints = ("arm", "pays")
    bid = bid
    notice = notice

    @staticmethod
    def start(params: ExpWeightsParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Scale the rate by the number of opportunities."""
        rate = float(params.rate) * math.sqrt(8.0 * math.log(ARMS) / max(brief.opportunities, 1.0))
        return {"rate": rate, "explore": float(params.explore), "pays": _PAYS[brief.pays]}

"""Shading by a logistic win rate in the log of the bid with covariates, learned online.

Karlsson and Sang, ACC 2021; Zhou et al., KDD 2021.

P(win | b) = sigmoid(w0 + w1 ln b + w2 ln(1 + floor) + w3 ln value), money in units of half the mean value, fitted by
stochastic gradient steps on wins and losses alone; the bid solves (v - b) w1 (1 - P) = b, the first-order condition of
(v - b) P(win | b).
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
from bidsim.core.settings import Number, Settings
from bidsim.core.units import price_of
from bidsim.kernels.normal import sigmoid

if TYPE_CHECKING:
    from collections.abc import Mapping

_W0, _W1, _W2, _W3, _RATE, _EXPLORE, _NOTICES, _UNIT = range(8)
_STEEPEST, _FLATTEST = 20.0, 0.2


class LogisticShadingParams(Settings):
    """How fast it learns."""

    rate: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.1
    """First step size; it falls with the root of the number of notices."""
    steepness: Annotated[Number, Field(gt=0.0, le=20.0)] = 2.0
    """First guess of w1: how fast the odds of winning rise with the log of the bid."""
    explore: Annotated[Number, Field(ge=0.0, le=1.0)] = 0.05
    """Share of bids that are moved by up to a third either way, so that the slope can be seen."""


@kernel()
def _log_odds(state: NDArray[np.float64], nanos: float, floor: float, value: float) -> float:
    unit_of_money = state[_UNIT]
    return (
        state[_W0]
        + state[_W1] * math.log(nanos / unit_of_money)
        + state[_W2] * math.log1p(floor / unit_of_money)
        + state[_W3] * math.log(value / unit_of_money)
    )


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Solve the first-order condition by halving; explore once in a while."""
    for k in range(lo, hi):
        state = floats[offers.campaign[k]]
        value = offers.value[k] * offers.multiplier[k]
        offers.bid[k] = 0
        if value < 1.0:
            continue
        low, high = 0.0, value
        base = _log_odds(state, 1.0, offers.floor[k], offers.value[k])
        for _ in range(30):
            middle = 0.5 * (low + high)
            win = sigmoid(base + state[_W1] * math.log(max(middle, 1.0)))
            if (value - middle) * state[_W1] * (1.0 - win) > middle:
                low = middle
            else:
                high = middle
        dice = unit(offers.dice[k])
        if dice < state[_EXPLORE]:
            high = min(high * (2.0 / 3.0 + 2.0 / 3.0 * dice / state[_EXPLORE]), value)
        offers.bid[k] = price_of(high)
        offers.propensity[k] = state[_EXPLORE] if dice < state[_EXPLORE] else 1.0 - state[_EXPLORE]


@kernel(OFFERS_SIGNATURE)
def notice(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Take a gradient step on the win or loss."""
    for k in range(lo, hi):
        if offers.bid[k] <= 0 or offers.value[k] < 1.0:
            continue
        state = floats[offers.campaign[k]]
        state[_NOTICES] += 1.0
        step = state[_RATE] / math.sqrt(1.0 + 0.01 * state[_NOTICES])
        error = offers.won[k] - sigmoid(_log_odds(state, offers.bid[k], offers.floor[k], offers.value[k]))
        state[_W0] += step * error
        state[_W1] = min(max(state[_W1] + step * error * math.log(offers.bid[k] / state[_UNIT]), _FLATTEST), _STEEPEST)
        state[_W2] += step * error * math.log1p(offers.floor[k] / state[_UNIT])
        state[_W3] += step * error * math.log(offers.value[k] / state[_UNIT])


class LogisticShading(Policy):
    """Assumes that the odds of winning rise with a power of the bid; needs no price told at all."""

    Params = LogisticShadingParams
    floats = ("w0", "w1", "w2", "w3", "rate", "explore", "notices", "unit")
    bid = bid
    notice = notice

    @staticmethod
    def start(params: LogisticShadingParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Guess that a bid of half the mean value wins half of the auctions."""
        return {
            "unit": max(brief.mean_value / 2.0, 1.0),
            "w1": float(params.steepness),
            "rate": float(params.rate),
            "explore": float(params.explore),
        }

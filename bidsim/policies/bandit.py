"""A contextual bandit on logged propensities, with the three estimators of AuctionGym.

Jeunen, Murphy and Allison, KDD 2023.

The context is the impression's value relative to the campaign's mean, in eight classes; arms are shading factors.
*Direct* averages the rewards seen with each arm. *ips* weights each by one over the propensity of the arm that was
played. *dr* (doubly robust) starts from the direct estimate and corrects it by the weighted error of what was
played. The policy is a softmax of the estimates with a share of uniform exploration, whose propensities are logged.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.random import unit
from bidsim.core.settings import Number, Positive, Settings
from bidsim.core.units import price_of
from bidsim.kernels.arms import ARMS, factor_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONTEXTS = 8
_CELLS = _CONTEXTS * ARMS
_COUNT, _SUM, _CORRECTION = 0, _CELLS, 2 * _CELLS
_SEEN = 3 * _CELLS
_CHANCE = _SEEN + _CONTEXTS
_TYPICAL, _SHARPNESS, _EXPLORE = _CHANCE + ARMS, _CHANCE + ARMS + 1, _CHANCE + ARMS + 2
_DIRECT, _IPS, _DR = range(3)
_ESTIMATORS = {"direct": _DIRECT, "ips": _IPS, "dr": _DR}


class BanditParams(Settings):
    """Estimator and exploration."""

    estimator: Literal["direct", "ips", "dr"] = "dr"
    """How the worth of an arm is estimated."""
    sharpness: Positive = 40.0
    """Of the softmax over estimates: how much a better estimate counts."""
    explore: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.1
    """Share of bids with an arm drawn uniformly."""


@kernel()
def _context(value: float, typical: float) -> int:
    """Class of a value: octaves around the mean."""
    return min(max(math.floor(math.log2(max(value, 1.0) / typical)) + _CONTEXTS // 2, 0), _CONTEXTS - 1)


@kernel()
def _estimate(state: NDArray[np.float64], context: int, arm: int, estimator: int) -> float:
    cell = context * ARMS + arm
    count, seen = state[_COUNT + cell], state[_SEEN + context]
    direct = state[_SUM + cell] / count if count > 0.0 else 1.0 - factor_of(arm)
    if estimator == _DIRECT or seen == 0.0:
        return direct
    correction = state[_CORRECTION + cell] / seen
    return correction if estimator == _IPS else direct + correction


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Draw an arm from the softmax of the estimates."""
    for k in range(lo, hi):
        c = offers.campaign[k]
        state = floats[c]
        value = offers.value[k] * offers.multiplier[k]
        context, estimator = _context(value, state[_TYPICAL]), ints[c, 0]
        top = -1e300
        for arm in range(ARMS):
            state[_CHANCE + arm] = _estimate(state, context, arm, estimator)
            top = max(top, state[_CHANCE + arm])
        total = 0.0
        for arm in range(ARMS):
            state[_CHANCE + arm] = math.exp(state[_SHARPNESS] * (state[_CHANCE + arm] - top))
            total += state[_CHANCE + arm]
        left, chosen = unit(offers.dice[k]), -1
        for arm in range(ARMS):
            state[_CHANCE + arm] = (1.0 - state[_EXPLORE]) * state[_CHANCE + arm] / total + state[_EXPLORE] / ARMS
            left -= state[_CHANCE + arm]
            if left < 0.0 and chosen < 0:
                chosen = arm
        chosen = chosen if chosen >= 0 else ARMS - 1
        ints[c, 1], ints[c, 2] = chosen, context
        offers.propensity[k] = state[_CHANCE + chosen]
        offers.bid[k] = price_of(factor_of(chosen) * value)


@kernel(OFFERS_SIGNATURE)
def notice(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Add the reward of the arm played to the estimators' sums."""
    for k in range(lo, hi):
        c = offers.campaign[k]
        value = offers.value[k] * offers.multiplier[k]
        if offers.bid[k] <= 0 or value <= 0.0:
            continue
        state, played, context = floats[c], ints[c, 1], ints[c, 2]
        cell = context * ARMS + played
        reward = offers.effect[k] * max(1.0 - offers.price[k] / value, -1.0) if offers.won[k] else 0.0
        expected = state[_SUM + cell] / state[_COUNT + cell] if state[_COUNT + cell] > 0.0 else 1.0 - factor_of(played)
        error = reward if ints[c, 0] == _IPS else reward - expected
        state[_CORRECTION + cell] += error / offers.propensity[k]
        state[_SEEN + context] += 1.0
        state[_COUNT + cell] += 1.0
        state[_SUM + cell] += reward


class Bandit(Policy):
    """Assumes that the best factor depends on the value's size only.

    Learns online rather than in AuctionGym's batches.
    """

    Params = BanditParams
    floats = (
        ("count", _CELLS),
        ("sum", _CELLS),
        ("correction", _CELLS),
        ("seen", _CONTEXTS),
        ("chance", ARMS),
        "typical",
        "sharpness",
        "explore",
    )
    ints = ("estimator", "arm", "context")
    bid = bid
    notice = notice

    @staticmethod
    def start(params: BanditParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Know the mean value only."""
        typical = max(brief.mean_value, 1.0)
        return {
            "typical": typical,
            "sharpness": float(params.sharpness),
            "explore": float(params.explore),
            "estimator": _ESTIMATORS[params.estimator],
        }

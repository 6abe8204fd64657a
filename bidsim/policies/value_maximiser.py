"""The most value for a budget.

Bids are value over the price of money, which dual descent learns (Balseiro and Gur 2019; Gao et al., NeurIPS 2022).

Unlike a profit maximiser's, the bid may exceed the value: all that counts is that the budget lasts to the end. The
price of money mu falls while less is spent than planned and rises while more is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import Positive, Settings
from bidsim.core.units import price_of
from bidsim.kernels.budget import chances_left, expected_payment

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOG_MU, _STEP, _OPPORTUNITIES, _LOWEST, _COUNTED = range(5)
_MOST_AT_ONCE = 0.5
_RANGE = 12.0


class ValueMaximiserParams(Settings):
    """Start and step of the price of money."""

    start: Positive = 1.0
    """First price of money: 1 bids the value."""
    step: Positive = 1.0
    """Step size in units of 1 / sqrt(expected opportunities)."""
    most: Positive = 10.0
    """Bids are never more than this multiple of the value."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Bid value x multiplier over the price of money."""
    for k in range(lo, hi):
        offers.bid[k] = price_of(
            offers.value[k] * offers.multiplier[k] * math.exp(-floats[offers.campaign[k], _LOG_MU])
        )


@kernel(OFFERS_SIGNATURE)
def notice(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Move the price of money by how the payment compares with what is left per opportunity."""
    for k in range(lo, hi):
        state = floats[offers.campaign[k]]
        left = max(offers.budget[k] - offers.spent[k], 1)
        ratio = (
            expected_payment(offers, k) * chances_left(state[_COUNTED:], state[_OPPORTUNITIES], offers.passed[k]) / left
        )
        state[_LOG_MU] = min(
            max(state[_LOG_MU] + min(state[_STEP] * (ratio - 1.0), _MOST_AT_ONCE), state[_LOWEST]), _RANGE
        )


class ValueMaximiser(Policy):
    """Assumes stationary competition in second price; pair it with pacing "none"."""

    Params = ValueMaximiserParams
    floats = ("log_mu", "step", "opportunities", "lowest", "met", "passed", "prior")
    bid = bid
    notice = notice

    @staticmethod
    def start(params: ValueMaximiserParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Scale the step by the number of opportunities."""
        count = max(brief.opportunities, 1.0)
        lowest = -math.log(params.most)
        return {
            "log_mu": max(math.log(params.start), lowest),
            "step": float(params.step) / math.sqrt(count),
            "opportunities": count,
            "lowest": lowest,
            "prior": 1.0,
        }

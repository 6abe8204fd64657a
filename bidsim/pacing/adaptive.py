"""Adaptive pacing by dual descent (Balseiro and Gur, Management Science 2019, algorithm 1).

A multiplier mu is the price of the budget: bids are v / (1 + mu), and after each opportunity
mu <- max(0, mu - step (1 - payment / rho)), rho being what may be spent per opportunity. With ``target = "remaining"``
rho is what is left of the budget over the opportunities still to come, reckoned from those that came, so errors in the
forecast mend themselves; with ``"fixed"`` it is the whole budget over all that were expected, as in the paper. No step
raises 1 + mu by more than half, or the first win of a small budget would silence it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Pacer
from bidsim.core.kernel import kernel
from bidsim.core.settings import NonNegative, Positive, Settings
from bidsim.kernels.budget import chances_left, expected_payment

if TYPE_CHECKING:
    from collections.abc import Mapping

_MU, _STEP, _OPPORTUNITIES, _HIGHEST, _COUNTED = range(5)
_MOST_AT_ONCE = 0.5


class AdaptiveParams(Settings):
    """Start and step of the multiplier."""

    start: NonNegative = 0.0
    """First value of mu; 0 bids the full value."""
    step: Positive = 1.0
    """Step size in units of 1 / sqrt(expected opportunities)."""
    target: Literal["remaining", "fixed"] = "remaining"
    """What may be spent per opportunity: of what is left, or of the whole."""
    highest: Positive = 1e6
    """Highest value of mu."""


@kernel(OFFERS_SIGNATURE)
def pace(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Scale the value by 1 / (1 + mu)."""
    for k in range(lo, hi):
        offers.multiplier[k] = 1.0 / (1.0 + floats[offers.campaign[k], _MU])


@kernel(OFFERS_SIGNATURE)
def settle(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Move mu by how the payment compares with what may be spent per opportunity."""
    for k in range(lo, hi):
        state = floats[offers.campaign[k]]
        if ints[offers.campaign[k], 0]:
            ratio = offers.payment[k] * state[_OPPORTUNITIES] / offers.budget[k]
        else:
            left = max(offers.budget[k] - offers.spent[k], 1)
            ratio = (
                expected_payment(offers, k)
                * chances_left(state[_COUNTED:], state[_OPPORTUNITIES], offers.passed[k])
                / left
            )
        change = min(state[_STEP] * (ratio - 1.0), _MOST_AT_ONCE * (1.0 + state[_MU]))
        state[_MU] = min(max(state[_MU] + change, 0.0), state[_HIGHEST])


class Adaptive(Pacer):
    """Assumes stationary competition; regret grows as the root of the number of opportunities."""

    Params = AdaptiveParams
    floats = ("mu", "step", "opportunities", "highest", "met", "passed", "prior")
    ints = ("fixed",)
    pace = pace
    settle = settle

    @staticmethod
    def start(params: AdaptiveParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Scale the step by the number of opportunities."""
        count = max(brief.opportunities, 1.0)
        return {
            "mu": float(params.start),
            "step": float(params.step) / math.sqrt(count),
            "opportunities": count,
            "highest": float(params.highest),
            "prior": 1.0,
            "fixed": 1 if params.target == "fixed" else 0,
        }

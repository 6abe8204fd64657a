"""PID pacing: a feedback controller on the share of the budget that is spent (Zhang et al., WSDM 2016)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Pacer
from bidsim.core.kernel import kernel
from bidsim.core.settings import NonNegative, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOG, _SUM, _LAST, _COUNT, _P, _I, _D = range(7)
_LOWEST = -8.0


class PidParams(Settings):
    """Gains of the controller, on the error in the share spent."""

    proportional: NonNegative = 8.0
    """Gain on the error: planned share spent minus share spent."""
    integral: NonNegative = 20.0
    """Gain on the sum of errors over the flight."""
    derivative: NonNegative = 0.0
    """Gain on the change of the error."""
    every: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    """Opportunities between two moves of the multiplier."""


@kernel(OFFERS_SIGNATURE)
def pace(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Scale the value by the controller's multiplier."""
    for k in range(lo, hi):
        offers.multiplier[k] = math.exp(floats[offers.campaign[k], _LOG])


@kernel(OFFERS_SIGNATURE)
def settle(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """From time to time compare what is spent with the plan and move the multiplier."""
    for k in range(lo, hi):
        c = offers.campaign[k]
        state = floats[c]
        state[_COUNT] += 1.0
        if state[_COUNT] % ints[c, 0] != 0.0:
            continue
        error = offers.passed[k] - offers.spent[k] / max(offers.budget[k], 1)
        share = ints[c, 0] / max(state[_COUNT] / max(offers.passed[k], 1e-6), 1.0)
        # the sum stands still while the multiplier is at its end, or it would overshoot later
        wanted = state[_P] * error + state[_I] * (state[_SUM] + error * share) + state[_D] * (error - state[_LAST])
        if _LOWEST < wanted < 0.0 or (wanted >= 0.0 and error < 0.0) or (wanted <= _LOWEST and error > 0.0):
            state[_SUM] += error * share
        state[_LAST] = error
        state[_LOG] = min(max(wanted, _LOWEST), 0.0)


class Pid(Pacer):
    """Assumes that the expected traffic curve is known; the gains suit budgets of a day or more."""

    Params = PidParams
    floats = ("log_multiplier", "sum", "last", "count", "proportional", "integral", "derivative")
    ints = ("every",)
    pace = pace
    settle = settle

    @staticmethod
    def start(params: PidParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Start at the full value."""
        return {
            "proportional": float(params.proportional),
            "integral": float(params.integral),
            "derivative": float(params.derivative),
            "every": params.every,
        }

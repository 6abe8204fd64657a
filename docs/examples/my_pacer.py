"""A pacer of one's own.

After each auction the multiplier takes a step up or down, by whether spend is behind plan or ahead.
"""

from pydantic import Field

from bidsim.core.contracts import OFFERS_SIGNATURE, Pacer
from bidsim.core.kernel import kernel
from bidsim.core.settings import Settings


class StepsParams(Settings):
    """What a scenario may say about the pacer."""

    step: float = Field(0.001, gt=0, lt=0.5)
    """How far the multiplier moves after each auction, as a part of it."""


@kernel(OFFERS_SIGNATURE)
def pace(offers, lo, hi, floats, ints):
    """Before the policy bids: set the multiplier of the campaigns in rows lo to hi."""
    for k in range(lo, hi):
        offers.multiplier[k] = floats[offers.campaign[k], 0]


@kernel(OFFERS_SIGNATURE)
def settle(offers, lo, hi, floats, ints):
    """After the auction, won or lost: compare what is spent with the traffic that has passed."""
    for k in range(lo, hi):
        state = floats[offers.campaign[k]]
        ahead = offers.spent[k] > offers.budget[k] * offers.passed[k]
        state[0] = min(state[0] * (1.0 - state[1] if ahead else 1.0 + state[1]), 1.0)


class Steps(Pacer):
    """Assumes that the expected traffic is known; knows nothing of prices."""

    Params = StepsParams
    floats = ("multiplier", "step")
    pace = pace
    settle = settle

    @staticmethod
    def start(params, brief):
        """Begin with the full value."""
        return {"multiplier": 1.0, "step": params.step}

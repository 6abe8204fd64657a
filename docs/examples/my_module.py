"""A policy of one's own: bid the same price for every impression."""

from pydantic import Field

from bidsim.core.contracts import OFFERS_SIGNATURE, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import Settings
from bidsim.core.units import cpm_to_nanos, price_of


class MyParams(Settings):
    """What a scenario may say about the policy."""

    cpm: float = Field(2.0, gt=0)
    """Price for a thousand impressions."""


@kernel(OFFERS_SIGNATURE)
def bid(offers, lo, hi, floats, ints):
    """Bid for the campaigns in rows lo to hi of this request."""
    for k in range(lo, hi):
        offers.bid[k] = price_of(floats[offers.campaign[k], 0] * offers.multiplier[k])


class MyPolicy(Policy):
    """Assumes that all impressions are worth the same."""

    Params = MyParams
    floats = ("nanos",)
    bid = bid

    @staticmethod
    def start(params, brief):
        """Set the first state of a campaign, by column name."""
        return {"nanos": cpm_to_nanos(params.cpm)}

"""Truthful bidding: the bid is the value of the impression (Vickrey 1961; dominant in second price)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import OFFERS_SIGNATURE, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.units import price_of


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Bid value times the pacing multiplier."""
    for k in range(lo, hi):
        offers.bid[k] = price_of(offers.value[k] * offers.multiplier[k])


class Truthful(Policy):
    """Assumes that the price does not depend on the own bid."""

    bid = bid

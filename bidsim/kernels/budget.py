"""How many opportunities a budget still has to last for, where fewer or more come than were expected."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import Offers
from bidsim.core.kernel import kernel

MET, PASSED, PRIOR = range(3)
"""Places of what is counted, from where a plug-in puts it: opportunities met, the share that had passed, and the ratio before."""


@kernel()
def expected_payment(offers: Offers, k: int) -> float:
    """What a win was to cost, whether or not its click came: one step of a budget's dual is not to hang on that."""
    return offers.won[k] * offers.price[k] * offers.quality[k] * offers.effect[k]


@kernel()
def chances_left(counted: NDArray[np.float64], expected: float, passed: float) -> float:
    """Opportunities still to come, reckoned from how many came so far over how many should have.

    A forecast knows neither frequency caps nor what other campaigns of the seat take, so the ratio of the two is learned: it
    begins at that of the day or episode before, 1 at first, and takes about the root of ``expected`` opportunities to follow.

    Args:
        counted: float64[3], this campaign's `MET`, `PASSED` and `PRIOR`; changed in place.
        expected: Opportunities expected in all.
        passed: Share of the expected traffic that has passed; where it falls, a new budget has begun.

    Returns:
        At least 1.

    """
    slow = math.sqrt(expected)
    if passed < counted[PASSED]:
        counted[PRIOR] = (counted[MET] + slow * counted[PRIOR]) / (expected * counted[PASSED] + slow)
        counted[MET] = 0.0
    counted[PASSED] = passed
    counted[MET] += 1.0
    ratio = (counted[MET] + slow * counted[PRIOR]) / (expected * passed + slow)
    return max(expected * ratio * (1.0 - passed), 1.0)

"""How many opportunities a budget still has to last for, where fewer or more come than were expected."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import Offers
from bidsim.core.kernel import kernel

_SURE = 3.0
"""Standard errors within which a count is as it was expected."""
MET, PASSED, PRIOR = range(3)
"""Places of what is counted, from where a plug-in puts it: opportunities met, the share that had passed, and the ratio
before."""


@kernel()
def expected_payment(offers: Offers, k: int) -> float:
    """What a win was to cost, whether or not its click came: one step of a budget's dual is not to hang on that."""
    return offers.won[k] * offers.price[k] * offers.quality[k] * offers.effect[k]


@kernel()
def _ratio(counted: NDArray[np.float64], expected: float) -> float:
    due = max(expected * counted[PASSED] * counted[PRIOR], 1.0)
    apart = (counted[MET] - due) / due
    # what Poisson's scatter explains is no difference
    beyond = max(abs(apart) - _SURE / math.sqrt(due), 0.0)
    return counted[PRIOR] * (1.0 + math.copysign(beyond, apart))


@kernel()
def chances_left(counted: NDArray[np.float64], expected: float, passed: float) -> float:
    """Opportunities still to come, reckoned from how many came so far over how many should have.

    They differ from the forecast only where chance does not explain the difference.

    A forecast knows neither frequency caps nor what other campaigns of the seat take, so the ratio of the two is
    learned; it begins at that of the day or episode before, 1 at first.

    Args:
        counted: float64[3], this campaign's `MET`, `PASSED` and `PRIOR`; changed in place.
        expected: Opportunities expected in all.
        passed: Share of the expected traffic that has passed; where it falls, a new budget has begun.

    Returns:
        At least 1.

    """
    if passed < counted[PASSED]:
        counted[PRIOR], counted[MET] = _ratio(counted, expected), 0.0
    counted[PASSED] = passed
    counted[MET] += 1.0
    return max(expected * _ratio(counted, expected) * (1.0 - passed), 1.0)

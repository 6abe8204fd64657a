"""Bidding for the most value while each unit of value costs at most so much: the dual of the return-on-spend constraint.

With a target cost c of a unit of value the optimal uniform bid in second price is (1 + 1 / lambda) c v: lambda is the
price of the constraint, moved by multiplicative weights on c v - payment (Feng, Padmanabhan and Wang, WWW 2023,
algorithm 1, in their notation tau = 1 / c).
"""

from __future__ import annotations

import math

from bidsim.core.kernel import kernel

LOWEST, HIGHEST = -3.0, 6.0
"""Range of the log of lambda: bids lie between 1.0025 and 21 times c v."""


@kernel()
def bid_factor(log_price: float) -> float:
    """What to multiply target cost x value with."""
    return 1.0 + math.exp(-log_price)


@kernel()
def moved(log_price: float, step: float, allowed: float, paid: float, scale: float) -> float:
    """The log of lambda after an auction won that may cost ``allowed`` and did cost ``paid``; ``scale`` is a typical cost."""
    change = min(max((allowed - paid) / scale, -1.0), 1.0)
    return min(max(log_price - step * change, LOWEST), HIGHEST)

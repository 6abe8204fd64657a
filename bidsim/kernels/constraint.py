"""Bidding for the most value while each unit of value costs at most so much.

The dual of the return-on-spend constraint.

With a target cost c of a unit of value the optimal uniform bid is a multiple of c v: (1 + 1 / lambda) c v in second
price, lambda being the price of the constraint (Feng, Padmanabhan and Wang, WWW 2023, in their notation tau = 1 / c), c
v itself in first price. Here the log of that multiple is moved, by the slack of each auction won, with steps that fall
as the root of the auctions won (Zinkevich, ICML 2003), so the mean slack falls as one over that root whatever part of
the auctions is won. Below 1 the multiple pays back what was overspent.
"""

from __future__ import annotations

import math

from bidsim.core.kernel import kernel

LOWEST, HIGHEST = -2.0, 3.0
"""Range of the log of the multiple: bids lie between 0.14 and 20 times c v."""
_AT_FIRST = 10.0


@kernel()
def moved(log_multiple: float, step: float, wins: float, slack: float) -> float:
    """The log of the multiple after one more auction won.

    Args:
        log_multiple: Before.
        step: Size of the steps.
        wins: Auctions won so far.
        slack: What the auction might have cost less what it cost, over a typical cost.

    """
    return min(max(log_multiple + step * slack / math.sqrt(wins + _AT_FIRST), LOWEST), HIGHEST)

"""The best bid in a first-price auction against a known or learned distribution of the price to beat.

For a value v the bid b maximises (v - b) F(b). Every candidate b is a line in v with slope F(b), so the best bid for
all values at once is the upper envelope of these lines, and one look-up is a binary search. Distributions are
learned from wins and losses: exactly where the price is told, by Kaplan and Meier (JASA 1958) where losses only say
"more than this", and by isotonic regression (Ayer et al., 1955) where wins and losses are all that is known.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel
from bidsim.kernels.grid import BINS, STEPS, lower_edge

F64 = NDArray[np.float64]
_ROUNDING = 1e-9


@kernel()
def envelope(bids: F64, wins: F64, count: int, start: F64, chosen: F64) -> int:
    """Upper envelope of the lines (v - bid) x win over v, for rising bids and win rates.

    Args:
        bids: float64[count], rising.
        wins: float64[count], probability of winning with each.
        count: How many there are.
        start: float64[count], filled with the value from which on each chosen bid is best, rising.
        chosen: float64[count], filled with those bids.

    Returns:
        How many bids are best for some value.

    """
    kept = 0
    slope = np.float64(0.0)
    for i in range(count):
        if wins[i] <= slope or wins[i] <= 0.0:
            continue
        begin = bids[i]
        while kept > 0:
            # where line i overtakes the last kept one
            last_wins = _win_rate_of(bids, wins, count, chosen[kept - 1])
            begin = (bids[i] * wins[i] - chosen[kept - 1] * last_wins) / (wins[i] - last_wins)
            if begin > start[kept - 1]:
                break
            kept -= 1
            begin = bids[i]
        start[kept] = begin
        chosen[kept] = bids[i]
        slope = wins[i]
        kept += 1
    return kept


@kernel()
def _win_rate_of(bids: F64, wins: F64, count: int, bid: float) -> float:
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) >> 1
        if bids[middle] < bid:
            low = middle + 1
        else:
            high = middle
    return wins[low]


@kernel()
def best_bid(value: float, start: F64, chosen: F64, kept: int) -> float:
    """Bid that `envelope` found for a value; 0 where no bid gains."""
    low, high = 0, kept
    while low < high:
        middle = (low + high) >> 1
        if start[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return chosen[low - 1] if low > 0 else 0.0


@kernel()
def kaplan_meier(seen: F64, censored: F64, share_below: F64) -> None:
    """Estimate the distribution of prices from a histogram of seen prices and one of bids that lost.

    Censoring within a bin is spread over it (the actuarial estimator), so the width of bins costs second order only.

    Args:
        seen: float64[n], prices seen, by bin.
        censored: float64[n], auctions lost with a bid in the bin: the price was that or more.
        share_below: float64[n + 1], filled with the estimated P(price < lower edge of bin i).

    """
    at_risk = 0.0
    for b in range(seen.shape[0]):
        at_risk += seen[b] + censored[b]
    survival = 1.0
    share_below[0] = 0.0
    for b in range(seen.shape[0]):
        exposed = at_risk - 0.5 * censored[b]
        if exposed > 0.0:
            survival *= max(1.0 - seen[b] / exposed, 0.0)
        at_risk -= seen[b] + censored[b]
        share_below[b + 1] = 1.0 - survival


@kernel()
def isotonic_win_rate(won: F64, lost: F64, share_below: F64, weight: F64) -> None:
    """Win rate by bin of the own bid, made to rise by pooling neighbours (pool adjacent violators).

    Bins without a trial take the rate of the next lower bin that has one: nothing is hoped for that was not seen.

    Args:
        won: float64[n], auctions won by bin of the bid.
        lost: float64[n], auctions lost.
        share_below: float64[n + 1], filled with the win rate of a bid in the bin below edge i.
        weight: float64[n + 1], room.

    """
    n = won.shape[0]
    pools = 0
    for b in range(n):
        mass = won[b] + lost[b]
        if mass <= 0.0:
            continue
        rate = won[b] / mass
        while pools > 0 and share_below[pools - 1] >= rate:
            rate = (rate * mass + share_below[pools - 1] * weight[pools - 1]) / (mass + weight[pools - 1])
            mass += weight[pools - 1]
            pools -= 1
        share_below[pools] = rate
        weight[pools] = mass
        pools += 1
    # pools lie in front of the bins they cover, so they can be spread in place from the last bin down
    pool, left = pools - 1, 0.0
    if pool >= 0:
        left = weight[pool]
    for b in range(n - 1, -1, -1):
        share_below[b + 1] = share_below[pool] if pool >= 0 else 0.0
        left -= won[b] + lost[b]
        # counts may have decayed, so what is left of a pool is nothing only as far as sums are rounded
        if pool >= 0 and left < _ROUNDING * weight[pool]:
            pool -= 1
            left = weight[pool] if pool >= 0 else 0.0
    share_below[0] = 0.0


@kernel()
def bids_on_grid(share_below: F64, bids: F64, wins: F64) -> int:
    """Candidate bids at the grid's edges and between them, with their win rates; return how many.

    Args:
        share_below: float64[BINS + 1], P(price < lower edge of bin).
        bids: float64[2 BINS], filled.
        wins: float64[2 BINS], filled.

    """
    count = 0
    for b in range(1, BINS + 1):
        mass = share_below[b] - share_below[b - 1]
        if mass <= 0.0:
            continue
        low = lower_edge(b - 1)
        bids[count] = low * 2.0 ** (0.5 / STEPS)
        wins[count] = share_below[b - 1] + 0.5 * mass
        bids[count + 1] = math.ceil(lower_edge(b))
        wins[count + 1] = share_below[b]
        count += 2
    return count

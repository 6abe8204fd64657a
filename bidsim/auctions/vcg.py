"""Vickrey-Clarke-Groves over positions.

Each pays the clicks' worth that the others lose by its being there (Clarke 1971).

The seller is one of the others: to it a position is worth the bidder's reserve, so that a position kept empty, or
filled below that reserve, counts as much (the reserve as a bid of the seller's; Myerson 1981).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import CLEAR_SIGNATURE, AuctionFormat, Book, Outcome
from bidsim.core.kernel import kernel
from bidsim.core.units import price_of
from bidsim.kernels.minima import minima_by_score
from bidsim.kernels.ranking import NOBODY, next_by_score, rank_by_score, score


@kernel()
def _worth_to_others(book: Book, n: int, slots: int, without: int, present: bool) -> float:
    """Sum of score x effect over all but ``without``, in the best order, with or without it in the way.

    The seller bids its reserve.
    """
    total, above, s = 0.0, NOBODY, 0
    reserve = book.reserve[without] * book.quality[without]
    while s < slots:
        k = next_by_score(book, n, above) if s == 0 or above >= 0 else NOBODY
        above = k
        if k == without and k >= 0:
            s += 1 if present else 0
            continue
        total += max(score(book, k) if k >= 0 else 0.0, reserve) * book.effect[s]
        s += 1
    return total


@kernel(CLEAR_SIGNATURE)
def clear(book: Book, n: int, slots: int, params: NDArray[np.float64], outcome: Outcome) -> None:
    """Sell all positions; the price per click is the externality over the own expected clicks."""
    rank_by_score(book, n, slots, outcome)
    for s in range(slots):
        k = outcome.winner[s]
        outcome.payment[s] = 0
        if k >= 0:
            lost = _worth_to_others(book, n, slots, k, False) - _worth_to_others(book, n, slots, k, True)
            price = price_of(lost / (book.effect[s] * book.quality[k]))
            outcome.payment[s] = min(max(price, book.reserve[k]), book.bid[k])


class VickreyClarkeGroves(AuctionFormat):
    """Bidding one's value per click is dominant."""

    joint = True
    truthful = True
    minima = minima_by_score
    charges = ("click", "impression")
    clear = clear

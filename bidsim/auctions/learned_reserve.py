"""Second price with a reserve learned from bids: the empirical monopoly price (Myerson 1981.

Cole and Roughgarden, STOC 2014).

Every so many auctions the reserve becomes the r that maximises r (1 - F(r)), F being the distribution of all bids so
far on a grid of 2^(1/16) steps. A bidder's own bids move its reserve: with few bidders that is manipulable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bidsim.core.contracts import CLEAR_SIGNATURE, OUT_OF_REACH, AuctionFormat, Book, Outcome
from bidsim.core.kernel import kernel
from bidsim.core.settings import Settings
from bidsim.core.units import price_of
from bidsim.kernels.grid import BINS, bin_of, lower_edge
from bidsim.kernels.minima import minima_by_bid
from bidsim.kernels.ranking import best_and_next

if TYPE_CHECKING:
    from collections.abc import Sequence

_RESERVE, _EVERY, _SEEN, _FIRST = range(4)


class LearnedReserveParams(Settings):
    """How often the reserve is set anew."""

    every: Annotated[int, Field(ge=1, le=1_000_000_000)] = 2000
    """Auctions between two settings of the reserve."""


@kernel(CLEAR_SIGNATURE)
def clear(book: Book, n: int, slots: int, params: NDArray[np.float64], outcome: Outcome) -> None:
    """Sell one slot by second price, the learned reserve raising everyone's own."""
    for k in range(n):
        book.reserve[k] = max(book.reserve[k], int(params[_RESERVE]))
    first, below = best_and_next(book, n)
    outcome.winner[0] = first
    outcome.payment[0] = 0
    if first >= 0:
        outcome.payment[0] = max(book.reserve[first], below)


@kernel(CLEAR_SIGNATURE)
def learn(book: Book, n: int, slots: int, params: NDArray[np.float64], outcome: Outcome) -> None:
    """Count the bids; from time to time take the price that would have earned most from one bidder."""
    for k in range(n):
        if 0 < book.bid[k] < OUT_OF_REACH:
            params[_FIRST + bin_of(book.bid[k])] += 1.0
    params[_SEEN] += 1.0
    if params[_SEEN] % params[_EVERY] == 0.0:
        above, best, price = 0.0, 0.0, 0.0
        for b in range(BINS - 1, -1, -1):
            above += params[_FIRST + b]
            if lower_edge(b) * above > best:
                best, price = lower_edge(b) * above, lower_edge(b)
        params[_RESERVE] = float(price_of(price))


class LearnedReserve(AuctionFormat):
    """Optimal in the long run for alike, independent bidders who do not strategise over time."""

    Params = LearnedReserveParams
    truthful = True
    clear = clear
    minima = minima_by_bid
    learn = learn

    @staticmethod
    def numbers(params: LearnedReserveParams) -> Sequence[float]:
        """Give the interval, and room for the counts."""
        return (0.0, float(params.every), 0.0, *([0.0] * BINS))

"""First price: the highest bid wins and pays what it bid (Vickrey 1961)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import CLEAR_SIGNATURE, AuctionFormat, Book, Outcome
from bidsim.core.kernel import kernel
from bidsim.kernels.minima import minima_by_bid
from bidsim.kernels.ranking import best_and_next


@kernel(CLEAR_SIGNATURE)
def clear(book: Book, n: int, slots: int, params: NDArray[np.float64], outcome: Outcome) -> None:
    """Sell one slot to the highest admissible bid, at that bid."""
    first, _ = best_and_next(book, n)
    outcome.winner[0] = first
    outcome.payment[0] = book.bid[first] if first >= 0 else 0


class FirstPrice(AuctionFormat):
    """Winner pays its own bid; bidders gain by shading."""

    first_price = True

    clear = clear
    minima = minima_by_bid

"""First price: the highest bid wins and pays what it bid (Vickrey 1961)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import CLEAR_SIGNATURE, AuctionFormat, Book, Outcome
from bidsim.core.kernel import kernel
from bidsim.kernels.ranking import fill_minimum, top_two


@kernel(CLEAR_SIGNATURE)
def clear(book: Book, n: int, slots: int, params: NDArray[np.float64], outcome: Outcome) -> None:
    """Sell one slot to the highest admissible bid, at that bid."""
    first, second = top_two(book, n)
    outcome.winner[0] = first
    outcome.payment[0] = book.bid[first] if first >= 0 else 0
    fill_minimum(book, n, first, second, outcome)


class FirstPrice(AuctionFormat):
    """Winner pays its own bid; bidders gain by shading."""

    clear = clear

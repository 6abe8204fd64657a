"""Second price with reserve: the highest bid wins and pays the next one or the reserve (Vickrey 1961)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import CLEAR_SIGNATURE, AuctionFormat, Book, Outcome
from bidsim.core.kernel import kernel
from bidsim.kernels.ranking import fill_minimum, top_two


@kernel(CLEAR_SIGNATURE)
def clear(book: Book, n: int, slots: int, params: NDArray[np.float64], outcome: Outcome) -> None:
    """Sell one slot to the highest admissible bid, at the larger of its reserve and the second bid."""
    first, second = top_two(book, n)
    outcome.winner[0] = first
    outcome.payment[0] = 0
    if first >= 0:
        outcome.payment[0] = max(book.reserve[first], book.bid[second] if second >= 0 else 0)
    fill_minimum(book, n, first, second, outcome)


class SecondPrice(AuctionFormat):
    """Winner pays the lowest bid that would still have won; bidding one's value is dominant."""

    clear = clear

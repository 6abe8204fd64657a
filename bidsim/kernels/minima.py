"""The bid that each bidder would have needed, as kernels that auction formats share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import CLEAR_SIGNATURE, Book, Outcome
from bidsim.core.kernel import kernel
from bidsim.kernels.ranking import fill_minima_by_bid, fill_minima_by_score


@kernel(CLEAR_SIGNATURE)
def minima_by_bid(book: Book, n: int, slots: int, params: NDArray[np.float64], outcome: Outcome) -> None:
    """Fill ``outcome.minimum`` where positions go to the highest bids."""
    fill_minima_by_bid(book, n, slots, outcome)


@kernel(CLEAR_SIGNATURE)
def minima_by_score(book: Book, n: int, slots: int, params: NDArray[np.float64], outcome: Outcome) -> None:
    """Fill ``outcome.minimum`` where positions go to the highest bids times quality."""
    fill_minima_by_score(book, n, slots, outcome)

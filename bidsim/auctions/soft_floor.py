"""Soft floor: second price above it, first price between the reserve and it (Zeithammer, Marketing Science 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import CLEAR_SIGNATURE, AuctionFormat, Book, Outcome
from bidsim.core.kernel import kernel
from bidsim.core.settings import NonNegative, Settings
from bidsim.core.units import cpm_to_nanos
from bidsim.kernels.minima import minima_by_bid
from bidsim.kernels.ranking import best_and_next

if TYPE_CHECKING:
    from collections.abc import Sequence


class SoftFloorParams(Settings):
    """Where the rule changes."""

    soft_floor_cpm: NonNegative = 2.0
    """Winning bids below it pay themselves; above it they pay the next bid, but no less than it."""


@kernel(CLEAR_SIGNATURE)
def clear(book: Book, n: int, slots: int, params: NDArray[np.float64], outcome: Outcome) -> None:
    """Sell one slot to the highest admissible bid, by the rule on its side of the soft floor."""
    first, below = best_and_next(book, n)
    outcome.winner[0] = first
    outcome.payment[0] = 0
    if first >= 0:
        soft = int(params[0])
        if book.bid[first] < soft:
            outcome.payment[0] = book.bid[first]
        else:
            outcome.payment[0] = max(soft, book.reserve[first], below)


class SoftFloor(AuctionFormat):
    """Bidders below the soft floor gain by shading; in equilibrium the exchange gains nothing by it."""

    Params = SoftFloorParams
    clear = clear
    minima = minima_by_bid

    @staticmethod
    def numbers(params: SoftFloorParams) -> Sequence[float]:
        """Give the soft floor in nanos."""
        return (cpm_to_nanos(params.soft_floor_cpm),)

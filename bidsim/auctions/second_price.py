"""Second price with reserve: the highest bid wins and pays the next one or the reserve (Vickrey 1961).

Reserves may differ between bidders (``auction.reserves``): bids below their own reserve are dropped first, and the
highest survivor pays the larger of its own reserve and the next surviving bid, the *eager* second-price auction
(Paes Leme, Pal and Vassilvitskii, WWW 2016).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bidsim.core.contracts import CLEAR_SIGNATURE, AuctionFormat, Book, Outcome
from bidsim.core.kernel import kernel
from bidsim.core.settings import Number, Settings
from bidsim.core.units import cpm_to_nanos
from bidsim.kernels.minima import minima_by_bid
from bidsim.kernels.ranking import best_and_next

if TYPE_CHECKING:
    from collections.abc import Sequence


class SecondPriceParams(Settings):
    """The exchange's increment."""

    increment_cpm: Annotated[Number, Field(ge=0.0, le=1e6)] = 0.0
    """Added to the next bid, never above the winner's own: "second price plus" of OpenRTB (``at = 2``)."""


@kernel(CLEAR_SIGNATURE)
def clear(book: Book, n: int, slots: int, params: NDArray[np.float64], outcome: Outcome) -> None:
    """Sell one slot to the highest admissible bid.

    The price is the larger of its reserve and the second bid with the increment.
    """
    first, below = best_and_next(book, n)
    outcome.winner[0] = first
    outcome.payment[0] = 0
    if first >= 0:
        # a lone bidder pays the reserve; the increment is added to a bid only
        plus = min(below + int(params[0]), book.bid[first]) if below > 0 else 0
        outcome.payment[0] = max(book.reserve[first], plus)


class SecondPrice(AuctionFormat):
    """Winner pays the lowest bid that would still have won; bidding one's value is dominant."""

    Params = SecondPriceParams
    truthful = True
    clear = clear
    minima = minima_by_bid

    @staticmethod
    def numbers(params: SecondPriceParams) -> Sequence[float]:
        """Give the increment in nanos."""
        return (cpm_to_nanos(params.increment_cpm),)

"""An auction format of one's own: the winner pays a blend of its own bid and the next one."""

from pydantic import Field

from bidsim.core.contracts import CLEAR_SIGNATURE, AuctionFormat
from bidsim.core.kernel import kernel
from bidsim.core.settings import Settings
from bidsim.core.units import price_of
from bidsim.kernels.minima import minima_by_bid
from bidsim.kernels.ranking import best_and_next


class BlendedParams(Settings):
    """What a scenario may say about the format."""

    own: float = Field(0.5, ge=0, le=1)
    """Weight of the winner's own bid: 0 is second price, 1 is first price."""


@kernel(CLEAR_SIGNATURE)
def clear(book, n, slots, params, outcome):
    """Sell one slot to the highest admissible bid."""
    first, below = best_and_next(book, n)
    outcome.winner[0] = first
    outcome.payment[0] = 0
    if first >= 0:
        least = max(book.reserve[first], below)
        outcome.payment[0] = least + price_of(params[0] * (book.bid[first] - least))


class Blended(AuctionFormat):
    """Between first and second price, so bidders should shade, but by less."""

    Params = BlendedParams
    clear = clear
    minima = minima_by_bid

    @staticmethod
    def numbers(params):
        """Give the kernel its numbers."""
        return (params.own,)

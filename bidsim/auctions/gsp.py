"""Generalised second price: positions go by bid times quality.

Each pays what keeps its place (Edelman, Ostrovsky and Schwarz, AER 2007).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import CLEAR_SIGNATURE, AuctionFormat, Book, Outcome
from bidsim.core.kernel import kernel
from bidsim.core.units import price_of
from bidsim.kernels.minima import minima_by_score
from bidsim.kernels.ranking import rank_by_score, score


@kernel(CLEAR_SIGNATURE)
def clear(book: Book, n: int, slots: int, params: NDArray[np.float64], outcome: Outcome) -> None:
    """Sell all positions; the price per click is the next score over the own quality."""
    loser = rank_by_score(book, n, slots, outcome)
    for s in range(slots):
        k = outcome.winner[s]
        outcome.payment[s] = 0
        if k >= 0:
            below = outcome.winner[s + 1] if s + 1 < slots else loser
            price = price_of(score(book, below) / book.quality[k]) if below >= 0 else 0
            outcome.payment[s] = min(max(price, book.reserve[k]), book.bid[k])


class GeneralisedSecondPrice(AuctionFormat):
    """Truthful bidding is not an equilibrium; symmetric equilibria earn at least what VCG does (Varian 2007)."""

    joint = True
    minima = minima_by_score
    charges = ("click", "impression")
    clear = clear

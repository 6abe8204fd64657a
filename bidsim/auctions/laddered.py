"""Laddered pricing: the price per click is a weighted mean of the scores below.

Aggarwal, Goel and Motwani, EC 2006, theorem 1.

p_i = sum over j >= i of (x_j - x_{j+1}) / x_i * q_{j+1} b_{j+1} / q_i, x_j being the view rate of position j. A rung
below the own reserve costs the reserve, for no lower bid would have won it (Myerson 1981).
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
    """Sell all positions, each at its rung of the ladder."""
    loser = rank_by_score(book, n, slots, outcome)
    for s in range(slots):
        k = outcome.winner[s]
        outcome.payment[s] = 0
        if k >= 0:
            price = 0.0
            for j in range(s, slots):
                below = outcome.winner[j + 1] if j + 1 < slots else loser
                effect_below = book.effect[j + 1] if j + 1 < slots else 0.0
                rung = score(book, below) / book.quality[k] if below >= 0 else 0.0
                price += (book.effect[j] - effect_below) / book.effect[s] * max(rung, float(book.reserve[k]))
            outcome.payment[s] = min(max(price_of(price), book.reserve[k]), book.bid[k])


class Laddered(AuctionFormat):
    """The one truthful price for the ranking by bid times quality; equals VCG where view rates are separable."""

    joint = True
    truthful = True
    minima = minima_by_score
    charges = ("click", "impression")
    clear = clear

"""The best admissible bids of a book, by bid or by score, and the bid that each bidder would have needed."""

from __future__ import annotations

from typing import Any

import numpy as np

from bidsim.core.contracts import Book, Outcome
from bidsim.core.kernel import kernel
from bidsim.core.units import HIGHEST_PRICE, least_price_of

NOBODY = -1


@kernel()
def outranks(book: Book, a: int, b: int) -> bool:
    """Whether entry ``a`` stands above entry ``b``: the higher bid, then the higher dice."""
    if book.bid[a] != book.bid[b]:
        return book.bid[a] > book.bid[b]
    return book.tie[a] > book.tie[b]


@kernel()
def admissible(book: Book, k: int) -> bool:
    """Whether entry ``k`` bids at all and reaches its reserve."""
    return book.bid[k] > 0 and book.bid[k] >= book.reserve[k]


@kernel()
def _first_of_equals(book: Book, n: int, top: int) -> int:
    first = NOBODY
    for k in range(n):
        if admissible(book, k) and book.bid[k] == top and (first < 0 or book.tie[k] > book.tie[first]):
            first = k
    return first


@kernel()
def best_and_next(book: Book, n: int) -> tuple[int, int]:
    """Entry of the best admissible bid, -1 where there is none, and the next admissible bid, 0 where there is none.

    Bids are compared without branches, which random bids would mispredict; only if the best are equal are the dice
    looked at.
    """
    bids, reserves = book.bid, book.reserve
    top: Any = np.int64(0)
    below: Any = np.int64(0)
    first: Any = np.int64(NOBODY)
    # two at a time, so that fewer steps wait for one another; unsigned places need no check for negative ones
    for half in range(n >> 1):
        k = np.uint64(2 * half)
        one = bids[k] * np.int64(bids[k] >= reserves[k])
        k += np.uint64(1)
        other = bids[k] * np.int64(bids[k] >= reserves[k])
        high, low = max(one, other), min(one, other)
        first += (2 * half + np.int64(other > one) - first) * np.int64(high > top)
        below = max(below, low, min(high, top))
        top = max(top, high)
    if n & 1:
        k = np.uint64(n - 1)
        one = bids[k] * np.int64(bids[k] >= reserves[k])
        first += (n - 1 - first) * np.int64(one > top)
        below = max(below, min(one, top))
        top = max(top, one)
    if top > 0 and top == below:
        first = _first_of_equals(book, n, top)
    return first, below


@kernel()
def fill_minima_by_bid(book: Book, n: int, slots: int, outcome: Outcome) -> None:
    """Lowest bid with which each entry would have won any position, where they go by bid.

    The others' bids are fixed.
    """
    reserves, ties, bids, minimum = book.reserve, book.tie, book.bid, outcome.minimum
    last = outcome.winner[slots - 1]
    for k in range(n):
        minimum[k] = max(reserves[k], 1)
    if last >= 0:
        beat, dice = bids[last], ties[last]
        for k in range(n):
            minimum[k] = max(minimum[k], beat + (0 if ties[k] > dice else 1))
    loser = NOBODY
    for k in range(n):
        if admissible(book, k) and (loser < 0 or outranks(book, k, loser)) and not _holds(outcome, slots, k):
            loser = k
    for s in range(slots):
        k = outcome.winner[s]
        if k >= 0:
            minimum[k] = max(reserves[k], 1)
            if loser >= 0:
                minimum[k] = max(minimum[k], bids[loser] + (0 if ties[k] > ties[loser] else 1))


@kernel()
def _holds(outcome: Outcome, slots: int, k: int) -> bool:
    found = False
    for s in range(slots):
        found |= outcome.winner[s] == k
    return found


@kernel()
def score(book: Book, k: int) -> float:
    """Bid per click times expected clicks: what positions are ranked by."""
    return book.bid[k] * book.quality[k]


@kernel()
def scores_above(book: Book, a: int, b: int) -> bool:
    """Whether entry ``a`` stands above entry ``b``: the higher score, then the higher dice."""
    mine, other = score(book, a), score(book, b)
    if mine != other:
        return mine > other
    return book.tie[a] > book.tie[b]


@kernel()
def next_by_score(book: Book, n: int, above: int) -> int:
    """Best admissible entry by score below entry ``above``, or of all where ``above`` is -1; -1 where there is none."""
    best = NOBODY
    for k in range(n):
        if (
            k != above
            and admissible(book, k)
            and (above < 0 or scores_above(book, above, k))
            and (best < 0 or scores_above(book, k, best))
        ):
            best = k
    return best


@kernel()
def rank_by_score(book: Book, n: int, slots: int, outcome: Outcome) -> int:
    """Write the winners of ``slots`` positions, -1 where unsold, and return the best loser, -1 where there is none."""
    above = NOBODY
    sold_out = False
    for s in range(slots):
        found = NOBODY if sold_out else next_by_score(book, n, above)
        outcome.winner[s] = found
        sold_out = found < 0
        above = found
    return NOBODY if sold_out else next_by_score(book, n, above)


@kernel()
def fill_minima_by_score(book: Book, n: int, slots: int, outcome: Outcome) -> None:
    """Lowest bid with which each entry would have won any position, where they go by score.

    The others' bids are fixed.
    """
    last = outcome.winner[slots - 1]
    loser = next_by_score(book, n, last) if last >= 0 else NOBODY
    for k in range(n):
        rival = last
        for s in range(slots):
            if outcome.winner[s] == k:
                rival = loser
        need = max(book.reserve[k], 1)
        if rival >= 0:
            own = book.bid[k]
            book.bid[k] = max(least_price_of(score(book, rival) / book.quality[k]), 1)
            # where even the highest price is not enough, no bid is
            while book.bid[k] < HIGHEST_PRICE and not scores_above(book, k, rival):
                book.bid[k] += 1
            while book.bid[k] > 1:
                book.bid[k] -= 1
                if not scores_above(book, k, rival):
                    book.bid[k] += 1
                    break
            need = max(need, book.bid[k])
            book.bid[k] = own
        outcome.minimum[k] = need

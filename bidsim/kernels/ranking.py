"""The two best admissible bids of a book, and the bid that each bidder would have needed."""

from __future__ import annotations

from bidsim.core.contracts import Book, Outcome
from bidsim.core.kernel import kernel


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
def top_two(book: Book, n: int) -> tuple[int, int]:
    """Entries of the best and second-best admissible bid, -1 where there is none."""
    first, second = -1, -1
    for k in range(n):
        if admissible(book, k):
            if first < 0 or outranks(book, k, first):
                first, second = k, first
            elif second < 0 or outranks(book, k, second):
                second = k
    return first, second


@kernel()
def fill_minimum(book: Book, n: int, first: int, second: int, outcome: Outcome) -> None:
    """Lowest bid with which each entry would have won the only slot, the others' bids fixed."""
    for k in range(n):
        rival = second if k == first else first
        need = max(book.reserve[k], 1)
        if rival >= 0:
            need = max(need, book.bid[rival] + (0 if book.tie[k] > book.tie[rival] else 1))
        outcome.minimum[k] = need

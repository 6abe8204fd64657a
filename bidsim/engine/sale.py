"""What every auction format must keep to, checked in each auction: who can win, and what a position can cost.

Budgets rest on it: bids are cut to what is left, so a payment above the bid would overspend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bidsim.core.errors import BidsimError
from bidsim.core.kernel import kernel
from bidsim.engine.tables import State

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COLUMNS = 7
_KIND, _REQUEST, _POSITION, _WINNER, _PAYMENT, _LOW, _HIGH = range(_COLUMNS)
_STRANGER, _NO_BID, _TWICE, _PAYMENT_OUTSIDE = 1, 2, 3, 4


def empty_breach() -> NDArray[np.int64]:
    """Nothing is wrong so far."""
    return np.zeros(_COLUMNS, np.int64)


@kernel(inner=True)
def check_sale(sim: State, request: int, n: int) -> None:
    """Note the first position that was sold as no format may, and leave such positions unsold; ``n`` entries bid."""
    outcome, book = sim.world.scratch.outcome, sim.world.scratch.book
    for s in range(sim.world.rules.positions):
        e = outcome.winner[s]
        if e < 0:
            continue
        low, high, kind = 0, n - 1, 0
        if e >= n:
            kind = _STRANGER
        elif book.bid[e] <= 0:
            kind = _NO_BID
        else:
            for before in range(s):
                if outcome.winner[before] == e:
                    kind = _TWICE
            if kind == 0 and not book.reserve[e] <= outcome.payment[s] <= book.bid[e]:
                low, high, kind = book.reserve[e], book.bid[e], _PAYMENT_OUTSIDE
        if kind:
            breach = sim.world.counters.breach
            if breach[_KIND] == 0:
                breach[_KIND], breach[_REQUEST], breach[_POSITION], breach[_WINNER] = kind, request, s, e
                breach[_PAYMENT], breach[_LOW], breach[_HIGH] = outcome.payment[s], low, high
            outcome.winner[s] = -1


def raise_breach(breach: NDArray[np.int64], name: str) -> None:
    """Say what a format did that none may.

    Args:
        breach: What `check_sale` noted, int64[7].
        name: The format.

    Raises:
        BidsimError: Something was noted.

    """
    kind, request, position, winner, payment, low, high = breach.tolist()
    if kind == 0:
        return
    paid, reserve, bid = (f"{nanos:,} nanos" for nanos in (payment, low, high))
    told = {
        _STRANGER: f"entry {winner} won, and the book's last is {high}",
        _NO_BID: f"entry {winner} won, whose bid is 0: it does not bid",
        _TWICE: f"entry {winner} won, which holds a position above",
        _PAYMENT_OUTSIDE: f"was sold for {paid} to a bid of {bid} whose reserve is {reserve}; a payment lies between "
        "reserve and bid",
    }[kind]
    raise BidsimError(f"auction format {name!r}: request {request:,}, position {position}: {told}")

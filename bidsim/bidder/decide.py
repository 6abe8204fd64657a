"""One decision: from a request's visible fields to the bids that are sent. The loop runs this very code.

`consider` finds who may bid; then whoever has the request (the simulated world, or a server) writes to `Port` what it
declares; `bid` does the rest. `decide` is both, for a port that is written already.
"""

from __future__ import annotations

from bidsim.bidder.bidding import fill_offers, hold_internal_auctions, place_bids, predict, sit_out
from bidsim.bidder.eligibility import find_eligible
from bidsim.bidder.faults import change_budgets
from bidsim.bidder.memory import (
    forget_exposures,
    forget_purchases,
    meet,
    recall_exposures,
    recall_purchases,
)
from bidsim.bidder.notices import send_bids
from bidsim.bidder.rows import fill_rows
from bidsim.bidder.tables import Bidder
from bidsim.core.kernel import kernel
from bidsim.core.requests import Requests


@kernel(inner=True)
def consider(bidder: Bidder, requests: Requests, i: int, watch: bool) -> tuple[int, int]:
    """Recall the user of request ``i`` and find the campaigns that may bid; return as `find_eligible`."""
    memory, desk = bidder.memory, bidder.desk
    at = meet(memory, requests.user[i])
    desk.user[0] = at
    recall_exposures(memory, desk.exposure_of, at, requests.time[i], bidder.campaigns.cap_window)
    if bidder.rules.faults:
        change_budgets(bidder, requests.time[i])
    return find_eligible(bidder, requests, i, watch)


@kernel(inner=True)
def see(bidder: Bidder, requests: Requests, i: int, watched: int, whole: bool) -> None:
    """Write what models see of the campaigns that are considered."""
    if bidder.rules.remembers:
        recall_purchases(bidder.memory, bidder.desk.user[0], bidder.port.bought)
    fill_rows(bidder, requests, i, watched, whole)


@kernel(inner=True)
def judge(bidder: Bidder, time: int, count: int, watched: int) -> None:
    """Predict rates and values: of those that bid, then of those that are only watched."""
    predict(bidder, time, 0, count)
    predict(bidder, time, count, watched)


@kernel(inner=True)
def bid(bidder: Bidder, requests: Requests, i: int, count: int, watched: int, nothing: bool) -> None:
    """Turn values into the bids that are sent.

    Their money is reserved where others draw on it before they are answered.
    """
    fill_offers(bidder, requests, i, watched)
    place_bids(bidder, requests, i, count, nothing)
    sit_out(bidder, count, watched)
    hold_internal_auctions(bidder, count)
    if bidder.rules.late or bidder.rules.shared:
        send_bids(bidder, requests, i, count)


@kernel(inner=True)
def finish(bidder: Bidder) -> None:
    """Clear the desk of what was recalled of the user."""
    forget_exposures(bidder.memory, bidder.desk.exposure_of, bidder.desk.user[0])
    if bidder.rules.remembers:
        forget_purchases(bidder.memory, bidder.port.bought, bidder.desk.user[0])


@kernel()
def decide(bidder: Bidder, requests: Requests, i: int) -> int:
    """Decide on request ``i``, whose prices stand in `Port`; return how many rows of ``desk.offers`` are campaigns.

    Bids stand in ``desk.offers.bid``, with their reasons in ``desk.reason``; call `bidder.notices.hear` when the
    answers are there.
    """
    count, watched = consider(bidder, requests, i, False)
    see(bidder, requests, i, watched, False)
    judge(bidder, requests.time[i], count, watched)
    bid(bidder, requests, i, count, watched, False)
    return count

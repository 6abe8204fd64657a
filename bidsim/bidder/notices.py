"""Bids that are sent, and the notices that answer them: money reserved, committed and released, impressions remembered.

Where notices come in the same request, `hear` takes them from the rows of the offers. Where they come late, a bid is in
flight under its id until `commit` (a win notice, which bills it), `release` (a loss notice) or `expire` (its age); each
counts once, and a notice for a bid that is not in flight changes nothing.
"""

from __future__ import annotations

from bidsim.bidder.bidding import end_of_group, spent_so_far
from bidsim.bidder.eligibility import budget_day
from bidsim.bidder.flight import BID, EXPIRED, OLDEST, UNKNOWN, find_bid, land, lay_out, send_bid
from bidsim.bidder.ledger import affordable, hold, spend
from bidsim.bidder.memory import expose, find_exposure, meet
from bidsim.bidder.tables import NOTICES, PACER, POLICY, SETTLES, Bidder
from bidsim.core.contracts import call_offers
from bidsim.core.kernel import kernel
from bidsim.core.reasons import BUDGET, INTERNAL, TIMEOUT
from bidsim.core.requests import Requests
from bidsim.core.units import NEVER


@kernel(inner=True)
def bid_id(bidder: Bidder, request: int, campaign: int) -> int:
    """Id of the bid of a campaign for a request."""
    return request * bidder.campaigns.id.shape[0] + campaign


@kernel(inner=True)
def send_bids(bidder: Bidder, requests: Requests, i: int, count: int) -> None:
    """Reserve the money of all bids that go out, one after the other; shared budgets cut those that come later."""
    desk, offers, day = bidder.desk, bidder.desk.offers, budget_day(bidder, requests, i)
    for k in range(count):
        desk.held[k] = 0
        if offers.bid[k] <= 0 or desk.reason[k] == INTERNAL:
            continue
        c = offers.campaign[k]
        if bidder.rules.shared:
            offers.bid[k] = min(offers.bid[k], affordable(bidder.ledger, c, day))
        if offers.bid[k] > 0 and bidder.rules.late:
            sent = bid_id(bidder, requests.number[i], c)
            if send_bid(bidder.flight, sent, offers, k, requests.user[i], day, requests.time[i]) < 0:
                offers.bid[k] = 0
        if offers.bid[k] <= 0:
            offers.bid[k] = 0
            desk.reason[k] = BUDGET
            continue
        desk.held[k] = offers.bid[k]
        hold(bidder.ledger, c, desk.held[k], day)


@kernel(inner=True)
def hear(bidder: Bidder, requests: Requests, i: int, count: int) -> None:
    """Take the notices of request ``i`` from the rows of the offers.

    What was won, what it cost, what would have won.
    """
    desk, offers = bidder.desk, bidder.desk.offers
    day = budget_day(bidder, requests, i)
    for k in range(count):
        c = offers.campaign[k]
        if bidder.rules.shared and desk.held[k] > 0:
            hold(bidder.ledger, c, -desk.held[k], day)
        if offers.won[k]:
            spend(bidder.ledger, c, offers.payment[k], day)
            if bidder.rules.users:
                entry = expose(bidder.memory, desk.user[0], desk.exposure_of[c], c, requests.time[i])
                desk.exposure_of[c] = entry
        if bidder.rules.hears:
            _mask(bidder, k, desk.reason[k] in (TIMEOUT, INTERNAL))
    if bidder.rules.hears:
        _tell_all(bidder, count)


@kernel(inner=True)
def _mask(bidder: Bidder, k: int, unseen: bool) -> None:
    """Leave of row ``k`` what a notice reveals."""
    offers = bidder.desk.offers
    offers.spent[k] = spent_so_far(bidder, offers.campaign[k])
    if unseen:
        offers.bid[k] = 0  # the exchange never saw it, so nothing was learned about its price
    if not bidder.rules.tells or offers.bid[k] <= 0:
        offers.minimum[k] = -1


@kernel(inner=True)
def _tell(bidder: Bidder, g: int, lo: int, hi: int) -> None:
    """Tell the policy and the pacer of group ``g`` about rows ``lo`` to ``hi``."""
    offers, group = bidder.desk.offers, bidder.groups[g]
    if group[NOTICES]:
        call_offers(bidder.calls.notice[group[POLICY]], (offers, lo, hi, bidder.policy_floats, bidder.policy_ints))
    if group[SETTLES]:
        call_offers(bidder.calls.settle[group[PACER]], (offers, lo, hi, bidder.pacer_floats, bidder.pacer_ints))


@kernel(inner=True)
def _tell_all(bidder: Bidder, count: int) -> None:
    """Tell policies and pacers what the notices of a request reveal, group by group."""
    lo = 0
    for g in range(bidder.groups.shape[0]):
        hi = end_of_group(bidder, g, lo, count)
        if hi > lo:
            _tell(bidder, g, lo, hi)
        lo = hi


@kernel(inner=True)
def hear_unsent(bidder: Bidder, count: int) -> None:
    """Tell policies and pacers at once of rows for which no bid went out."""
    for k in range(count):
        if bidder.desk.held[k] == 0:
            _mask(bidder, k, True)
            if bidder.rules.hears:
                _tell(bidder, bidder.campaigns.group[bidder.desk.offers.campaign[k]], k, k + 1)


@kernel(inner=True)
def _answer(bidder: Bidder, entry: int, won: bool, payment: int) -> None:
    """Settle a bid in flight whose offer lies in the first row."""
    row = bidder.flight.bids[entry]
    campaign, day, reserved = row[BID.campaign], row[BID.day], row[BID.bid]
    land(bidder.flight, entry)
    hold(bidder.ledger, campaign, -reserved, day)
    if won:
        spend(bidder.ledger, campaign, payment, day)
    if bidder.rules.hears:
        _mask(bidder, 0, False)
        _tell(bidder, bidder.campaigns.group[campaign], 0, 1)


@kernel(inner=True)
def commit(bidder: Bidder, bid: int, payment: int, price: int, minimum: int, effect: float, time: int) -> bool:
    """Hear that a bid won: bill it and remember the impression.

    Args:
        bidder: The bidder.
        bid: Id of the bid.
        payment: Nanos that are billed: nothing where a click is charged and none came. More than the bid is refused.
        price: Nanos for what is charged for, in the unit of the bid.
        minimum: Lowest bid that would have won, -1 where that is not told.
        effect: View rate of the position relative to the first.
        time: When the notice comes.

    Returns:
        Whether the bid was in flight and the payment within it; if not, nothing changes.

    """
    entry, offers = find_bid(bidder.flight, bid), bidder.desk.offers
    if entry < 0 or not 0 <= payment <= bidder.flight.bids[entry, BID.bid]:
        bidder.flight.counts[UNKNOWN] += 1
        return False
    lay_out(bidder.flight, entry, offers)
    offers.won[0], offers.payment[0], offers.price[0] = 1, payment, price
    offers.minimum[0], offers.effect[0] = minimum, effect
    if bidder.rules.users:
        memory, c = bidder.memory, offers.campaign[0]
        at = meet(memory, bidder.flight.bids[entry, BID.user])
        expose(memory, at, find_exposure(memory, at, c, time, bidder.campaigns.cap_window), c, time)
    _answer(bidder, entry, True, payment)
    return True


@kernel(inner=True)
def release(bidder: Bidder, bid: int, minimum: int) -> bool:
    """Hear that a bid lost, and with ``minimum`` what would have won (-1 where that is not told).

    Return as `commit`.
    """
    entry = find_bid(bidder.flight, bid)
    if entry < 0:
        bidder.flight.counts[UNKNOWN] += 1
        return False
    lay_out(bidder.flight, entry, bidder.desk.offers)
    bidder.desk.offers.minimum[0] = minimum
    _answer(bidder, entry, False, 0)
    return True


@kernel(inner=True)
def next_expiry(bidder: Bidder) -> int:
    """When the oldest bid in flight is too old; `NEVER` where none is in flight."""
    oldest = bidder.flight.used[OLDEST]
    return bidder.flight.bids[oldest, BID.sent] + bidder.rules.expire if oldest >= 0 else NEVER


@kernel(inner=True)
def expire(bidder: Bidder) -> None:
    """Release the oldest bid in flight, of which nothing was heard."""
    entry = bidder.flight.used[OLDEST]
    bidder.flight.counts[EXPIRED] += 1
    lay_out(bidder.flight, entry, bidder.desk.offers)
    _answer(bidder, entry, False, 0)

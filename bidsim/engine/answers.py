"""The exchange's answers to bids: in the same request, or by mail that comes late or never."""

from __future__ import annotations

from bidsim.bidder.memory import memory_has_room
from bidsim.bidder.notices import bid_id, commit, expire, hear, hear_unsent, next_expiry, release
from bidsim.core.kernel import kernel
from bidsim.core.reasons import TIMEOUT
from bidsim.core.units import NEVER
from bidsim.engine.mail import COUNT, NOTICE, WAITING, delay_of, open_first, post
from bidsim.engine.tables import Chunk, State


@kernel(inner=True)
def answer(sim: State, chunk: Chunk, i: int, count: int) -> None:
    """Tell bidders what became of their bids for request ``i``."""
    if sim.world.rules.late:
        hear_unsent(sim.bidder, count)
        _send_notices(sim, chunk, i, count)
    else:
        hear(sim.bidder, chunk.requests, i, count)


@kernel(inner=True)
def _send_notices(sim: State, chunk: Chunk, i: int, count: int) -> None:
    mail, bidder, request = sim.world.mail, sim.bidder, chunk.requests.number[i]
    offers = bidder.desk.offers
    for k in range(count):
        # of a bid that came too late for the auction nothing is ever heard
        if bidder.desk.held[k] == 0 or bidder.desk.reason[k] == TIMEOUT:
            continue
        c, won = offers.campaign[k], offers.won[k]
        delay = delay_of(mail, sim.world.keys.notices, request, bidder.campaigns.id[c])
        mail.counts[COUNT.bids] += 1
        mail.counts[COUNT.wins] += won
        if delay < 0:
            mail.counts[COUNT.lost if delay == -1 else COUNT.late] += 1
            mail.counts[COUNT.lost_wins if delay == -1 else COUNT.late_wins] += won
            continue
        due, bid = chunk.requests.time[i] + delay, bid_id(bidder, request, c)
        post(mail, due, bid, won, offers.payment[k], offers.price[k], offers.minimum[k], offers.effect[k])


@kernel(inner=True)
def take_notices(sim: State, time: int) -> bool:
    """Deliver the notices due by ``time`` and drop bids that are too old by then, in order of time.

    False where what bidders remember must grow first.
    """
    mail, bidder = sim.world.mail, sim.bidder
    while True:
        due = mail.heap[0, 0] if mail.used[WAITING] > 0 else NEVER
        old = next_expiry(bidder)
        if min(due, old) > time or min(due, old) == NEVER:
            return True
        if old <= due:
            expire(bidder)
            continue
        if not memory_has_room(bidder.memory, sim.world.truth.line_id.shape[0], sim.world.rules.positions):
            return False
        notice, effect = mail.notices[mail.heap[0, 1]], mail.effect[mail.heap[0, 1]]
        open_first(mail)
        bid, minimum = notice[NOTICE.bid], notice[NOTICE.minimum]
        if notice[NOTICE.won]:
            commit(bidder, bid, notice[NOTICE.payment], notice[NOTICE.price], minimum, effect, due)
        else:
            release(bidder, bid, minimum)

"""The compiled request loop: one request after another, every stage in the order of real time.

What bidders do is `bidsim.bidder.decide`; the rest is the world's: users, truth, the auction, events and money.
"""

from __future__ import annotations

from bidsim.bidder import decide
from bidsim.bidder.bidding import prepare_tasks
from bidsim.bidder.eligibility import find_participants
from bidsim.bidder.flight import flight_has_room
from bidsim.bidder.memory import forget_exposures, memory_has_room
from bidsim.core.contracts import call_clear, call_draw
from bidsim.core.kernel import kernel
from bidsim.core.reasons import BUDGET
from bidsim.engine.answers import answer, take_notices
from bidsim.engine.clearing import clear_auction, count_sales, explain_losses, fill_book, survey
from bidsim.engine.conversions import take_conversions
from bidsim.engine.deadline import (
    BID,
    ELIGIBLE,
    FEATURES,
    OFFERED,
    SCORED,
    SOLD,
    USERS,
    begin_stamps,
    drop_late,
    end_stamps,
    stamp,
)
from bidsim.engine.feed import feed_has_room, take_reports
from bidsim.engine.keeping import OF_DECISIONS, OF_OFFERS, OF_WINS, keep_decisions, sampled
from bidsim.engine.mail import mail_has_room
from bidsim.engine.rates import SEEN, USER, declare, look_up
from bidsim.engine.rows import log_has_room
from bidsim.engine.serving import mark_ghosts, serve_winners
from bidsim.engine.tables import Chunk, State
from bidsim.engine.users import has_room, let_go
from bidsim.kernels.clock import ticks
from bidsim.observers import population, slices, timeline


@kernel(inner=True)
def _room_for_rows(sim: State) -> bool:
    world, campaigns = sim.world, sim.bidder.campaigns.id.shape[0]
    return (
        log_has_room(world.logs.wins, world.rules.positions)
        and log_has_room(world.logs.decisions, campaigns)
        and (
            world.rules.late == 0
            or (flight_has_room(sim.bidder.flight, campaigns) and mail_has_room(world.mail, campaigns))
        )
    )


@kernel(inner=True)
def _room_for_users(sim: State) -> bool:
    world, lines = sim.world, sim.world.truth.line_id.shape[0]
    shown = lines + world.rules.positions
    return (
        has_room(world.store, lines, world.rules.positions)
        and memory_has_room(sim.bidder.memory, lines, shown)
        and (world.rules.late == 0 or memory_has_room(world.seen, lines, shown))
        and feed_has_room(world.feed)
    )


@kernel(inner=True)
def ready(sim: State, chunk: Chunk, i: int) -> bool:
    """Whether there is room for request ``i``, and all that comes before it has happened."""
    time = chunk.requests.time[i]
    if not _room_for_rows(sim):
        return False
    if sim.world.rules.late and not take_notices(sim, time):
        return False
    if not sim.world.rules.users:
        return True
    if not _room_for_users(sim) or not take_conversions(sim, time):
        return False
    feed, memory = sim.world.feed, sim.bidder.memory
    return feed.how == 0 or take_reports(feed, memory, time, sim.world.truth.line_id.shape[0])


@kernel(inner=True)
def one(sim: State, chunk: Chunk, i: int) -> None:
    """Simulate one request."""
    if sim.world.rules.users:
        one_request(sim, chunk, i)
    else:
        _one_drawn_request(sim, chunk, i)


@kernel()
def run_requests(sim: State, chunk: Chunk, lo: int, hi: int) -> int:
    """Simulate requests ``lo`` to ``hi`` of a chunk.

    Args:
        sim: All that the loop works on; changed in place.
        chunk: Requests and rivals' bids.
        lo: First request of the chunk to simulate.
        hi: First request not to simulate.

    Returns:
        The first request not simulated: ``hi``, or where some array must grow first.

    """
    for i in range(lo, hi):
        if not ready(sim, chunk, i):
            return i
        one(sim, chunk, i)
    return hi


@kernel()
def lay_tasks(sim: State) -> None:
    """Lay down what scorers are handed; to be done before the first request, and whenever arrays have moved."""
    if sim.world.rules.users:
        prepare_tasks(sim.bidder)


@kernel(inner=True)
def one_request(sim: State, chunk: Chunk, i: int) -> None:
    """Simulate one request of a world with users."""
    bidder, rules, requests = sim.bidder, sim.world.rules, chunk.requests
    timed = begin_stamps(sim, requests.number[i])
    begun = ticks() if rules.measured else 0
    keep = sampled(sim, requests.number[i], OF_DECISIONS, rules.keep_decisions)
    count, watched = decide.consider(bidder, requests, i, keep)
    stamp(sim, timed, ELIGIBLE)
    want_truth = rules.needs_truth != 0 or keep
    asked = ticks() if rules.measured else 0
    look_up(sim, chunk, i)
    stamp(sim, timed, USERS)
    declare(sim, chunk, i, watched, want_truth)
    begun += ticks() - asked if rules.measured else 0  # users and prices are the world's work
    stamp(sim, timed, OFFERED)
    decide.see(bidder, requests, i, watched, keep)
    stamp(sim, timed, FEATURES)
    decide.judge(bidder, requests.time[i], count, watched)
    stamp(sim, timed, SCORED)
    decide.bid(bidder, requests, i, count, watched, False)
    settle(sim, chunk, i, count, watched, keep, timed, begun)
    _dismiss(sim)
    end_stamps(sim, timed)


@kernel(inner=True)
def settle(sim: State, chunk: Chunk, i: int, count: int, watched: int, keep: bool, timed: bool, begun: int) -> None:
    """The world's answer to the bids on the desk: auction, impressions, money, notices."""
    rules, requests = sim.world.rules, chunk.requests
    request, bucket = requests.number[i], requests.time[i] // rules.bucket
    if rules.tmax > 0:
        drop_late(sim, chunk, i, count, begun)
    stamp(sim, timed, BID)
    # whoever is logged gets a place in the book, so that the log knows what would have won
    n = fill_book(sim, chunk, i, watched, keep)
    clear_auction(sim, requests.user[i] if rules.users else 0, request, n)
    stamp(sim, timed, SOLD)
    asked = keep or rules.hears != 0 or sampled(sim, request, OF_WINS, rules.keep_wins)
    explain_losses(sim, count, n, asked)
    sim.world.counters.market[0] += 1
    count_sales(sim)
    _count_offers(sim, bucket, count)
    if rules.watch_wins and rules.users:
        _watch(sim, chunk, i, count)
    serve_winners(sim, chunk, i, rules.users == 0 or rules.needs_truth != 0 or keep, bucket)
    if rules.holdout > 0.0 and rules.users:
        mark_ghosts(sim, chunk, i, n)
    if keep:
        keep_decisions(sim, chunk, i, watched)
    _aftermath(sim, chunk, i, count, n)


@kernel(inner=True)
def _dismiss(sim: State) -> None:
    """Forget where this request's user is."""
    scratch = sim.world.scratch
    decide.finish(sim.bidder)
    let_go(sim.world.store, scratch.clock_of, sim.bidder.port.bought, scratch.slot[USER])
    if sim.world.rules.late:
        forget_exposures(sim.world.seen, scratch.exposure_of, scratch.slot[SEEN])


@kernel(inner=True)
def _watch(sim: State, chunk: Chunk, i: int, count: int) -> None:
    """Count what the model saw and, where that is asked for, all that it was asked."""
    counters, offers, requests, rules = sim.world.counters, sim.bidder.desk.offers, chunk.requests, sim.world.rules
    window = population.window_at(counters.seen, requests.time[i], rules.slice_window)
    population.count_request(counters.seen, sim.bidder.desk.head, window, requests.number[i])
    if rules.watch_offers > 0.0 and sampled(sim, requests.number[i], OF_OFFERS, rules.watch_offers):
        slices.count_offer(counters.slices, requests.categories[i], offers.campaign, offers.pcvr, count, window)


@kernel(inner=True)
def _one_drawn_request(sim: State, chunk: Chunk, i: int) -> None:
    """Simulate one request of a world where values are drawn and there are no users."""
    bidder, world, requests = sim.bidder, sim.world, chunk.requests
    timed = begin_stamps(sim, requests.number[i])
    begun = ticks() if world.rules.measured else 0
    keep = sampled(sim, requests.number[i], OF_DECISIONS, world.rules.keep_decisions)
    logged = chunk.logged[i] if chunk.logged.shape[0] > 1 else chunk.logged[0]
    offers, drawn, key = bidder.desk.offers, world.scratch.drawn, world.keys.values
    asked = (offers, drawn, requests.number[i], key, logged, world.value_floats, world.value_ints)
    nothing = _ties_with_nothing(sim, chunk, i)
    count, every = find_participants(bidder, requests, i, call_draw(world.calls.draw[0], asked), nothing)
    for k in range(count, every):
        bucket = requests.time[i] // world.rules.bucket
        timeline.count(world.counters.timeline, offers.campaign[k], bucket, timeline.ELIGIBLE, 1)
    watched = every if keep else count
    if world.rules.by_click:
        for k in range(watched):
            offers.quality[k] = drawn.quality[bidder.desk.source[k]]
    for stage in (ELIGIBLE, USERS, OFFERED, FEATURES, SCORED):
        stamp(sim, timed, stage)
    decide.bid(bidder, requests, i, count, watched, nothing)
    settle(sim, chunk, i, count, watched, keep, timed, begun)
    end_stamps(sim, timed)


@kernel(inner=True)
def _ties_with_nothing(sim: State, chunk: Chunk, i: int) -> bool:
    """Whether the price to reach is 0, and yields to equal bids: then a bid of nothing is a bid, without money, too."""
    return sim.world.rules.yields != 0 and chunk.rivals[i, 0] == 0


@kernel(inner=True)
def _aftermath(sim: State, chunk: Chunk, i: int, count: int, n: int) -> None:
    """Send notices, let the format learn, and try other bids once in a while."""
    world = sim.world
    answer(sim, chunk, i, count)
    if world.rules.learns:
        scratch, rules = world.scratch, world.rules
        call_clear(world.calls.learn[0], (scratch.book, n, rules.positions, world.format_numbers, scratch.outcome))
    if chunk.requests.number[i] % world.rules.landscape_every == 0:
        survey(sim, n)


@kernel(inner=True)
def _count_offers(sim: State, bucket: int, count: int) -> None:
    counted, desk = sim.world.counters.timeline, sim.bidder.desk
    for k in range(count):
        campaign = desk.offers.campaign[k]
        timeline.count(counted, campaign, bucket, timeline.ELIGIBLE, 1)
        # what the last of the money could not have won is no bid
        if desk.offers.bid[k] > 0 and desk.reason[k] != BUDGET:
            timeline.count(counted, campaign, bucket, timeline.BIDS, 1)


@kernel()
def finish_conversions(sim: State, time: int) -> bool:
    """Carry out the purchases due by ``time`` after the last request; False where the log must grow first."""
    return take_conversions(sim, time)


@kernel()
def finish_notices(sim: State, time: int) -> bool:
    """Deliver the notices that come by ``time`` after the last request; False where bidders' memory must grow first."""
    return take_notices(sim, time)

"""The compiled request loop: one request after another, every stage in the order of real time."""

from __future__ import annotations

from bidsim.core.contracts import call_clear
from bidsim.core.kernel import kernel
from bidsim.core.reasons import BUDGET
from bidsim.engine.clearing import clear_auction, count_sales, explain_losses, fill_book, survey
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
from bidsim.engine.decision import (
    fill_offers,
    fill_rows,
    hold_internal_auctions,
    make_offers,
    notify,
    place_bids,
    predict,
    prepare_tasks,
    sit_out,
)
from bidsim.engine.eligibility import find_eligible, find_participants, ties_with_nothing
from bidsim.engine.incidents import change_budgets
from bidsim.engine.settlement import (
    OF_DECISIONS,
    OF_OFFERS,
    OF_WINS,
    keep_decisions,
    mark_ghosts,
    sampled,
    serve_winners,
    take_conversions,
)
from bidsim.engine.store import advance_clocks, find_exposures, find_user, has_room, release
from bidsim.engine.tables import Chunk, Log, Simulated
from bidsim.kernels.clock import ticks
from bidsim.observers import population, slices, timeline


@kernel(inner=True)
def _log_has_room(log: Log, rows: int) -> bool:
    return log.used[0] + rows <= log.ints.shape[0]


@kernel(inner=True)
def _room_everywhere(sim: Simulated) -> bool:
    campaigns = sim.campaigns.id.shape[0]
    return (
        has_room(sim.store, sim.truth.line_id.shape[0], sim.rules.positions)
        and _log_has_room(sim.logs.wins, sim.rules.positions)
        and _log_has_room(sim.logs.decisions, campaigns)
    )


@kernel(inner=True)
def ready(sim: Simulated, chunk: Chunk, i: int) -> bool:
    """Whether there is room for request ``i``, and all purchases before it have happened."""
    return _room_everywhere(sim) and take_conversions(sim, chunk.requests.time[i])


@kernel(inner=True)
def _run_drawn(sim: Simulated, chunk: Chunk, lo: int) -> int:
    for i in range(lo, chunk.requests.time.shape[0]):
        if not _log_has_room(sim.logs.wins, sim.rules.positions) or not _log_has_room(
            sim.logs.decisions, sim.campaigns.id.shape[0]
        ):
            return i
        _one_drawn_request(sim, chunk, i)
    return chunk.requests.time.shape[0]


@kernel()
def run_requests(sim: Simulated, chunk: Chunk, lo: int) -> int:
    """Simulate requests ``lo`` onwards of a chunk.

    Args:
        sim: The world; changed in place.
        chunk: Requests and rivals' bids.
        lo: First request of the chunk to simulate.

    Returns:
        The first request not simulated: the chunk's end, or where some array must grow first.

    """
    if not sim.rules.users:
        return _run_drawn(sim, chunk, lo)
    prepare_tasks(sim)
    for i in range(lo, chunk.requests.time.shape[0]):
        if not ready(sim, chunk, i):
            return i
        one_request(sim, chunk, i)
    return chunk.requests.time.shape[0]


@kernel(inner=True)
def one_request(sim: Simulated, chunk: Chunk, i: int) -> None:
    """Simulate one request of a world with users."""
    requests, latent = chunk.requests, chunk.latent
    user, time, request = requests.user[i], requests.time[i], requests.number[i]
    holdout = sim.rules.holdout > 0.0
    timed = begin_stamps(sim, request)
    slot = find_user(sim.store, sim.truth, sim.keys, user, latent.intent[i], latent.interest[i], holdout, 0)
    advance_clocks(sim.store, sim.scratch, sim.truth, sim.keys, slot, time)
    stamp(sim, timed, USERS)
    begun = ticks() if sim.rules.measured else 0
    find_exposures(sim.store, sim.scratch, slot, time, sim.campaigns.cap_window)
    keep = sampled(sim, request, OF_DECISIONS, sim.rules.keep_decisions)
    if sim.rules.incidents:
        change_budgets(sim, time)
    count, watched = find_eligible(sim, chunk, i, keep)
    stamp(sim, timed, ELIGIBLE)
    want_truth = sim.rules.needs_truth != 0 or keep
    asked = ticks() if sim.rules.measured else 0
    make_offers(sim, chunk, i, watched, want_truth)
    begun += ticks() - asked if sim.rules.measured else 0  # prices are the world's work
    stamp(sim, timed, OFFERED)
    fill_rows(sim, chunk, i, watched, keep)
    stamp(sim, timed, FEATURES)
    predict(sim, time, 0, count)
    predict(sim, time, count, watched)
    stamp(sim, timed, SCORED)
    bucket = time // sim.rules.bucket
    n = _auction(sim, chunk, i, count, watched, user, keep, timed, begun)
    _account(sim, chunk, i, count, n, keep, bucket)
    if sim.rules.watch_wins:
        _watch(sim, chunk, i, count)
    serve_winners(sim, chunk, i, slot, want_truth, bucket)
    if holdout:
        mark_ghosts(sim, chunk, i, slot, n)
    if keep:
        keep_decisions(sim, chunk, i, watched)
    _aftermath(sim, request, count, n)
    release(sim.store, sim.scratch, slot)
    end_stamps(sim, timed)


@kernel(inner=True)
def _watch(sim: Simulated, chunk: Chunk, i: int, count: int) -> None:
    """Count what the model saw and, where that is asked for, all that it was asked."""
    window = population.window_at(sim.counters.seen, chunk.requests.time[i], sim.rules.slice_window)
    population.count_request(sim.counters.seen, sim.scratch.head, window, chunk.requests.number[i])
    if sim.rules.watch_offers > 0.0 and sampled(sim, chunk.requests.number[i], OF_OFFERS, sim.rules.watch_offers):
        slices.count_offer(
            sim.counters.slices,
            chunk.requests.categories[i],
            sim.scratch.offers.campaign,
            sim.scratch.offers.pcvr,
            count,
            window,
        )


@kernel(inner=True)
def _one_drawn_request(sim: Simulated, chunk: Chunk, i: int) -> None:
    """Simulate one request of a world where values are drawn and there are no users."""
    request = chunk.requests.number[i]
    timed = begin_stamps(sim, request)
    stamp(sim, timed, USERS)
    begun = ticks() if sim.rules.measured else 0
    keep = sampled(sim, request, OF_DECISIONS, sim.rules.keep_decisions)
    count, watched = find_participants(sim, chunk, i, keep)
    for stage in (ELIGIBLE, OFFERED, FEATURES, SCORED):
        stamp(sim, timed, stage)
    bucket = chunk.requests.time[i] // sim.rules.bucket
    n = _auction(sim, chunk, i, count, watched, 0, keep, timed, begun)
    _account(sim, chunk, i, count, n, keep, bucket)
    serve_winners(sim, chunk, i, -1, True, bucket)
    if keep:
        keep_decisions(sim, chunk, i, watched)
    _aftermath(sim, request, count, n)
    end_stamps(sim, timed)


@kernel(inner=True)
def _auction(
    sim: Simulated, chunk: Chunk, i: int, count: int, watched: int, user: int, keep: bool, timed: bool, begun: int
) -> int:
    """From eligible campaigns to winners; return the size of the book."""
    fill_offers(sim, chunk, i, watched)
    place_bids(sim, chunk, i, count, ties_with_nothing(sim, chunk, i))
    sit_out(sim, count, watched)
    if sim.rules.tmax > 0:
        drop_late(sim, chunk, i, count, begun)
    hold_internal_auctions(sim, count)
    stamp(sim, timed, BID)
    # whoever is logged gets a place in the book, so that the log knows what would have won
    n = fill_book(sim, chunk, i, watched, keep)
    clear_auction(sim, user, chunk.requests.number[i], n)
    stamp(sim, timed, SOLD)
    return n


@kernel(inner=True)
def _account(sim: Simulated, chunk: Chunk, i: int, count: int, n: int, keep: bool, bucket: int) -> None:
    """Say why bids were lost, and count."""
    explain_losses(
        sim,
        count,
        n,
        keep or sim.rules.hears != 0 or sampled(sim, chunk.requests.number[i], OF_WINS, sim.rules.keep_wins),
    )
    sim.counters.market[0] += 1
    count_sales(sim)
    _count_offers(sim, bucket, count)


@kernel(inner=True)
def _aftermath(sim: Simulated, request: int, count: int, n: int) -> None:
    """Send notices, let the format learn, and try other bids once in a while."""
    if sim.rules.hears:
        notify(sim, count)
    if sim.rules.learns:
        call_clear(
            sim.calls.learn[0], (sim.scratch.book, n, sim.rules.positions, sim.format_numbers, sim.scratch.outcome)
        )
    if request % sim.rules.landscape_every == 0:
        survey(sim, n)


@kernel(inner=True)
def _count_offers(sim: Simulated, bucket: int, count: int) -> None:
    for k in range(count):
        campaign = sim.scratch.offers.campaign[k]
        timeline.count(sim.counters.timeline, campaign, bucket, timeline.ELIGIBLE, 1)
        # what the last of the money could not have won is no bid
        if sim.scratch.offers.bid[k] > 0 and sim.scratch.reason[k] != BUDGET:
            timeline.count(sim.counters.timeline, campaign, bucket, timeline.BIDS, 1)


@kernel()
def finish_conversions(sim: Simulated, time: int) -> bool:
    """Carry out the purchases due by ``time`` after the last request; False where the log must grow first."""
    return take_conversions(sim, time)

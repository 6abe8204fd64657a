"""The compiled request loop: one request after another, every stage in the order of real time."""

from __future__ import annotations

from typing import Any

from bidsim.core.kernel import kernel
from bidsim.engine.clearing import clear_auction, explain_losses, fill_book, lost_to, survey
from bidsim.engine.decision import fill_offers, hold_internal_auctions, notify, place_bids, predict, write_rates
from bidsim.engine.eligibility import find_eligible
from bidsim.engine.settlement import keep_decisions, mark_ghosts, sampled, serve, take_conversions
from bidsim.engine.store import find_user, gather, has_room, release
from bidsim.engine.tables import Chunk, Log, Simulated
from bidsim.observers import timeline

_DECISION = 1


@kernel(inner=True)
def _log_has_room(log: Log, rows: int) -> bool:
    return log.used[0] + rows <= log.ints.shape[0]


@kernel(inner=True)
def _room_everywhere(sim: Simulated) -> bool:
    campaigns = sim.campaigns.id.shape[0]
    return has_room(sim.store, sim.truth.line_id.shape[0]) and _log_has_room(sim.logs.wins, 1) and _log_has_room(sim.logs.decisions, campaigns)


@kernel()
def run_requests(sim: Simulated, chunk: Chunk, plugins: Any, lo: int) -> int:
    """Simulate requests ``lo`` onwards of a chunk.

    Args:
        sim: The world; changed in place.
        chunk: Requests and rivals' bids.
        plugins: Tuples of kernels: (formats, scorers, policies, notices, pacers, settlers).
        lo: First request of the chunk to simulate.

    Returns:
        The first request not simulated: the chunk's end, or where some array must grow first.

    """
    for i in range(lo, chunk.requests.time.shape[0]):
        if not _room_everywhere(sim) or not take_conversions(sim, chunk.requests.time[i]):
            return i
        _one_request(sim, chunk, plugins, i)
    return chunk.requests.time.shape[0]


@kernel(inner=True)
def _one_request(sim: Simulated, chunk: Chunk, plugins: Any, i: int) -> None:
    formats, scorers, policies, notices, pacers, settlers = plugins
    requests, latent = chunk.requests, chunk.latent
    user, time, request = requests.user[i], requests.time[i], requests.number[i]
    holdout = sim.rules.holdout > 0.0
    slot = find_user(sim.store, sim.truth, sim.keys, user, latent.intent[i], latent.interest[i], holdout, 0)
    gather(sim.store, sim.scratch, sim.truth, sim.keys, slot, time)
    count = find_eligible(sim, chunk, i)
    keep = sampled(sim, request, _DECISION, sim.rules.keep_decisions)
    want_truth = sim.rules.needs_truth != 0 or keep
    fill_offers(sim, chunk, i, count, want_truth)
    predict(sim, scorers, count)
    place_bids(sim, policies, pacers, count)
    hold_internal_auctions(sim, count)
    n = fill_book(sim, chunk, i, count)
    winner = clear_auction(sim, formats, user, n)
    explain_losses(sim, count, n, winner)
    sim.counters.market[0] += 1
    sim.counters.market[lost_to(winner)] += 1
    _count_offers(sim, time // sim.rules.bucket, count)
    if winner >= 0:
        if not want_truth:
            write_rates(sim, chunk, i, winner)
        serve(sim, chunk, i, slot, winner, chunk.rivals[i, 0])
    if holdout:
        mark_ghosts(sim, chunk, i, slot, n)
    if keep:
        keep_decisions(sim, chunk, i, count)
    notify(sim, notices, settlers, count)
    if request % sim.rules.landscape_every == 0:
        survey(sim, formats, n)
    release(sim.store, sim.scratch, slot)


@kernel(inner=True)
def _count_offers(sim: Simulated, bucket: int, count: int) -> None:
    for k in range(count):
        campaign = sim.scratch.offers.campaign[k]
        timeline.count(sim.counters.timeline, campaign, bucket, timeline.ELIGIBLE, 1)
        if sim.scratch.offers.bid[k] > 0:
            timeline.count(sim.counters.timeline, campaign, bucket, timeline.BIDS, 1)


@kernel()
def finish_conversions(sim: Simulated, time: int) -> bool:
    """Carry out the purchases due by ``time`` after the last request; False where the log must grow first."""
    return take_conversions(sim, time)

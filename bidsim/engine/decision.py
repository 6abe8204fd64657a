"""From eligible campaigns to bids: features, predicted rate, value, pacing, policy."""

from __future__ import annotations

import math

from bidsim.core.contracts import OUT_OF_REACH, call_offers
from bidsim.core.kernel import kernel
from bidsim.core.random import draw
from bidsim.core.reasons import BUDGET, INTERNAL, NO_BID, OUTBID, PACED, TIMEOUT
from bidsim.core.scoring import ScoreTask, call_score, put_task, take_task
from bidsim.core.units import DAY, MINUTE, least_price_of
from bidsim.cvr.features import fill_request
from bidsim.engine.exploration import explore_bids
from bidsim.engine.impressions import fill_own, fill_shared, offer_price, true_rates
from bidsim.engine.incidents import disturb_pairs, disturb_predictions, disturb_request, disturbed_rates, spared
from bidsim.engine.tables import Chunk, Simulated
from bidsim.response.truth import UNMOVED

VIEW, CLICK, BUY, ATTRIBUTED, DIRECT = range(5)
"""Columns of `Scratch.rates`."""
POLICY, PACER, FIRST, END, SEAT, PACES, NOTICES, SETTLES = range(8)
"""Columns of `Simulated.groups`: kernels of a run of campaigns, the seat they sit in, and which kernels do anything."""


@kernel(inner=True)
def write_rates(sim: Simulated, chunk: Chunk, i: int, k: int) -> None:
    """Write the true rates of the k-th eligible campaign, in the first position, to ``scratch.rates``."""
    campaign = sim.scratch.offers.campaign[k]
    rates = true_rates(sim.truth, sim.store, sim.scratch, chunk, i, campaign, sim.scratch.price[k], UNMOVED)
    if sim.rules.incidents:
        rates = disturbed_rates(rates, spared(sim, chunk, i, campaign))
    row = sim.scratch.rates[k]
    row[VIEW] = rates.viewed
    row[CLICK] = rates.clicked
    row[BUY] = rates.bought
    row[ATTRIBUTED] = rates.attributed
    row[DIRECT] = rates.direct


@kernel(inner=True)
def traffic_passed(sim: Simulated, time: int) -> float:
    """Share of the run's expected traffic before ``time``."""
    minute = min(time // MINUTE, sim.curve.shape[0] - 2)
    # the last minute may be cut off by the end
    part = min((time - minute * MINUTE) / min(MINUTE, sim.rules.duration - minute * MINUTE), 1.0)
    return sim.curve[minute] + part * (sim.curve[minute + 1] - sim.curve[minute])


@kernel(inner=True)
def make_offers(sim: Simulated, chunk: Chunk, i: int, count: int, want_truth: bool) -> None:
    """Write at what price each eligible campaign would show its product, and the true rates where they are wanted."""
    scratch = sim.scratch
    for k in range(count):
        c = scratch.offers.campaign[k]
        scratch.price[k] = offer_price(sim.truth, sim.keys, chunk, i, c)
        scratch.shown[k] = sim.campaigns.price[c] * math.exp(scratch.price[k])
        if want_truth:
            write_rates(sim, chunk, i, k)


@kernel(inner=True)
def fill_rows(sim: Simulated, chunk: Chunk, i: int, count: int, whole: bool) -> None:
    """Write what the model sees of each eligible campaign; rows are whole where they are logged, or the seat's model wants them."""
    scratch, previous = sim.scratch, -1
    fill_request(scratch.head, chunk.requests, i)
    if sim.rules.incidents:
        disturb_request(sim, chunk, i)
    for k in range(count):
        c = scratch.offers.campaign[k]
        seat = sim.campaigns.seat[c]
        if whole or seat != previous or sim.seats.whole_rows[seat]:
            fill_shared(scratch.features[k], scratch.head, sim.campaigns, c)
        previous = seat
        fill_own(scratch.features[k], sim.truth, sim.store, scratch, c, scratch.shown[k], chunk.requests.time[i])
        scratch.drawn.quality[k] = sim.campaigns.quality[c]
    if sim.rules.incidents:
        disturb_pairs(sim, chunk, i, count)


@kernel(inner=True)
def fill_offers(sim: Simulated, chunk: Chunk, i: int, count: int) -> None:
    """Write what is known of each eligible campaign before anyone bids."""
    campaigns, offers, rules = sim.campaigns, sim.scratch.offers, sim.rules
    request, key, by_click, oracles = chunk.requests.number[i], sim.keys.policy, rules.by_click, rules.needs_truth
    passed = traffic_passed(sim, chunk.requests.time[i])
    floor = max(chunk.requests.floor[i], rules.reserve)
    for k in range(count):
        c = offers.campaign[k]
        offers.multiplier[k] = 1.0
        offers.active[k] = 1
        offers.floor[k] = floor
        offers.bid[k] = 0
        offers.won[k] = 0
        offers.payment[k] = 0
        offers.price[k] = 0
        offers.minimum[k] = 0
        offers.propensity[k] = 1.0
        offers.lift[k] = (
            sim.scratch.rates[k, DIRECT] if oracles and sim.seats.oracle[campaigns.seat[c]] else offers.pcvr[k]
        )
        offers.dice[k] = draw(key, request, campaigns.id[c], 0)
        if by_click:
            offers.quality[k] = sim.scratch.drawn.quality[k]
            offers.value[k] /= offers.quality[k]
            offers.floor[k] = least_price_of(floor / offers.quality[k])
    if rules.episode > 0:
        for k in range(count):
            c = offers.campaign[k]
            offers.budget[k] = campaigns.daily[c]
            offers.spent[k] = sim.ledger.today[c]
            offers.passed[k] = (request % rules.episode) / rules.episode
        return
    dawn = chunk.requests.time[i] // DAY * DAY
    since, until = traffic_passed(sim, dawn), traffic_passed(sim, dawn + DAY)
    for k in range(count):
        c = offers.campaign[k]
        begun, ends = campaigns.passed_from[c], campaigns.passed_from[c] + campaigns.passed_share[c]
        if campaigns.by_day[c]:
            begun, ends = max(begun, since), min(ends, until)
        offers.budget[k] = campaigns.daily[c] if campaigns.by_day[c] else campaigns.budget[c]
        offers.spent[k] = spent_so_far(sim, c)
        offers.passed[k] = min(max((passed - begun) / max(ends - begun, 1e-12), 0.0), 1.0)


@kernel(inner=True)
def spent_so_far(sim: Simulated, campaign: int) -> int:
    """What is spent of the budget that is paced: of the flight's, or of the day's or episode's."""
    return (
        sim.ledger.today[campaign]
        if sim.rules.episode > 0 or sim.campaigns.by_day[campaign]
        else sim.ledger.spent[campaign]
    )


@kernel(inner=True)
def prepare_tasks(sim: Simulated) -> None:
    """Lay down what each seat's scorer is handed; to be done whenever the world's arrays may have moved."""
    seats, tables, scratch = sim.seats, sim.tables, sim.scratch
    for seat in range(seats.scorer.shape[0]):
        task = ScoreTask(
            tables.ints[seats.ints[seat] : seats.ints[seat + 1]],
            tables.floats[seats.floats[seat] : seats.floats[seat + 1]],
            tables.narrow[seats.narrow[seat] : seats.narrow[seat + 1]],
            tables.wide[seats.wide[seat] : seats.wide[seat + 1]],
            scratch.offers.campaign,
            scratch.features,
            scratch.truth,
            scratch.offers.pcvr,
        )
        put_task(seats.task[seat], task)


@kernel(inner=True)
def predict(sim: Simulated, time: int, lo: int, count: int) -> None:
    """Predicted rate and value of rows ``lo`` to ``count``, a seat at a time."""
    offers, seats, first = sim.scratch.offers, sim.seats, lo
    while lo < count:
        seat = sim.campaigns.seat[offers.campaign[lo]]
        hi = lo + 1
        while hi < count and sim.campaigns.seat[offers.campaign[hi]] == seat:
            hi += 1
        if seats.oracle[seat]:
            for k in range(lo, hi):
                sim.scratch.truth[k] = sim.scratch.rates[k, ATTRIBUTED]
        call_score(sim.calls.score[seats.scorer[seat]], (take_task(seats.task[seat]), lo, hi))
        lo = hi
    if sim.rules.incidents:
        disturb_predictions(sim, time, first, count)
    for k in range(first, count):
        offers.value[k] = offers.pcvr[k] * sim.campaigns.value[offers.campaign[k]]


@kernel(inner=True)
def _end_of_group(sim: Simulated, group: int, lo: int, count: int) -> int:
    """First offer at or after ``lo`` that belongs to a later group."""
    hi = lo
    while hi < count and sim.scratch.offers.campaign[hi] < sim.groups[group, END]:
        hi += 1
    return hi


@kernel(inner=True)
def sit_out(sim: Simulated, count: int, watched: int) -> None:
    """Note rows ``count`` to ``watched`` as out of money."""
    for k in range(count, watched):
        sim.scratch.reason[k] = BUDGET
        sim.scratch.wanted[k] = 0


@kernel(inner=True)
def place_bids(sim: Simulated, chunk: Chunk, i: int, count: int, nothing: bool) -> None:
    """Let pacers and policies decide, group by group; explore, cut bids to the budget and say who does not bid and why.

    Where ``nothing`` is a bid, too, it is one nano, the least that a book can hold; `serve_winners` charges what was bid.
    """
    scratch, offers = sim.scratch, sim.scratch.offers
    lo = 0
    for g in range(sim.groups.shape[0]):
        hi = _end_of_group(sim, g, lo, count)
        if hi > lo:
            if sim.groups[g, PACES]:
                call_offers(sim.calls.pace[sim.groups[g, PACER]], (offers, lo, hi, sim.pacer_floats, sim.pacer_ints))
            call_offers(sim.calls.bid[sim.groups[g, POLICY]], (offers, lo, hi, sim.policy_floats, sim.policy_ints))
        lo = hi
    if sim.rules.exploration > 0.0:
        explore_bids(sim, chunk, i, count)
    for k in range(count):
        scratch.reason[k] = OUTBID
        if offers.active[k] == 0:
            offers.bid[k] = 0
            scratch.reason[k] = PACED
        elif offers.bid[k] <= 0 and not nothing:
            offers.bid[k] = 0
            scratch.reason[k] = NO_BID
        # below what is out of reach, whatever a policy says
        offers.bid[k] = min(offers.bid[k], OUT_OF_REACH - 1)
        scratch.wanted[k] = offers.bid[k]
        offers.bid[k] = min(offers.bid[k], offers.cap[k])
        if nothing and offers.active[k] and offers.bid[k] <= 0:
            offers.bid[k] = 1


@kernel(inner=True)
def hold_internal_auctions(sim: Simulated, count: int) -> None:
    """Keep only the best bid of each seat that sends one bid; equal bids by the seeded dice."""
    scratch, offers = sim.scratch, sim.scratch.offers
    if sim.rules.internal == 0:
        return
    scratch.seat_best[:] = -1
    for k in range(count):
        seat = sim.campaigns.seat[offers.campaign[k]]
        if sim.seats.internal[seat] and offers.bid[k] > 0 and scratch.reason[k] != TIMEOUT:
            best = scratch.seat_best[seat]
            # what the exchange ranks by: where positions are sold together, the bid for a click times the clicks
            # expected
            joint = sim.rules.joint != 0
            mine, highest = (
                offers.bid[k] * (offers.quality[k] if joint else 1.0),
                offers.bid[best] * (offers.quality[best] if joint else 1.0),
            )
            if best < 0 or mine > highest or (mine == highest and offers.dice[k] > offers.dice[best]):
                scratch.seat_best[seat] = k
    for k in range(count):
        seat = sim.campaigns.seat[offers.campaign[k]]
        if (
            sim.seats.internal[seat]
            and offers.bid[k] > 0
            and scratch.reason[k] != TIMEOUT
            and scratch.seat_best[seat] != k
        ):
            scratch.reason[k] = INTERNAL


@kernel(inner=True)
def notify(sim: Simulated, count: int) -> None:
    """Tell policies and pacers what a win or loss notice reveals."""
    offers = sim.scratch.offers
    for k in range(count):
        offers.spent[k] = spent_so_far(sim, offers.campaign[k])
        if sim.scratch.reason[k] in (TIMEOUT, INTERNAL):
            offers.bid[k] = 0  # the exchange never saw it, so nothing was learned about its price
        if not sim.rules.tells or offers.bid[k] <= 0:
            offers.minimum[k] = -1
    lo = 0
    for g in range(sim.groups.shape[0]):
        hi = _end_of_group(sim, g, lo, count)
        if hi > lo:
            if sim.groups[g, NOTICES]:
                call_offers(
                    sim.calls.notice[sim.groups[g, POLICY]], (offers, lo, hi, sim.policy_floats, sim.policy_ints)
                )
            if sim.groups[g, SETTLES]:
                call_offers(sim.calls.settle[sim.groups[g, PACER]], (offers, lo, hi, sim.pacer_floats, sim.pacer_ints))
        lo = hi

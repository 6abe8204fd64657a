"""Bids that come too late: network, queue and decision time against the request's ``tmax``.

A seat answers after its network delay, its wait in its own queue, and its decision time. Times are lognormal around
their medians. Work is done in the order of arrival by as many workers as the seat has (a G/G/c queue, stepped by
Lindley's recursion). Where every simulated request stands for ``volume`` real ones, the queue's clock runs ``volume``
times as fast as the scenario's: thinned Poisson arrivals, sped up so, are again Poisson at the full rate.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel
from bidsim.core.random import draw
from bidsim.core.reasons import TIMEOUT
from bidsim.engine.tables import Chunk, State
from bidsim.kernels.clock import nanoseconds_per_tick, ticks
from bidsim.kernels.vector import normal_pair
from bidsim.observers.latency import DECISIONS, LATE, SHED, count_response

ELIGIBLE, USERS, OFFERED, FEATURES, SCORED, BID, SOLD, SETTLED = range(8)
STAGES = ("eligibility", "users", "offers", "features", "pcvr", "bid", "auction", "settlement")
"""Stages whose ends are stamped. *Users* (what they bought meanwhile), *offers* (the prices they are shown, and true
rates where they are wanted) and *settlement* (the dice, money, the log) are the world; the rest is the decision."""
DECISION = ("eligibility", "features", "pcvr", "bid", "auction")


@kernel(inner=True)
def begin_stamps(sim: State, request: int) -> bool:
    """Whether this request's stages are stamped; if so, stamp the beginning."""
    clock = sim.world.clock
    if (
        sim.world.rules.clock_every == 0
        or request % sim.world.rules.clock_every != 0
        or clock.used[0] >= clock.stamps.shape[0]
    ):
        return False
    clock.stamps[clock.used[0], 0] = ticks()
    return True


@kernel(inner=True)
def stamp(sim: State, on: bool, stage: int) -> None:
    """Stamp the end of a stage."""
    if on:
        sim.world.clock.stamps[sim.world.clock.used[0], 1 + stage] = ticks()


@kernel(inner=True)
def end_stamps(sim: State, on: bool) -> None:
    """Stamp the end of the request."""
    if on:
        sim.world.clock.stamps[sim.world.clock.used[0], 1 + SETTLED] = ticks()
        sim.world.clock.used[0] += 1


@kernel(inner=True)
def drop_late(sim: State, chunk: Chunk, i: int, count: int, begun: int) -> None:
    """Mark the bids of seats that answer after ``tmax``; offers of a seat stand together."""
    offers, lo = sim.bidder.desk.offers, 0
    took = (ticks() - begun) * sim.world.rules.tick if sim.world.rules.measured else 0.0
    while lo < count:
        seat = sim.bidder.campaigns.seat[offers.campaign[lo]]
        hi = lo + 1
        while hi < count and sim.bidder.campaigns.seat[offers.campaign[hi]] == seat:
            hi += 1
        if _is_late(sim, chunk, i, seat, hi - lo, took):
            for k in range(lo, hi):
                if offers.bid[k] > 0:
                    sim.bidder.desk.reason[k] = TIMEOUT
        lo = hi


@kernel(inner=True)
def _is_late(sim: State, chunk: Chunk, i: int, seat: int, candidates: int, took: float) -> bool:
    """Let a seat decide, take up its workers' time, and say whether its answer comes after ``tmax``; microseconds."""
    deadline, rules = sim.world.deadline, sim.world.rules
    first, second = normal_pair(draw(sim.world.keys.deadline, chunk.requests.number[i], sim.world.deadline.id[seat], 0))
    network = rules.network * math.exp(rules.network_spread * first)
    work = (
        took
        if rules.measured
        else (deadline.fixed[seat] + deadline.per_candidate[seat] * candidates)
        * math.exp(deadline.spread[seat] * second)
    )
    counts = sim.world.deadline.counts[seat]
    counts[DECISIONS] += 1
    waits = 0.0
    if deadline.workers[seat] > 0:
        arrival = chunk.requests.time[i] / rules.volume
        worker = 0
        for w in range(1, deadline.workers[seat]):
            if deadline.free[seat, w] < deadline.free[seat, worker]:
                worker = w
        waits = max(deadline.free[seat, worker] - arrival, 0.0)
        if deadline.shed[seat] and network + waits > rules.tmax:
            counts[SHED] += 1
            counts[LATE] += 1
            return True
        deadline.free[seat, worker] = arrival + waits + work
    response = network + waits + work
    count_response(sim.world.deadline.histogram[seat], response)
    if response > rules.tmax:
        counts[LATE] += 1
        return True
    return False


def pace_of_clock(total: int, rows: int) -> int:
    """Every how many requests stages are stamped, so that the stamps fit into ``rows``."""
    return max(1, -(-total // max(rows // 2, 1)))


def stage_nanoseconds(sim: State) -> NDArray[np.float64]:
    """Nanoseconds of each stage of the stamped requests, float64[requests, stages]."""
    return np.asarray(np.diff(sim.world.clock.stamps[: int(sim.world.clock.used[0])], axis=1) * nanoseconds_per_tick())

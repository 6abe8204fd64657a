"""What the world works out about the campaigns of one request: the prices that are shown, and the true rates."""

from __future__ import annotations

from bidsim.bidder.memory import SLOT, meet, recall_exposures, recent_frequency
from bidsim.core.kernel import kernel
from bidsim.engine.exploration import moved_by
from bidsim.engine.feed import bring_up
from bidsim.engine.impressions import offer_price, read_need, true_rates
from bidsim.engine.incidents import disturbed_rates, spared
from bidsim.engine.tables import Chunk, State
from bidsim.engine.users import find_user, from_the_start
from bidsim.response.truth import UNMOVED, Moved, Rates

VIEW, CLICK, BUY, ATTRIBUTED, DIRECT = range(5)
"""Columns of `Scratch.rates`."""
USER, SEEN = range(2)
"""Columns of `Scratch.slot`."""


@kernel(inner=True)
def look_up(sim: State, chunk: Chunk, i: int) -> None:
    """Find the user of request ``i``, and let what was bought in the meantime happen and be told."""
    world, bidder, requests = sim.world, sim.bidder, chunk.requests
    user, time = requests.user[i], requests.time[i]
    met = bidder.memory.table[bidder.desk.user[0], SLOT]
    exposed, intent = from_the_start(world.rules.holdout > 0.0), chunk.latent.intent[i]
    key = world.keys.organic
    slot = find_user(world.store, world.truth, key, user, intent, chunk.latent.interest[i], exposed, 0, met)
    world.scratch.slot[USER] = slot
    clock_of = world.scratch.clock_of
    bring_up(world.store, slot, world.truth, key, world.feed, bidder.memory, bidder.port.bought, clock_of, time)
    if world.rules.late:
        seen = meet(world.seen, user)
        world.scratch.slot[SEEN] = seen
        recall_exposures(world.seen, world.scratch.exposure_of, seen, time, bidder.campaigns.cap_window)


@kernel(inner=True)
def natural_offer(sim: State, campaign: int) -> float:
    """Log of the price shown over the campaign's price, as the shop shows it without exploration."""
    return sim.bidder.port.offer[sim.world.truth.line[campaign]]


@kernel(inner=True)
def _rates_when(sim: State, chunk: Chunk, i: int, campaign: int, moved: Moved) -> Rates:
    truth, scratch, time = sim.world.truth, sim.world.scratch, chunk.requests.time[i]
    need = read_need(sim.world.store, scratch.clock_of[truth.line[campaign]], time)
    frequency = recent_frequency(sim.world.seen, scratch.exposure_of[campaign], time)
    rates = true_rates(truth, chunk, i, campaign, need, natural_offer(sim, campaign), frequency, moved)
    if sim.world.rules.incidents:
        rates = disturbed_rates(rates, spared(sim, chunk, i, campaign))
    return rates


@kernel(inner=True)
def explored_rates(sim: State, chunk: Chunk, i: int, campaign: int, arms: int) -> Rates:
    """True rates of a campaign with its levers set by the arms."""
    return _rates_when(sim, chunk, i, campaign, moved_by(sim, campaign, arms))


@kernel(inner=True)
def write_rates(sim: State, chunk: Chunk, i: int, k: int) -> None:
    """Write the true rates of the k-th eligible campaign, in the first position, to ``scratch.rates``."""
    rates = _rates_when(sim, chunk, i, sim.bidder.desk.offers.campaign[k], UNMOVED)
    row = sim.world.scratch.rates[k]
    row[VIEW] = rates.viewed
    row[CLICK] = rates.clicked
    row[BUY] = rates.bought
    row[ATTRIBUTED] = rates.attributed
    row[DIRECT] = rates.direct


@kernel(inner=True)
def declare(sim: State, chunk: Chunk, i: int, count: int, want_truth: bool) -> None:
    """Write to the port at what price each eligible campaign's line is shown, and to oracles what is true."""
    world, port, campaigns = sim.world, sim.bidder.port, sim.bidder.desk.offers.campaign
    for k in range(count):
        c = campaigns[k]
        line = world.truth.line[c]
        if world.scratch.priced[line] != chunk.requests.number[i]:
            world.scratch.priced[line] = chunk.requests.number[i]
            port.offer[line] = offer_price(world.truth, world.keys, chunk, i, c)
        if want_truth:
            write_rates(sim, chunk, i, k)
            port.rate[c] = world.scratch.rates[k, ATTRIBUTED]
            port.lift[c] = world.scratch.rates[k, DIRECT]

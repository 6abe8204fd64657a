"""The rows that a run keeps: impressions that were won, and decisions."""

from __future__ import annotations

from bidsim.core.kernel import kernel
from bidsim.core.random import uniform
from bidsim.engine.impressions import Events
from bidsim.engine.rates import ATTRIBUTED, DIRECT, natural_offer
from bidsim.engine.rows import DECISION, DECISION_F, WIN, WIN_F, take_row
from bidsim.engine.tables import Chunk, State
from bidsim.response.truth import Rates

OF_WINS, OF_DECISIONS, OF_OFFERS = range(3)
"""What is sampled by request, each by dice of its own."""


@kernel(inner=True)
def sampled(sim: State, request: int, which: int, share: float) -> bool:
    """Whether rows of this request are kept."""
    return share >= 1.0 or uniform(sim.world.keys.sample, request, which, 0) < share


@kernel(inner=True)
def keep_win(sim: State, chunk: Chunk, i: int, k: int, s: int, events: Events, rates: Rates) -> int:
    """Keep a row of a won position; return it."""
    row = take_row(sim.world.logs.wins)
    offers, requests = sim.bidder.desk.offers, chunk.requests
    ints, floats = sim.world.logs.wins.ints[row], sim.world.logs.wins.floats[row]
    ints[WIN.request] = requests.number[i]
    ints[WIN.time_us] = requests.time[i]
    ints[WIN.user] = requests.user[i]
    ints[WIN.campaign] = offers.campaign[k]
    ints[WIN.bid_nanos] = offers.bid[k]
    ints[WIN.payment_nanos] = offers.payment[k]
    ints[WIN.minimum_bid_nanos] = offers.minimum[k]
    ints[WIN.bidfloor_nanos] = requests.floor[i]
    ints[WIN.rival_nanos] = chunk.rivals[i, 0] if chunk.rivals.shape[1] > 0 else 0
    ints[WIN.position] = s
    ints[WIN.price_nanos] = sim.world.scratch.outcome.payment[s]
    ints[WIN.viewed] = events.viewed
    ints[WIN.clicked] = events.clicked
    ints[WIN.converted] = 0
    ints[WIN.conversion_time_us] = -1
    for field in range(requests.categories.shape[1]):
        ints[WIN.exchange + field] = requests.categories[i, field]
    floats[WIN_F.pcvr] = offers.pcvr[k]
    floats[WIN_F.value_nanos] = offers.value[k]
    floats[WIN_F.multiplier] = offers.multiplier[k]
    floats[WIN_F.true_rate] = rates.attributed
    floats[WIN_F.direct_rate] = rates.direct
    floats[WIN_F.true_view] = rates.viewed
    floats[WIN_F.true_click] = rates.clicked
    floats[WIN_F.true_conversion] = rates.bought
    return row


@kernel(inner=True)
def note_exploration(sim: State, row: int, k: int, arms: int, kept: bool, natural: Rates) -> None:
    """Complete a row with what dice set, and what would have been without them."""
    ints, floats = sim.world.logs.wins.ints[row], sim.world.logs.wins.floats[row]
    ints[WIN.arms] = arms
    ints[WIN.sampled] = 1 if kept else 0
    floats[WIN_F.natural_rate] = natural.attributed
    floats[WIN_F.natural_direct_rate] = natural.direct
    floats[WIN_F.offer] = natural_offer(sim, sim.bidder.desk.offers.campaign[k]) if sim.world.rules.users else 0.0


@kernel(inner=True)
def keep_decisions(sim: State, chunk: Chunk, i: int, count: int) -> None:
    """Keep a row for each eligible campaign of a request: what the model saw, what was decided, the truth apart."""
    desk, offers, log, requests = sim.bidder.desk, sim.bidder.desk.offers, sim.world.logs.decisions, chunk.requests
    for k in range(count):
        row = take_row(log)
        ints, floats = log.ints[row], log.floats[row]
        ints[DECISION.request] = requests.number[i]
        ints[DECISION.time_us] = requests.time[i]
        ints[DECISION.user] = requests.user[i]
        ints[DECISION.campaign] = offers.campaign[k]
        ints[DECISION.bid_nanos] = offers.bid[k]
        ints[DECISION.minimum_bid_nanos] = offers.minimum[k]
        ints[DECISION.payment_nanos] = offers.payment[k]
        ints[DECISION.reason] = desk.reason[k]
        ints[DECISION.price_nanos] = offers.price[k]
        floats[DECISION_F.pcvr] = offers.pcvr[k]
        floats[DECISION_F.value_nanos] = offers.value[k]
        floats[DECISION_F.multiplier] = offers.multiplier[k]
        floats[DECISION_F.propensity] = offers.propensity[k]
        _keep_truth(sim, k, row)
        floats[DECISION_F.quality] = offers.quality[k]
        for j in range(log.features.shape[1]):
            log.features[row, j] = desk.features[k, j]


@kernel(inner=True)
def _keep_truth(sim: State, k: int, row: int) -> None:
    world, floats = sim.world, sim.world.logs.decisions.floats[row]
    if world.rules.users:
        floats[DECISION_F.true_rate] = world.scratch.rates[k, ATTRIBUTED]
        floats[DECISION_F.direct_rate] = world.scratch.rates[k, DIRECT]
    else:
        worth = world.scratch.drawn.worth[sim.bidder.desk.source[k]]
        floats[DECISION_F.true_rate] = worth / sim.bidder.campaigns.value[sim.bidder.desk.offers.campaign[k]]
        floats[DECISION_F.direct_rate] = floats[DECISION_F.true_rate]

"""The exploration slice: for some (user, advertiser) pairs dice set the levers, and neither bidder nor model is told.

The truth answers to what was set; bids, features and predictions are those of the natural values. Levers of the ad are
drawn once for a pair, so that a user always sees the same offer; the lever ``bid`` multiplies a finished bid, request
by request.
"""

from __future__ import annotations

import math

from bidsim.core.kernel import kernel
from bidsim.core.random import uniform
from bidsim.core.units import price_of
from bidsim.engine.impressions import true_rates
from bidsim.engine.incidents import disturbed_rates, spared
from bidsim.engine.tables import Chunk, Simulated
from bidsim.observers.exploration import BIDS, OFFERED, PAYMENT, WINS
from bidsim.response.truth import Moved, Rates

LEVERS = ("price", "creative", "landing", "shipping_days", "bid")
"""What can be explored; prices and bids are moved in logarithms."""
BID = LEVERS.index("bid")
DOWN, NATURAL, UP = range(3)
ARMS = 3
CHANCES = (0.4, 0.2, 0.4)
"""Probabilities of the arms: extreme points tell most about a slope, the middle one about curvature."""
SHIFT, CLICK, BUY, LOG = range(4)
"""Columns of `Exploration.moves`: the change in the lever's own unit, in the log-odds of click and purchase, and in the log of price or bid."""
NOT_EXPLORED = -1


@kernel(inner=True)
def is_explored(sim: Simulated, user: int, campaign: int) -> bool:
    """Whether the pair of user and advertiser is in the slice."""
    return (
        sim.rules.exploration > 0.0
        and uniform(sim.keys.exploration, user, sim.campaigns.holder[campaign], 0) < sim.rules.exploration
    )


@kernel(inner=True)
def _arm(sim: Simulated, lever: int, dice: float) -> int:
    if dice < sim.exploration.below[lever, 0]:
        return DOWN
    return NATURAL if dice < sim.exploration.below[lever, 1] else UP


@kernel(inner=True)
def bid_arm(sim: Simulated, request: int, campaign: int) -> int:
    """Arm of the bid, drawn for each request."""
    return _arm(sim, BID, uniform(sim.keys.exploration, request, sim.campaigns.id[campaign], 1 + BID))


@kernel(inner=True)
def draw_arms(sim: Simulated, user: int, request: int, campaign: int) -> int:
    """Arms of all levers as one number to base 3, the first lever lowest; `NOT_EXPLORED` outside the slice."""
    if not is_explored(sim, user, campaign):
        return NOT_EXPLORED
    arms, place = 0, 1
    for lever in range(BID):
        arms += place * _arm(sim, lever, uniform(sim.keys.exploration, user, sim.campaigns.holder[campaign], 1 + lever))
        place *= ARMS
    return arms + place * bid_arm(sim, request, campaign)


@kernel(inner=True)
def moved_by(sim: Simulated, campaign: int, arms: int) -> Moved:
    """How the arms change the truth of a campaign."""
    click, buy, price = 0.0, 0.0, 0.0
    for lever in range(BID):
        move = sim.exploration.moves[campaign, lever, arms % ARMS]
        click += move[CLICK]
        buy += move[BUY]
        price += move[LOG]
        arms //= ARMS
    return Moved(click, buy, price)


@kernel(inner=True)
def explored_rates(sim: Simulated, chunk: Chunk, i: int, k: int, arms: int) -> Rates:
    """True rates of the k-th eligible campaign with its levers set by the arms."""
    campaign = sim.scratch.offers.campaign[k]
    rates = true_rates(
        sim.truth, sim.store, sim.scratch, chunk, i, campaign, sim.scratch.price[k], moved_by(sim, campaign, arms)
    )
    return disturbed_rates(rates, spared(sim, chunk, i, campaign)) if sim.rules.incidents else rates


@kernel(inner=True)
def explore_bids(sim: Simulated, chunk: Chunk, i: int, count: int) -> None:
    """Multiply the bids of the slice by the factor of their arm, and count what was tried."""
    offers = sim.scratch.offers
    for k in range(count):
        campaign = offers.campaign[k]
        if is_explored(sim, chunk.requests.user[i], campaign):
            arm = bid_arm(sim, chunk.requests.number[i], campaign)
            offers.bid[k] = price_of(offers.bid[k] * math.exp(sim.exploration.moves[campaign, BID, arm, LOG]))
            sim.exploration.tried[campaign, arm, OFFERED] += 1
            if offers.bid[k] > 0 and offers.active[k]:
                sim.exploration.tried[campaign, arm, BIDS] += 1


@kernel(inner=True)
def count_explored_win(sim: Simulated, campaign: int, arms: int, payment: int) -> None:
    """Count a win under the arm of its bid."""
    arm = arms // ARMS**BID
    sim.exploration.tried[campaign, arm, WINS] += 1
    sim.exploration.tried[campaign, arm, PAYMENT] += payment

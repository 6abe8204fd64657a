"""The exploration slice: for some (user, advertiser) pairs dice set the levers, and neither bidder nor model is told.

The truth answers to what was set; bids, features and predictions are those of the natural values. Levers of the ad are
drawn once for a pair, so that a user always sees the same offer; the lever ``bid`` multiplies a finished bid, request
by
request (`bidsim.bidder.exploration`).
"""

from __future__ import annotations

from bidsim.bidder.exploration import ARMS, DOWN, NATURAL, UP, bid_arm, is_explored
from bidsim.core.kernel import kernel
from bidsim.core.levers import BID
from bidsim.core.random import uniform
from bidsim.engine.tables import State
from bidsim.observers.exploration import PAYMENT, WINS
from bidsim.response.truth import Moved

SHIFT, CLICK, BUY, LOG = range(4)
"""Columns of `Exploration.moves`: the change in the lever's own unit, in the log-odds of click and purchase, and in the
log of price or bid."""
NOT_EXPLORED = -1


@kernel(inner=True)
def _arm(sim: State, lever: int, dice: float) -> int:
    below = sim.world.exploration.below[lever]
    if dice < below[0]:
        return DOWN
    return NATURAL if dice < below[1] else UP


@kernel(inner=True)
def draw_arms(sim: State, user: int, request: int, campaign: int) -> int:
    """Arms of all levers as one number to base 3, the first lever lowest; `NOT_EXPLORED` outside the slice."""
    if not is_explored(sim.bidder, user, campaign):
        return NOT_EXPLORED
    arms, place, holder = 0, 1, sim.bidder.campaigns.holder[campaign]
    for lever in range(BID):
        arms += place * _arm(sim, lever, uniform(sim.world.keys.exploration, user, holder, 1 + lever))
        place *= ARMS
    return arms + place * bid_arm(sim.bidder, request, campaign)


@kernel(inner=True)
def moved_by(sim: State, campaign: int, arms: int) -> Moved:
    """How the arms change the truth of a campaign."""
    click, buy, price = 0.0, 0.0, 0.0
    for lever in range(BID):
        move = sim.world.exploration.moves[campaign, lever, arms % ARMS]
        click += move[CLICK]
        buy += move[BUY]
        price += move[LOG]
        arms //= ARMS
    return Moved(click, buy, price)


@kernel(inner=True)
def count_explored_win(sim: State, campaign: int, arms: int, payment: int) -> None:
    """Count a win under the arm of its bid."""
    arm = arms // ARMS**BID
    sim.bidder.experiment.tried[campaign, arm, WINS] += 1
    sim.bidder.experiment.tried[campaign, arm, PAYMENT] += payment

"""The bidder's part of the exploration slice: for some (user, advertiser) pairs dice multiply finished bids.

The lever ``bid`` is moved request by request, and neither policy nor model is told; levers of the ad itself are the
world's to move (`engine.exploration`), by the same dice.
"""

from __future__ import annotations

from bidsim.bidder.tables import Bidder
from bidsim.core.kernel import kernel
from bidsim.core.levers import BID
from bidsim.core.random import uniform
from bidsim.core.requests import Requests
from bidsim.core.units import price_of
from bidsim.observers.exploration import BIDS, OFFERED

DOWN, NATURAL, UP = range(3)
ARMS = 3
CHANCES = (0.4, 0.2, 0.4)
"""Probabilities of the arms: extreme points tell most about a slope, the middle one about curvature."""


@kernel(inner=True)
def is_explored(bidder: Bidder, user: int, campaign: int) -> bool:
    """Whether the pair of user and advertiser is in the slice."""
    share = bidder.rules.exploration
    return share > 0.0 and uniform(bidder.keys.exploration, user, bidder.campaigns.holder[campaign], 0) < share


@kernel(inner=True)
def bid_arm(bidder: Bidder, request: int, campaign: int) -> int:
    """Arm of the bid, drawn for each request."""
    dice = uniform(bidder.keys.exploration, request, bidder.campaigns.id[campaign], 1 + BID)
    if dice < bidder.experiment.below[0]:
        return DOWN
    return NATURAL if dice < bidder.experiment.below[1] else UP


@kernel(inner=True)
def explore_bids(bidder: Bidder, requests: Requests, i: int, count: int) -> None:
    """Multiply the bids of the slice by the factor of their arm, and count what was tried."""
    offers, experiment = bidder.desk.offers, bidder.experiment
    for k in range(count):
        campaign = offers.campaign[k]
        if is_explored(bidder, requests.user[i], campaign):
            arm = bid_arm(bidder, requests.number[i], campaign)
            offers.bid[k] = price_of(offers.bid[k] * experiment.factor[campaign, arm])
            experiment.tried[campaign, arm, OFFERED] += 1
            if offers.bid[k] > 0 and offers.active[k]:
                experiment.tried[campaign, arm, BIDS] += 1

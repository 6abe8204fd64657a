"""What a seat's model sees of each eligible campaign: the feature rows of one request."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bidsim.bidder.faults import disturb_pairs, disturb_request
from bidsim.bidder.memory import SEEN, Memory, recent_frequency
from bidsim.bidder.tables import Bidder, Campaigns
from bidsim.core.kernel import kernel
from bidsim.core.requests import Requests
from bidsim.core.units import NEVER
from bidsim.cvr.features import FIRST_CAMPAIGN, FIRST_PAIR, fill_pair, fill_request


@kernel(inner=True)
def fill_shared(row: NDArray[np.float32], request: NDArray[np.float32], campaigns: Campaigns, campaign: int) -> None:
    """Write the features of the request, which ``request`` holds, and of the campaign."""
    for j in range(FIRST_CAMPAIGN):
        row[j] = request[j]
    for j in range(FIRST_CAMPAIGN, FIRST_PAIR):
        row[j] = campaigns.static[campaign, j - FIRST_CAMPAIGN]


@kernel(inner=True)
def fill_own(row: NDArray[np.float32], memory: Memory, exposure: int, bought: int, price: float, time: int) -> None:
    """Write the features of (user, campaign).

    Args:
        row: The feature row.
        memory: What is known of users.
        exposure: The pair's exposure, -1 where there is none.
        bought: When the user bought of the line, minus `NEVER` where that is not known.
        price: Price shown, currency units.
        time: Microseconds.

    """
    since_seen = time - memory.exposures[exposure, SEEN.last] if exposure >= 0 else -1
    since_purchase = time - bought if bought > -NEVER else -1
    fill_pair(row, price, recent_frequency(memory, exposure, time), since_seen, since_purchase)


@kernel(inner=True)
def fill_rows(bidder: Bidder, requests: Requests, i: int, count: int, whole: bool) -> None:
    """Write the rows of ``count`` campaigns; they are whole where they are logged, or the seat's model wants them."""
    campaigns, desk, previous = bidder.campaigns, bidder.desk, -1
    fill_request(desk.head, requests, i)
    if bidder.rules.faults:
        disturb_request(bidder, requests, i)
    for k in range(count):
        c = desk.offers.campaign[k]
        seat, line = campaigns.seat[c], campaigns.line[c]
        if whole or seat != previous or bidder.seats.whole_rows[seat]:
            fill_shared(desk.features[k], desk.head, campaigns, c)
        previous = seat
        desk.price[k] = bidder.port.offer[line]
        price = campaigns.price[c] * math.exp(desk.price[k])
        fill_own(
            desk.features[k], bidder.memory, desk.exposure_of[c], bidder.port.bought[line], price, requests.time[i]
        )
    if bidder.rules.faults:
        disturb_pairs(bidder, requests, i, count)

"""Batches of bid requests: what a bidder may see, and, in a type of its own, what is true of the user."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CATEGORIES = ("exchange", "site", "placement", "device", "geo", "slot", "segment", "age")
"""Columns of `Requests.categories`; targeting, slices and categorical features use these names."""
EXCHANGE, SITE, PLACEMENT, DEVICE, GEO, SLOT, SEGMENT, AGE = range(8)

NUMBERS = ("visits", "engagement")
"""Columns of `Requests.numbers`: observed proxies of a user's activity and intent."""
VISITS, ENGAGEMENT = range(2)


class Requests(NamedTuple):
    """Observed side of n bid requests, sorted by time.

    Fields: ``number`` int64[n] of the request in its stream; ``time`` int64[n] microseconds;
    ``user`` int64[n]; ``floor`` int64[n] nanos; ``categories`` int32[n, 8] level codes;
    ``numbers`` float32[n, 2], NaN where the bidder does not know.
    """

    number: NDArray[np.int64]
    time: NDArray[np.int64]
    user: NDArray[np.int64]
    floor: NDArray[np.int64]
    categories: NDArray[np.int32]
    numbers: NDArray[np.float32]


class Latent(NamedTuple):
    """Hidden side of the same n requests, which no bidder sees.

    Fields: ``intent`` float64[n], standard normal over users; ``sensitivity`` float64[n] to price,
    standard normal over users; ``interest`` int64[n], the category the user cares about.
    """

    intent: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    interest: NDArray[np.int64]


def empty_requests(n: int) -> tuple[Requests, Latent]:
    """Allocate a batch of ``n`` requests."""
    observed = Requests(
        number=np.zeros(n, np.int64),
        time=np.zeros(n, np.int64),
        user=np.zeros(n, np.int64),
        floor=np.zeros(n, np.int64),
        categories=np.zeros((n, len(CATEGORIES)), np.int32),
        numbers=np.zeros((n, len(NUMBERS)), np.float32),
    )
    latent = Latent(np.zeros(n), np.zeros(n), np.zeros(n, np.int64))
    return observed, latent

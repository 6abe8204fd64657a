"""The stream of bid requests: arrivals, users, and what each request looks like."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.core import requests as columns
from bidsim.core.datasets import load_dataset
from bidsim.core.kernel import kernel
from bidsim.core.random import stream_key, uniform, uniform_open
from bidsim.core.requests import Latent, Requests, empty_requests
from bidsim.core.units import cpm_to_nanos
from bidsim.kernels.choose import choose, cumulative
from bidsim.traffic.arrivals import Arrivals
from bidsim.traffic.settings import AGES, TrafficSettings
from bidsim.traffic.users import Population, pick_user, user_profile

_EXCHANGE, _SITE, _PLACEMENT, _SLOT, _FLOOR, _LOYAL, _USER = range(7)


class Inventory(NamedTuple):
    """What can be requested, as the kernels take it.

    Fields: cumulative shares ``exchange``, ``slot``; ``site`` float64[interests + 1, sites], the last row
    for visits without loyalty; ``placement`` shares and ``tilt``; floors of all exchanges one after the
    other, those of exchange e from ``floor_first[e]`` to ``floor_first[e + 1]``.
    """

    exchange: NDArray[np.float64]
    slot: NDArray[np.float64]
    site: NDArray[np.float64]
    site_loyalty: float
    placement: NDArray[np.float64]
    tilt: NDArray[np.float64]
    floor_first: NDArray[np.int64]
    floor_nanos: NDArray[np.int64]
    floor_share: NDArray[np.float64]


def population_of(settings: TrafficSettings) -> Population:
    """Population parameters of a scenario's traffic."""
    return Population(
        users=settings.users,
        activity_spread=float(settings.activity_spread),
        intent_activity=float(settings.intent_activity),
        interests=len(settings.interests),
        geo=cumulative(np.array(list(settings.geo.values()))),
        device=cumulative(np.array(list(settings.device.values()))),
        ages=len(AGES),
        segment_accuracy=float(settings.segment_accuracy),
        engagement_noise=float(settings.engagement_noise),
    )


def inventory_of(settings: TrafficSettings) -> Inventory:
    """Inventory parameters of a scenario's traffic."""
    placements = list(settings.placements.values())
    floors = _floors(settings)
    return Inventory(
        exchange=cumulative(np.array(list(settings.exchanges.values()))),
        slot=cumulative(np.array(list(settings.slots.values()))),
        site=_site_shares(settings.sites, len(settings.interests)),
        site_loyalty=float(settings.site_loyalty),
        placement=np.array([p.share for p in placements], dtype=np.float64),
        tilt=np.array([p.intent_tilt for p in placements], dtype=np.float64),
        floor_first=np.cumsum([0] + [len(prices) for prices, _ in floors]).astype(np.int64),
        floor_nanos=np.array([cpm_to_nanos(p) for prices, _ in floors for p in prices], dtype=np.int64),
        floor_share=np.concatenate([cumulative(np.array(shares)) for _, shares in floors]),
    )


def _floors(settings: TrafficSettings) -> list[tuple[list[float], list[float]]]:
    if settings.floors == "ipinyou":
        published = load_dataset("ipinyou")["exchanges"]
        return [(published[name]["floor_cpm"], published[name]["floor_share"]) for name in settings.exchanges]
    same = ([f.cpm for f in settings.floors], [f.share for f in settings.floors])
    return [same] * len(settings.exchanges)


def _site_shares(sites: int, interests: int) -> NDArray[np.float64]:
    popularity = 1.0 / (1.0 + np.arange(sites) // interests + 0.1 * (np.arange(sites) % interests))
    rows = []
    for interest in range(interests + 1):
        weights = (
            popularity if interest == interests else np.where(np.arange(sites) % interests == interest, popularity, 0.0)
        )
        rows.append(cumulative(weights if weights.sum() > 0 else popularity))
    return np.ascontiguousarray(rows)


class Traffic:
    """A stream of requests that can be generated in chunks of any size, always the same.

    Args:
        settings: The scenario's ``[traffic]``.
        seed: Seed of the world.
        stream: Name of the stream; streams of one seed share their users.
        arrivals: When the requests of this stream come.

    """

    def __init__(self, settings: TrafficSettings, seed: int, stream: str, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        self.population = population_of(settings)
        self.inventory = inventory_of(settings)
        self.user_key = stream_key(seed, "users")
        self._request_key = stream_key(seed, f"{stream}/requests")

    def chunk(self, lo: int, hi: int) -> tuple[Requests, Latent]:
        """Requests ``lo`` to ``hi`` of the stream.

        Raises:
            UsageError: The stream does not have them all.

        """
        self.arrivals.check(lo, hi)
        observed, latent = empty_requests(hi - lo)
        self.arrivals.fill(lo, observed.time)
        _fill(observed, latent, self.population, self.inventory, self.user_key, self._request_key, lo)
        return observed, latent

    def bare_chunk(self, lo: int, hi: int) -> tuple[Requests, Latent]:
        """Requests with a number and a time only, for worlds without users.

        Raises:
            UsageError: The stream does not have them all.

        """
        self.arrivals.check(lo, hi)
        observed, latent = empty_requests(hi - lo)
        observed.number[:] = np.arange(lo, hi)
        self.arrivals.fill(lo, observed.time)
        return observed, latent


@kernel()
def _placement(inventory: Inventory, intent: float, u: float) -> int:
    total = 0.0
    for k in range(inventory.placement.shape[0]):
        total += inventory.placement[k] * math.exp(inventory.tilt[k] * intent)
    left = u * total
    last = inventory.placement.shape[0] - 1
    for k in range(last):
        left -= inventory.placement[k] * math.exp(inventory.tilt[k] * intent)
        if left < 0.0:
            return k
    return last


@kernel()
def _site(inventory: Inventory, interest: int, loyal: float, u: float) -> int:
    row = interest if loyal < inventory.site_loyalty else inventory.site.shape[0] - 1
    return choose(inventory.site[row], u)


@kernel()
def _floor(inventory: Inventory, exchange: int, u: float) -> int:
    first, end = inventory.floor_first[exchange], inventory.floor_first[exchange + 1]
    return inventory.floor_nanos[first + choose(inventory.floor_share[first:end], u)]


@kernel()
def _fill(
    observed: Requests,
    latent: Latent,
    population: Population,
    inventory: Inventory,
    user_key: np.uint64,
    request_key: np.uint64,
    lo: int,
) -> None:
    for i in range(observed.time.shape[0]):
        r = lo + i
        user = pick_user(population, uniform_open(request_key, r, _USER, 0))
        who = user_profile(population, user_key, user)
        exchange = choose(inventory.exchange, uniform(request_key, r, _EXCHANGE, 0))
        observed.number[i] = r
        observed.user[i] = user
        observed.floor[i] = _floor(inventory, exchange, uniform(request_key, r, _FLOOR, 0))
        row = observed.categories[i]
        row[columns.EXCHANGE] = exchange
        row[columns.SITE] = _site(
            inventory, who.interest, uniform(request_key, r, _LOYAL, 0), uniform(request_key, r, _SITE, 0)
        )
        row[columns.PLACEMENT] = _placement(inventory, who.intent, uniform(request_key, r, _PLACEMENT, 0))
        row[columns.DEVICE] = who.device
        row[columns.GEO] = who.geo
        row[columns.SLOT] = choose(inventory.slot, uniform(request_key, r, _SLOT, 0))
        row[columns.SEGMENT] = who.segment
        row[columns.AGE] = who.age
        observed.numbers[i, columns.VISITS] = who.visits
        observed.numbers[i, columns.ENGAGEMENT] = who.engagement
        latent.intent[i] = who.intent
        latent.sensitivity[i] = who.sensitivity
        latent.interest[i] = who.interest

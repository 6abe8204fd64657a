"""What bidders may expect before the first request: opportunities, prices and values, from a forecast's own stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.calls import addresses
from bidsim.core.contracts import DRAW_SIGNATURE, NOTHING, Rivals, ValueBrief, call_draw, empty_drawn, empty_offers
from bidsim.core.kernel import kernel
from bidsim.core.random import stream_key
from bidsim.core.reference import ref
from bidsim.core.requests import CATEGORIES
from bidsim.core.units import cpm_to_nanos
from bidsim.scenario.names import chosen_params
from bidsim.traffic.arrivals import Arrivals
from bidsim.traffic.stream import Traffic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bidsim.core.contracts import Drawn, Offers
    from bidsim.engine.tables import Campaigns
    from bidsim.scenario.load import Scenario
    from bidsim.scenario.model import CampaignSettings

_REQUESTS = 20_000
_QUANTILES = 256


@dataclass(frozen=True)
class Forecast:
    """What one campaign may expect.

    Attributes:
        opportunities: Expected requests in which it can take part, of the run or of one episode.
        prices: Quantiles of the highest rival bid in those requests, or of the floor where that is higher, nanos.
        values: Values of impressions as the bidder would see them, nanos, where values are drawn.
        mean_rate: Mean predicted rate, where values are drawn.

    """

    opportunities: float
    prices: NDArray[np.float64] = field(default_factory=lambda: NOTHING)
    values: NDArray[np.float64] = field(default_factory=lambda: NOTHING)
    mean_rate: float = 0.0


def forecast(scenario: Scenario, order: Sequence[tuple[str, CampaignSettings, int]], campaigns: Campaigns, rivals: Rivals, drawn: tuple[Any, Any, Any] | None) -> list[Forecast]:
    """Forecast for each campaign.

    Args:
        scenario: The scenario.
        order: Name, settings and seat of each campaign, in the engine's order.
        campaigns: Their fixed facts.
        rivals: The market outside; a replayed log is not looked into.
        drawn: Kernel and vectors of the value model; None where there are users.

    """
    settings = scenario.settings
    arrivals = Arrivals(settings.seed, "forecast", requests=_REQUESTS, start=0, duration=settings.duration, hours=settings.traffic.hours, exact=True)
    traffic = Traffic(settings.traffic, settings.seed, "forecast", arrivals)
    requests, latent = traffic.chunk(0, _REQUESTS) if drawn is None else traffic.bare_chunk(0, _REQUESTS)
    top = np.zeros(_REQUESTS, np.int64)
    if rivals.depth and rivals.logged is None:
        bids = np.zeros((_REQUESTS, rivals.depth), np.int64)
        # numbers of their own, so that a forecast never shows the run's own prices
        rivals.fill(requests._replace(number=-1 - requests.number), latent, bids)
        top = bids[:, 0]
    top = np.maximum(top, np.maximum(requests.floor, cpm_to_nanos(settings.auction.reserve_cpm)))
    if drawn is not None:
        total = settings.episode or settings.requests or (len(rivals.logged) if rivals.logged is not None else 0)
        return _forecast_drawn(settings.seed, len(order), rivals, drawn, top, total)
    vocabulary = settings.traffic.vocabulary()
    found = []
    for k, (_, campaign, seat) in enumerate(order):
        matches = (requests.time >= campaigns.start[k]) & (requests.time < campaigns.end[k])
        for j, name in enumerate(CATEGORIES):
            wanted = getattr(campaign.targeting, name)
            if wanted is not None:
                matches &= np.isin(requests.categories[:, j], [vocabulary[name].index(level) for level in wanted])
        users = list(settings.seats.values())[seat].users
        found.append(Forecast(float(matches.mean()) * settings.requests * (users[1] - users[0]), _quantiles(top[matches])))
    return found


def _quantiles(prices: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.quantile(prices, (np.arange(_QUANTILES) + 0.5) / _QUANTILES) if len(prices) else NOTHING


def _forecast_drawn(seed: int, campaigns: int, rivals: Rivals, drawn: tuple[Any, Any, Any], top: NDArray[np.int64], total: int) -> list[Forecast]:
    draw, floats, ints = drawn
    told = rivals.logged is not None
    logged = rivals.logged if rivals.logged is not None else np.zeros((1, 3))
    count = min(_REQUESTS, len(logged)) if told else _REQUESTS
    values, rates = np.full((count, campaigns), np.nan), np.full((count, campaigns), np.nan)
    _sample(
        int(addresses([draw], DRAW_SIGNATURE)[0]),
        stream_key(seed, "forecast/values"),
        logged,
        floats,
        ints,
        ref(empty_offers(campaigns)),
        ref(empty_drawn(campaigns)),
        values,
        rates,
    )
    found = []
    for c in range(campaigns):
        present = np.isfinite(values[:, c])
        mean = float(rates[present, c].mean()) if present.any() else 0.0
        # whoever reads a log is told the mean rate over all of it, as if a training set had shown it
        mean = float(logged[:, 0].mean()) if told else mean
        found.append(Forecast(float(present.mean()) * total, NOTHING if told else _quantiles(top), NOTHING if told else np.sort(values[present, c]), mean))
    return found


@kernel()
def _sample(
    draw: int,
    key: np.uint64,
    logged: NDArray[np.float64],
    floats: NDArray[np.float64],
    ints: NDArray[np.int64],
    offers: Offers,
    drawn: Drawn,
    values: NDArray[np.float64],
    rates: NDArray[np.float64],
) -> None:
    for r in range(values.shape[0]):
        count = call_draw(draw, (offers, drawn, r, key, logged[r % logged.shape[0]], floats, ints))
        for k in range(count):
            values[r, offers.campaign[k]] = offers.value[k]
            rates[r, offers.campaign[k]] = offers.pcvr[k]


def prepare_values(scenario: Scenario, names: Sequence[str], value_nanos: Sequence[int]) -> tuple[Any, Any, Any] | None:
    """Kernel and vectors of the scenario's value model; None where there are users."""
    chosen = scenario.settings.values
    if chosen is None:
        return None
    model, params = chosen_params("values", chosen.name, chosen.params, scenario.beside)
    floats, ints = model.prepare(params, ValueBrief(list(names), list(value_nanos)))
    return model.draw, np.ascontiguousarray(floats, np.float64), np.ascontiguousarray(ints, np.int64)

"""What bidders may expect before the first request: opportunities, prices and values, from a forecast's own stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.calls import addresses
from bidsim.core.contracts import (
    DRAW_SIGNATURE,
    NOTHING,
    OUT_OF_REACH,
    Rivals,
    ValueBrief,
    call_draw,
    empty_drawn,
    empty_offers,
)
from bidsim.core.kernel import kernel
from bidsim.core.random import stream_key
from bidsim.core.reference import ref
from bidsim.core.requests import CATEGORIES
from bidsim.core.units import cpm_to_nanos
from bidsim.scenario.names import chosen_params
from bidsim.traffic.arrivals import Arrivals
from bidsim.traffic.stream import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from bidsim.bidder.tables import Campaigns
    from bidsim.core.contracts import Drawn, Offers
    from bidsim.core.requests import Requests
    from bidsim.scenario.load import Scenario
    from bidsim.scenario.model import CampaignSettings, ScenarioSettings, Targeting

_REQUESTS = 20_000
_QUANTILES = 256
_BEYOND = 1e300


@dataclass(frozen=True)
class Forecast:
    """What one campaign may expect.

    Attributes:
        opportunities: Expected requests in which it can take part, of the run or of one episode.
        prices: Quantiles of the bid that it takes in those requests to beat the highest rival, or to reach the floor,
            nanos; infinite where no bid is enough.
        values: Values of impressions as the bidder would see them, nanos, where values are drawn.
        mean_rate: Mean predicted rate, where values are drawn.
        quality: Mean of the expected clicks of an impression where clicks are charged, else 1.

    """

    opportunities: float
    prices: NDArray[np.float64] = field(default_factory=lambda: NOTHING)
    values: NDArray[np.float64] = field(default_factory=lambda: NOTHING)
    mean_rate: float = 0.0
    quality: float = 1.0


def forecast(
    scenario: Scenario,
    order: Sequence[tuple[str, CampaignSettings, int]],
    campaigns: Campaigns,
    rivals: Rivals,
    drawn: tuple[Any, Any, Any] | None,
    charged: Charged,
) -> list[Forecast]:
    """Forecast for each campaign.

    Args:
        scenario: The scenario.
        order: Name, settings and seat of each campaign, in the engine's order.
        campaigns: Their fixed facts.
        rivals: The market outside; of a replayed log the spread of prices is told, as if a training set had shown it.
        drawn: Kernel and vectors of the value model; None where there are users.
        charged: What is charged for, and how bids are compared.

    """
    settings = scenario.settings
    arrivals = Arrivals(
        settings.seed,
        "forecast",
        requests=_REQUESTS,
        start=0,
        duration=settings.duration,
        hours=settings.traffic.hours,
        exact=True,
    )
    traffic = Traffic(settings.traffic, settings.seed, "forecast", arrivals)
    requests, latent = traffic.chunk(0, _REQUESTS) if drawn is None else traffic.bare_chunk(0, _REQUESTS)
    top = np.zeros(_REQUESTS, np.int64)
    if rivals.depth:
        bids = np.zeros((_REQUESTS, rivals.depth), np.int64)
        # numbers of their own, so that a forecast never shows the run's own prices; of a log, rows all over it
        rows = -1 - requests.number if rivals.logged is None else np.arange(_REQUESTS) * len(rivals.logged) // _REQUESTS
        rivals.fill(requests._replace(number=rows), latent, bids)
        top = bids[:, 0]
    floor = np.maximum(requests.floor, cpm_to_nanos(settings.auction.reserve_cpm))
    if drawn is not None:
        total = settings.episode or settings.requests or (len(rivals.logged) if rivals.logged is not None else 0)
        return _forecast_drawn(
            settings.seed, len(order), rivals, drawn, lambda quality: charged.to_win(top, floor, quality), total
        )
    return _forecast_users(
        settings, order, campaigns, _Reach(requests, settings.traffic.vocabulary()), top, floor, charged
    )


def _forecast_users(
    settings: ScenarioSettings,
    order: Sequence[tuple[str, CampaignSettings, int]],
    campaigns: Campaigns,
    reach: _Reach,
    top: NDArray[np.int64],
    floor: NDArray[np.int64],
    charged: Charged,
) -> list[Forecast]:
    """Forecast where there are users; campaigns that ask for the same share what is found."""
    seats = list(settings.seats.values())
    known: dict[tuple[Any, ...], tuple[float, NDArray[np.float64]]] = {}
    sorted_prices: dict[float, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
    found = []
    for k, (_, campaign, seat) in enumerate(order):
        quality = float(campaigns.quality[k]) if charged.by_click else 1.0
        asks = (int(campaigns.start[k]), int(campaigns.end[k]), campaign.targeting, quality)
        alike = (*asks[:2], str(campaign.targeting), quality)
        if alike not in known:
            if quality not in sorted_prices:
                every = charged.to_win(top, floor, quality)
                rows = np.argsort(every, kind="stable")
                sorted_prices[quality] = rows, every[rows]
            matches, (rows, prices) = reach.of(*asks[:3]), sorted_prices[quality]
            known[alike] = float(matches.mean()), _quantiles(prices[matches[rows]])
        share, prices = known[alike]
        users = seats[seat].users
        found.append(Forecast(share * settings.requests * (users[1] - users[0]), prices.copy(), quality=quality))
    return found


class _Reach:
    """Which requests campaigns may take part in.

    Args:
        requests: The requests.
        vocabulary: Names of the levels of each field.

    """

    def __init__(self, requests: Requests, vocabulary: Mapping[str, Sequence[str]]) -> None:
        self._requests = requests
        self._places = {name: {level: k for k, level in enumerate(levels)} for name, levels in vocabulary.items()}

    def of(self, start: int, end: int, targeting: Targeting) -> NDArray[np.bool_]:
        """Requests of a flight that a targeting matches, bool[requests]; microseconds."""
        matches = (self._requests.time >= start) & (self._requests.time < end)
        for j, name in enumerate(CATEGORIES):
            wanted = getattr(targeting, name)
            if wanted is not None:
                allowed = np.zeros(len(self._places[name]), np.bool_)
                allowed[[self._places[name][level] for level in wanted]] = True
                matches &= allowed[self._requests.categories[:, j]]
        return np.asarray(matches)


@dataclass(frozen=True)
class Charged:
    """What the winner is charged for, and how bids for it are compared.

    Attributes:
        by_click: Whether it is a click.
        by_score: Whether bids are then compared by bid times expected clicks; rivals' bids are for impressions where
            they are.

    """

    by_click: bool
    by_score: bool

    def to_win(self, top: NDArray[np.int64], floor: NDArray[np.int64], quality: float) -> NDArray[np.float64]:
        """The bid that beats a rival and reaches a floor for impressions; infinite where none does."""
        beats = np.where(top >= OUT_OF_REACH, np.inf, top / (quality if self.by_click and self.by_score else 1.0))
        return np.asarray(np.maximum(beats, floor / (quality if self.by_click else 1.0)))


def _quantiles(prices: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(prices):
        return NOTHING
    known = prices[np.isfinite(prices)]
    # sorted first, since to sort is quicker than to search for so many
    found = np.quantile(np.sort(np.minimum(prices, _BEYOND)), (np.arange(_QUANTILES) + 0.5) / _QUANTILES)
    found[found > known.max(initial=0.0)] = np.inf
    return np.asarray(found)


def _forecast_drawn(
    seed: int,
    campaigns: int,
    rivals: Rivals,
    drawn: tuple[Any, Any, Any],
    to_win: Callable[[float], NDArray[np.float64]],
    total: int,
) -> list[Forecast]:
    draw, floats, ints = drawn
    told = rivals.logged is not None
    logged = rivals.logged if rivals.logged is not None else np.zeros((1, 3))
    count = min(_REQUESTS, len(logged)) if told else _REQUESTS
    values, rates, qualities = (np.full((count, campaigns), np.nan) for _ in range(3))
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
        qualities,
    )
    found = []
    for c in range(campaigns):
        present = np.isfinite(values[:, c])
        mean = float(rates[present, c].mean()) if present.any() else 0.0
        # whoever reads a log is told the mean rate over all of it, as if a training set had shown it
        mean = float(logged[:, 0].mean()) if told else mean
        quality = float(qualities[present, c].mean()) if present.any() else 1.0
        found.append(
            Forecast(
                float(present.mean()) * total,
                _quantiles(to_win(quality)),
                NOTHING if told else np.sort(values[present, c]),
                mean,
                quality,
            )
        )
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
    qualities: NDArray[np.float64],
) -> None:
    for r in range(values.shape[0]):
        count = call_draw(draw, (offers, drawn, r, key, logged[r % logged.shape[0]], floats, ints))
        for k in range(count):
            values[r, offers.campaign[k]] = offers.value[k]
            rates[r, offers.campaign[k]] = offers.pcvr[k]
            qualities[r, offers.campaign[k]] = drawn.quality[k]


def prepare_values(scenario: Scenario, names: Sequence[str], value_nanos: Sequence[int]) -> tuple[Any, Any, Any] | None:
    """Kernel and vectors of the scenario's value model; None where there are users."""
    chosen = scenario.settings.values
    if chosen is None:
        return None
    model, params = chosen_params("values", chosen.name, chosen.params, scenario.beside)
    floats, ints = model.prepare(params, ValueBrief(list(names), list(value_nanos)))
    return model.draw, np.ascontiguousarray(floats, np.float64), np.ascontiguousarray(ints, np.int64)

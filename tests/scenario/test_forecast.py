"""Forecasts, each by a plain count over the requests of the forecast's own stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import pytest

import bidsim
from bidsim.core.requests import CATEGORIES
from bidsim.core.units import cpm_to_nanos
from bidsim.scenario import build as building
from bidsim.scenario import forecast as forecasting

if TYPE_CHECKING:
    from pathlib import Path

CHANGES: list[dict[str, Any]] = [
    {},
    {"campaigns.lamp.start": "6h", "campaigns.lamp.end": "1d"},
    {"campaigns.soap-mobile.start": "1d", "campaigns.lamp.targeting": {"device": ["mobile", "desktop"], "geo": ["GB"]}},
    {"auction.charge": "click"},
]


@pytest.mark.parametrize("changes", CHANGES)
def test_forecast__is_what_a_plain_count_gives(small: Path, changes: dict[str, Any]) -> None:
    """Shared and sorted as it is, to the bit."""
    scenario, seen = bidsim.load_scenario(small, changes), []
    real = forecasting.forecast

    def spy(*given: Any) -> list[forecasting.Forecast]:
        seen.append((given, real(*given)))
        return seen[0][1]

    with patch.object(building, "forecast", spy):
        building.build(scenario)
    (_, order, campaigns, rivals, _, charged), found = seen[0]
    count = forecasting._REQUESTS
    settings = scenario.settings
    arrivals = forecasting.Arrivals(
        settings.seed, "forecast", requests=count, start=0, duration=settings.duration, hours=settings.traffic.hours,
        exact=True,
    )  # fmt: skip
    requests, latent = forecasting.Traffic(settings.traffic, settings.seed, "forecast", arrivals).chunk(0, count)
    bids = np.zeros((count, rivals.depth), np.int64)
    rivals.fill(requests._replace(number=-1 - requests.number), latent, bids)
    floor = np.maximum(requests.floor, cpm_to_nanos(settings.auction.reserve_cpm))
    vocabulary = settings.traffic.vocabulary()
    for k, (name, campaign, _) in enumerate(order):
        matches = (requests.time >= campaigns.start[k]) & (requests.time < campaigns.end[k])
        for j, field in enumerate(CATEGORIES):
            wanted = getattr(campaign.targeting, field)
            if wanted is not None:
                matches &= np.isin(requests.categories[:, j], [vocabulary[field].index(level) for level in wanted])
        quality = float(campaigns.quality[k]) if charged.by_click else 1.0
        prices = charged.to_win(bids[:, 0][matches], floor[matches], quality)
        assert np.isfinite(prices).all()
        np.testing.assert_array_equal(found[k].prices, np.quantile(prices, (np.arange(256) + 0.5) / 256), err_msg=name)
        assert found[k].opportunities == float(matches.mean()) * settings.requests

from __future__ import annotations

import numpy as np
import pytest

from bidsim.core.contracts import Market, MarketBrief
from bidsim.core.registry import find, names
from bidsim.core.requests import empty_requests
from bidsim.core.units import NANOS_PER_CPM
from bidsim.market.distribution import DistributionMarket, DistributionParams
from bidsim.market.ipinyou import OUT_OF_REACH, Ipinyou, IpinyouParams
from bidsim.market.landscape import Landscape, LandscapeParams
from bidsim.traffic.settings import TrafficSettings

VOCABULARY = TrafficSettings().vocabulary()


def _batch(n: int) -> tuple:  # type: ignore[type-arg]
    requests, latent = empty_requests(n)
    requests.number[:] = np.arange(n)
    latent.intent[:] = np.random.default_rng(0).normal(size=n)
    return requests, latent


def _brief(seed: int, positions: int = 1, **vocabulary: tuple[str, ...]) -> MarketBrief:
    return MarketBrief(seed, {**VOCABULARY, **vocabulary}, positions)


@pytest.mark.parametrize("name", sorted(set(names("market")) - {"replay"}))
def test_market__bids_are_sorted_and_do_not_depend_on_the_batch(name: str) -> None:
    market: type[Market] = find("market", name)
    rivals = market.prepare(market.Params(), _brief(3, 2))
    requests, latent = _batch(2000)
    whole = np.zeros((2000, rivals.depth), np.int64)
    rivals.fill(requests, latent, whole)
    assert (whole >= 0).all()
    assert (np.diff(whole, axis=1) <= 0).all()
    part = np.zeros((10, rivals.depth), np.int64)
    rivals.fill(type(requests)(*(c[500:510] for c in requests)), type(latent)(*(c[500:510] for c in latent)), part)
    assert (part == whole[500:510]).all()


def test_landscape__is_lognormal_around_its_median_and_rises_with_intent() -> None:
    params = LandscapeParams(median_cpm=4.0, spread=0.5, intent_tilt=0.3, placement_spread=0.0, fill=0.9)
    requests, latent = _batch(100_000)
    rivals = np.zeros((100_000, 2), np.int64)
    Landscape.prepare(params, _brief(1)).fill(requests, latent, rivals)
    present = rivals[:, 0] > 0
    assert present.mean() == pytest.approx(0.9, abs=0.005)
    logs = np.log(rivals[present, 0] / (4.0 * NANOS_PER_CPM))
    assert np.median(logs) == pytest.approx(0.0, abs=0.02)
    slope, _ = np.polyfit(latent.intent[present], logs, 1)
    assert slope == pytest.approx(0.3, abs=0.01)
    assert (logs - slope * latent.intent[present]).std() == pytest.approx(0.5, abs=0.01)
    # the second bid is the larger of two uniform parts of the first: mean 2/3
    assert (rivals[present, 1] / rivals[present, 0]).mean() == pytest.approx(2 / 3, abs=0.005)


def test_ipinyou__refuses_other_exchanges_and_impossible_win_rates() -> None:
    with pytest.raises(ValueError, match="not 'mine'"):
        Ipinyou.prepare(IpinyouParams(), _brief(1, exchange=("mine",)))
    with pytest.raises(ValueError, match="out of reach"):
        Ipinyou.prepare(IpinyouParams(win_rate=0.9), _brief(1))


def test_ipinyou__never_sells_below_the_floor() -> None:
    requests, latent = _batch(5000)
    requests.floor[:] = 50 * NANOS_PER_CPM
    rivals = np.zeros((5000, 1), np.int64)
    Ipinyou.prepare(IpinyouParams(), _brief(1)).fill(requests, latent, rivals)
    assert ((rivals[:, 0] >= requests.floor) | (rivals[:, 0] == OUT_OF_REACH)).all()


@pytest.mark.parametrize("median_cpm", [1e6, 1e9])
def test_landscape__rivals_of_any_price_stay_in_reach_of_an_int64(median_cpm: float) -> None:
    params = LandscapeParams(median_cpm=median_cpm, spread=3.0, intent_tilt=20.0, fill=1.0)
    requests, latent = _batch(5_000)
    rivals = np.zeros((5_000, 2), np.int64)
    Landscape.prepare(params, _brief(1)).fill(requests, latent, rivals)
    assert (rivals >= 0).all()
    assert rivals.max() == OUT_OF_REACH
    assert (rivals[latent.intent > 1.0, 0] == OUT_OF_REACH).all()
    assert (np.diff(rivals, axis=1) <= 0).all()


def test_distribution__rivals_of_any_price_stay_in_reach_of_an_int64() -> None:
    params = DistributionParams.model_validate(
        {"distribution": {"type": "lognormal", "mu": 20.0, "sigma": 2.0}, "rivals": 2}
    )
    requests, latent = _batch(5_000)
    rivals = np.zeros((5_000, 2), np.int64)
    DistributionMarket.prepare(params, _brief(1)).fill(requests, latent, rivals)
    assert (rivals > 0).all()
    assert (rivals[:, 0] == OUT_OF_REACH).mean() > 0.9

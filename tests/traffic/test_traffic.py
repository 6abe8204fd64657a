from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bidsim.core.errors import UsageError
from bidsim.core.random import stream_key
from bidsim.core.requests import DEVICE, ENGAGEMENT, EXCHANGE, GEO, PLACEMENT, SEGMENT, SITE
from bidsim.core.units import DAY, HOUR, MINUTE, NANOS_PER_CPM
from bidsim.traffic.arrivals import Arrivals, hour_shape, minute_weights
from bidsim.traffic.settings import Floor, Placement, TrafficSettings
from bidsim.traffic.stream import Traffic, population_of
from bidsim.traffic.users import activity_share, pick_user, user_profile

KEY = stream_key(1, "users")


def _arrivals(**changes: object) -> Arrivals:
    settings = {"requests": 50_000, "start": 0, "duration": 7 * DAY, "hours": "ipinyou", "exact": False, **changes}
    return Arrivals(1, "run", **settings)  # type: ignore[arg-type]


def _times(arrivals: Arrivals) -> np.ndarray:
    times = np.zeros(arrivals.total, np.int64)
    arrivals.fill(0, times)
    return times


def test_arrivals__are_sorted_and_inside() -> None:
    for start, duration in ((0, 7 * DAY), (-3 * DAY, 3 * DAY), (0, 90 * MINUTE + 17)):
        times = _times(_arrivals(start=start, duration=duration, requests=3000))
        assert (np.diff(times) >= 0).all()
        assert start <= times[0] and times[-1] < start + duration


def test_arrivals__any_part_is_the_same_as_the_whole() -> None:
    arrivals = _arrivals(requests=2000)
    whole = _times(arrivals)
    for lo, hi in ((0, 1), (7, 8), (100, 999), (arrivals.total - 1, arrivals.total)):
        part = np.zeros(hi - lo, np.int64)
        arrivals.fill(lo, part)
        assert part.tolist() == whole[lo:hi].tolist()


def test_arrivals__counts_are_poisson_around_the_shape() -> None:
    """Index of dispersion of the counts by minute, and their means by hour of the week."""
    arrivals = _arrivals(requests=400_000)
    counts = np.bincount(_times(arrivals) // MINUTE, minlength=7 * 24 * 60)
    means = minute_weights(0, 7 * DAY, "ipinyou") * 400_000
    dispersion = ((counts - means) ** 2 / means).mean()
    assert dispersion == pytest.approx(1.0, abs=4 * math.sqrt(2 / len(means)) + 0.01)
    hours = counts.reshape(168, 60).sum(axis=1)
    expected = hour_shape("ipinyou") * 400_000
    assert (np.abs(hours - expected) < 5 * np.sqrt(expected)).all()
    assert 400_000 - 5 * 632 < arrivals.total < 400_000 + 5 * 632


def test_arrivals__exact_keeps_the_total_and_the_shape() -> None:
    arrivals = _arrivals(exact=True, hours="flat")
    assert arrivals.total == 50_000
    assert stats.kstest(_times(arrivals) / (7 * DAY), "uniform").pvalue > 1e-3


def test_arrivals__monday_evening_differs_from_flat() -> None:
    assert hour_shape("flat").tolist() == [1 / 168] * 168
    assert hour_shape("ipinyou").sum() == pytest.approx(1.0)
    assert hour_shape("ipinyou")[22] > 3 * hour_shape("ipinyou")[4]


def test_users__are_picked_in_proportion_to_their_activity() -> None:
    """The Lorenz curve of the lognormal, by the shares that users have on their own."""
    population = population_of(TrafficSettings(users=500, activity_spread=1.2))
    shares = np.array([activity_share(population, u) for u in range(500)])
    assert shares.sum() == pytest.approx(1.0, abs=0.02)
    draws = (np.arange(200_000) + 0.5) / 200_000
    picked = np.bincount([pick_user(population, u) for u in draws], minlength=500) / 200_000
    middle = slice(25, 475)
    np.testing.assert_allclose(picked[middle], shares[middle], rtol=0.05)


def test_users__hidden_traits_have_the_declared_moments() -> None:
    population = population_of(
        TrafficSettings(users=20_000, intent_activity=0.3, segment_accuracy=0.6, engagement_noise=1.0)
    )
    who = [user_profile(population, KEY, u) for u in range(20_000)]
    intent, sensitivity = np.array([w.intent for w in who]), np.array([w.sensitivity for w in who])
    engagement = np.array([w.engagement for w in who])
    known = ~np.isnan(engagement)
    assert intent.mean() == pytest.approx(0.0, abs=0.03) and intent.std() == pytest.approx(1.0, abs=0.03)
    assert np.corrcoef(intent, sensitivity)[0, 1] == pytest.approx(-0.5, abs=0.03)
    assert np.corrcoef(intent, np.arange(20_000))[0, 1] == pytest.approx(0.3 * 0.977, abs=0.03)
    assert np.corrcoef(intent[known], engagement[known])[0, 1] == pytest.approx(1 / math.sqrt(2), abs=0.03)
    assert 1 - known.mean() == pytest.approx(0.08, abs=0.01)
    right = np.mean([w.segment == w.interest for w in who])
    assert right == pytest.approx(0.6 + 0.4 / 7, abs=0.02)


def test_stream__follows_its_mixes() -> None:
    settings = TrafficSettings(
        users=200_000,
        activity_spread=0.0,
        exchanges={"a": 3.0, "b": 1.0},
        device={"x": 1.0, "y": 1.0},
        geo={"US": 9.0, "CA": 1.0},
        floors=[Floor(cpm=0.0, share=1.0), Floor(cpm=2.5, share=3.0)],
        placements={
            "top": Placement(share=1.0, view_rate=0.5, intent_tilt=0.8),
            "low": Placement(share=1.0, view_rate=0.5),
        },
        site_loyalty=0.5,
    )
    requests, latent = Traffic(settings, 1, "run", _arrivals(requests=60_000)).chunk(0, 59_000)
    codes = requests.categories
    assert (codes[:, EXCHANGE] == 0).mean() == pytest.approx(0.75, abs=0.01)
    assert (codes[:, DEVICE] == 0).mean() == pytest.approx(0.5, abs=0.01)
    assert (codes[:, GEO] == 0).mean() == pytest.approx(0.9, abs=0.01)
    assert (requests.floor == 2.5 * NANOS_PER_CPM).mean() == pytest.approx(0.75, abs=0.01)
    top = codes[:, PLACEMENT] == 0
    assert latent.intent[top].mean() - latent.intent[~top].mean() > 0.5
    own = codes[:, SITE] % len(settings.interests) == latent.interest
    assert own.mean() > 0.5
    assert set(np.unique(codes[:, SEGMENT])) == set(range(7))
    assert np.isnan(requests.numbers[:, ENGAGEMENT]).any()
    assert requests.time[-1] < 7 * DAY and requests.time[0] < HOUR


def test_stream__attributes_belong_to_the_user() -> None:
    settings = TrafficSettings(users=50)
    requests, latent = Traffic(settings, 1, "run", _arrivals(requests=5000)).chunk(0, 4000)
    for field in (DEVICE, GEO, SEGMENT):
        assert all(
            len(np.unique(requests.categories[requests.user == u, field])) == 1 for u in np.unique(requests.user)
        )
    assert all(len(np.unique(latent.intent[requests.user == u])) == 1 for u in np.unique(requests.user))


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("make", ["chunk", "bare_chunk"])
def test_stream__past_its_end_is_told_in_one_line(*, exact: bool, make: str) -> None:
    """The number of requests is the expected one, so a stream may be shorter than the scenario says."""
    arrivals = _arrivals(requests=20_000, duration=DAY, exact=exact)
    chunk, end = getattr(Traffic(TrafficSettings(users=50), 1, "run", arrivals), make), arrivals.total
    assert (end == 20_000) == exact
    for lo, hi in ((0, end + 1), (end, end + 1), (end + 5, end + 9), (end + 5, end + 5), (-1, 5), (9, 8)):
        with pytest.raises(UsageError, match=rf"{lo:,} to {hi:,} are not all there: the stream has {end:,}"):
            chunk(lo, hi)
    for at in (0, 7, end):
        assert len(chunk(at, at)[0].time) == 0
    assert len(chunk(end - 3, end)[0].time) == 3

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

import bidsim
from bidsim.core.random import stream_key
from bidsim.core.reference import ref
from bidsim.core.units import DAY
from bidsim.response.prepare import Line, Offered, prepare_truth
from bidsim.response.purchases import CLOCK, LAST, NEXT, PENDING, PLAIN_NEXT, advance, next_purchase, start_clock
from bidsim.response.settings import AttributionSettings, LeverSettings, ProductSettings, ResponseSettings
from bidsim.response.truth import UNMOVED, Need, Person, Rates, Truth, credited_rate, response_rates
from tests import naive

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = stream_key(5, "organic")


def _truth(rule: str = "last_click", **levers: float) -> Truth:
    product = ProductSettings(price=10.0, repurchase="30d", regularity=3.0, delay="1d")  # type: ignore[arg-type]
    offered = [Offered(Line("a", "p"), LeverSettings(**levers))]
    attribution = AttributionSettings(rule=rule)  # type: ignore[arg-type]
    return prepare_truth(offered, {"p": product}, ["x", "y"], [0.6], ResponseSettings(), attribution)[0]


def _rates(truth: Truth, intent: float = 0.0, **changes: float) -> Rates:
    person = {"sensitivity": 0.0, "interest": 1}
    need = {"buyer": False, "age": -1.0, "scale": 30.0 * DAY, "coming": -1.0}
    given = {**person, **need, "offer": 0.0, "frequency": 0.0, **changes}
    someone = Person(intent, given["sensitivity"], int(given["interest"]))
    where = Need(bool(given["buyer"]), given["age"], given["scale"], given["coming"])
    return response_rates(truth, 0, 0, someone, where, given["offer"], given["frequency"], UNMOVED)


def test_rates__a_typical_user_has_the_products_rates() -> None:
    truth = _truth()
    rates = _rates(truth)
    assert rates.viewed == 0.6
    assert rates.clicked == pytest.approx(0.09)
    odds = 0.08 / 0.92 * math.exp(-0.5)  # a newcomer
    assert rates.bought == pytest.approx(odds / (1 + odds))
    assert rates.direct == pytest.approx(rates.viewed * rates.clicked * rates.bought)
    assert rates.attributed == pytest.approx(rates.direct * (1 - math.exp(-7)))


def test_levers__move_what_they_declare_and_nothing_else() -> None:
    plain = _rates(_truth())
    creative, landing, shipping, price = (
        _rates(_truth(creative=1)),
        _rates(_truth(landing=1)),
        _rates(_truth(shipping_days=8)),
        _rates(_truth(price=9)),
    )
    assert creative.clicked > plain.clicked and creative.bought == plain.bought
    assert landing.clicked == plain.clicked and landing.bought > plain.bought
    assert shipping.clicked == plain.clicked and shipping.bought < plain.bought
    assert price.clicked == plain.clicked and price.bought > plain.bought
    assert math.log(price.bought / (1 - price.bought)) - math.log(plain.bought / (1 - plain.bought)) == pytest.approx(
        -1.8 * math.log(0.9)
    )


def test_rates__recent_purchase_holds_back_and_pending_one_blocks() -> None:
    truth = _truth()
    fresh, ripe = _rates(truth, buyer=True, age=1.0 * DAY), _rates(truth, buyer=True, age=40.0 * DAY)
    assert fresh.bought < 0.1 * ripe.bought
    pending = _rates(truth, coming=2.0 * DAY)
    assert (pending.bought, pending.direct) == (0.0, 0.0)
    assert pending.attributed == pytest.approx(pending.viewed * pending.clicked)


@pytest.mark.parametrize("rule", ["last_click", "last_view"])
@pytest.mark.parametrize("buyer", [False, True])
@pytest.mark.parametrize("displaced", [0.0, 0.2 / DAY, 3.0 / DAY])
def test_credited_rate__agrees_with_a_fine_sum(rule: str, buyer: bool, displaced: float) -> None:
    truth = _truth(rule)
    age = 20.0 * DAY
    rates = _rates(truth, buyer=buyer, age=age)
    found = credited_rate(truth, 0, rates, Need(buyer, age, 30.0 * DAY, -1.0), displaced)
    earned, bought = (
        (rates.viewed * rates.clicked, rates.bought)
        if rule == "last_click"
        else (rates.viewed, rates.clicked * rates.bought)
    )
    expected = earned * naive.credited(30.0 * DAY, 3.0, age, bought, DAY, 7.0 * DAY, displaced, buyer)
    assert found == pytest.approx(expected, rel=1e-2)
    if displaced == 0.0:
        assert found == pytest.approx(rates.attributed, rel=1e-9)


def test_clock__starts_in_its_stationary_law() -> None:
    """Age and time to the next purchase of a renewal process both have density (1 - F) / mean."""
    truth = _truth()
    scale = float(truth.scale[0])
    ages, waits = [], []
    for user in range(20_000):
        clock = np.zeros(len(CLOCK), np.int64)
        start_clock(clock, ref(truth), KEY, user, 0, True, scale, 0)
        ages.append(-clock[LAST])
        waits.append(clock[NEXT])
    grid = np.linspace(0, 3 * scale, 4000)
    density = np.exp(-((grid / scale) ** 3))
    cdf = np.cumsum(density) / density.sum()
    for sample in (ages, waits):
        assert stats.kstest(np.array(sample), lambda t: np.interp(t, grid, cdf)).statistic < 0.015


def test_clock__intervals_are_weibull_and_plain_clock_follows_without_ads() -> None:
    truth = _truth()
    scale = float(truth.scale[0])
    lengths = []
    for user in range(300):
        clock = np.zeros(len(CLOCK), np.int64)
        start_clock(clock, ref(truth), KEY, user, 0, True, scale, 0)
        time = 0
        for _ in range(20):
            time = int(next_purchase(clock))
            last = int(clock[LAST])
            advance(clock, ref(truth), KEY, scale, time)
            assert clock[LAST] == time
            assert clock[NEXT] == clock[PLAIN_NEXT]
            if last >= 0:
                lengths.append(time - last)
    assert stats.kstest(np.array(lengths) / scale, stats.weibull_min(3.0).cdf).pvalue > 1e-3
    assert np.mean(lengths) == pytest.approx(30 * DAY, rel=0.02)


def test_clock__an_ad_driven_purchase_comes_first_and_starts_the_clock_anew() -> None:
    truth = _truth()
    scale = float(truth.scale[0])
    clock = np.zeros(len(CLOCK), np.int64)
    start_clock(clock, ref(truth), KEY, 1, 0, True, scale, 0)
    organic = int(clock[NEXT])
    clock[PENDING] = organic // 2
    advance(clock, ref(truth), KEY, scale, organic // 2)
    assert clock[LAST] == organic // 2
    assert clock[NEXT] > organic // 2
    assert clock[PLAIN_NEXT] == organic


def test_events__happen_as_often_as_the_truth_says(run_small: Callable[..., bidsim.Result]) -> None:
    result = run_small(
        {
            "requests": 60_000,
            "traffic.users": 20_000,
            "log.wins": 10**6,
            "campaigns.lamp.budget": 5000.0,
            "campaigns.lamp.pacing": "none",
            "products.lamp.click_rate": 0.3,
        }
    )
    wins = result.auctions[result.auctions["campaign"] == "lamp"]
    for happened, chance in (("viewed", wins["true_view"]), ("clicked", wins["true_view"] * wins["true_click"])):
        sd = math.sqrt((chance * (1 - chance)).sum())
        assert abs(wins[happened].sum() - chance.sum()) < 4 * sd

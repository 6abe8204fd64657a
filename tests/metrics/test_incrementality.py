from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import stats

import bidsim
from bidsim.metrics.advertiser import account_of, headline
from bidsim.metrics.incrementality import ghost_ad_estimate
from bidsim.scenario.load import scenario_of
from tests.conftest import SCENARIOS

SMALLER = {"requests": 40_000, "traffic.users": 6_000, "seats.main.model": "oracle", "history.requests": 2_000}


@cache
def _runs() -> list[dict[str, Any]]:
    found = []
    for seed in range(20):
        scenario = bidsim.load_scenario(SCENARIOS / "repurchase_cycle.toml", {**SMALLER, "seed": seed})
        found.append(bidsim.run(scenario, progress=lambda *a: None).summary)
    return found


@pytest.mark.parametrize("product", ["toilet-paper", "camera"])
def test_ghost_ads__cover_the_truth_on_20_seeds(product: str) -> None:
    """The expected total effect is the mean of realised ones over seeds; 95% intervals miss more than 4 of 20 once in 400 times."""
    lines = [next(line for line in s["lines"] if line["product"] == product) for s in _runs()]
    estimates = [line["ghost_ad_estimate"] for line in lines]
    realised = [line["purchases_caused_realised"] for line in lines]
    covered = sum(e["low"] <= r <= e["high"] for e, r in zip(estimates, realised, strict=True))
    assert covered >= 16
    expected = float(np.mean(realised))
    error = float(np.std([e["value"] for e in estimates]) / np.sqrt(20))
    assert abs(float(np.mean([e["value"] for e in estimates])) - expected) < 3.5 * error


def test_attributed__differs_from_incremental_as_the_truth_says() -> None:
    """Buyers of toilet paper come anyway, so most of what last click credits was not caused by ads; cameras are the reverse."""
    share = {}
    for product in ("toilet-paper", "camera"):
        caused = sum(
            line["purchases_caused_realised"] for s in _runs() for line in s["lines"] if line["product"] == product
        )
        credited = sum(
            row["conversions"] for s in _runs() for row in s["campaigns"].values() if row["product"] == product
        )
        share[product] = caused / credited
    assert share["toilet-paper"] < 0.75
    assert share["camera"] > share["toilet-paper"] + 0.15


@pytest.mark.parametrize("alike", [True, False])
def test_ghosts__leave_with_all_that_their_advertiser_bids(alike: bool) -> None:
    """A campaign that would never have won beside its advertiser's other one is shown to nobody, nor would it have been; another advertiser's would."""
    world = {
        "name": "g", "requests": 4_000, "duration": "1d", "traffic": {"users": 500}, "history": {"requests": 2_000}, "market": {"kind": "none"}, "holdout": {"share": 0.5},
        "seats": {"main": {"model": "oracle"}}, "products": {name: {"price": 5.0, "interest": "household"} for name in ("soap", "lamp")},
        "campaigns": {
            "first": {"advertiser": "a", "product": "soap", "budget": 1e6, "policy": {"name": "fixed_bid", "bid_cpm": 50.0}},
            "second": {"advertiser": "a" if alike else "b", "product": "lamp", "budget": 1e6, "policy": {"name": "fixed_bid", "bid_cpm": 20.0}},
        },
    }  # fmt: skip
    result = bidsim.run(scenario_of(world), progress=lambda *a: None)
    ghosts, wins = (
        dict(zip(result.campaigns["campaign"], result.campaigns[column], strict=True))
        for column in ("ghost_wins", "wins")
    )
    assert ghosts["first"] + wins["first"] == result.campaigns["requests"][0]
    assert (ghosts["second"] == 0) == alike
    assert (wins["second"] == 0) == alike


def test_estimate__by_hand() -> None:
    found = ghost_ad_estimate(4, 6, 12, 2, 1, 1)
    assert found is not None
    assert found.value == pytest.approx((6 / 4 - 1 / 2) * 4)
    served_low = 3 / (2 * 6) * stats.chi2.ppf(0.025, 2 * 36 / 3)  # variance 12 - 36 / 4
    held_high = 2 * 1.5 / (2 * 2) * stats.chi2.ppf(0.975, 2 * 4 / 1.5)  # variance 1 - 1 / 2, and one more
    assert found.low == pytest.approx(4 - np.hypot(6 - served_low, held_high - 2))
    assert ghost_ad_estimate(4, 6, 12, 1, 1, 1) is None


def test_estimate__none_held_out_bought_is_no_proof() -> None:
    """Three purchases might have come of so few users, which scaled to those served is most of what was bought."""
    found = ghost_ad_estimate(2_400, 59, 59, 125, 0, 0)
    assert found is not None
    assert found.value == 59
    assert found.low == pytest.approx(
        59 - np.hypot(59 - stats.chi2.ppf(0.025, 2 * 59) / 2, stats.chi2.ppf(0.975, 2) / 2 * 2_400 / 125), abs=0.3
    )
    assert found.low < 0


@pytest.mark.parametrize(
    ("rate", "each", "least", "most"),
    [(0.002, 1, 0.94, 1.0), (0.02, 1, 0.94, 1.0), (0.2, 1, 0.93, 0.985), (2.0, 1, 0.93, 0.975), (0.03, 3, 0.88, 0.99)],
)
def test_estimate__covers_where_few_are_held_out(rate: float, each: int, least: float, most: float) -> None:
    """Also where users buy often, and where those who buy do so several times; and it is no wider than it must be where there is enough to see."""
    dice, served_users, held_users, caused = np.random.default_rng(int(1e6 * rate)), 3_000, 150, 40
    covered = []
    for _ in range(1_500):
        more = dice.poisson(caused / served_users, served_users)
        served, held = (
            dice.poisson(rate, n) * (dice.geometric(1 / each, n) if each > 1 else 1) for n in (served_users, held_users)
        )
        served = served + more
        found = ghost_ad_estimate(
            served_users, int(served.sum()), int((served**2).sum()), held_users, int(held.sum()), int((held**2).sum())
        )
        assert found is not None
        covered.append(found.low <= caused <= found.high)
    assert least <= np.mean(covered) <= most


def test_halves__of_drawn_values_add_up() -> None:
    """There conversions come at once, and have no rows of their own."""
    world = {
        "name": "d",
        "requests": 4_000,
        "duration": "2d",
        "values": {"kind": "auctiongym"},
        "market": {"kind": "none"},
        "campaigns": {"a": {"budget": 1e6}, "b": {"budget": 1e6}},
    }
    result = bidsim.run(scenario_of(world), progress=lambda *a: None)
    found = headline(account_of(result, "a"))
    halves = [found[half]["conversions"]["value"] for half in ("preceding", "latest")]
    assert min(halves) > 0
    assert sum(halves) == found["conversions"]["value"]
    assert sum(found[half]["sales"] for half in ("preceding", "latest")) == pytest.approx(found["sales"])

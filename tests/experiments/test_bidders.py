"""Bidders in markets of known prices: what they reach of what can be had, whatever is charged for and in whatever money."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bidsim
from bidsim.scenario.load import scenario_of

REQUESTS = 20_000


def run(campaign: dict[str, Any], **blocks: Any) -> bidsim.Result:
    """One campaign against drawn prices."""
    world: dict[str, Any] = {
        "name": "m", "requests": REQUESTS, "count": "exact", "duration": "1d", "traffic": {"hours": "flat"}, "values": {"kind": "independent"},
        "market": {"kind": "distribution"}, "auction": {"format": "second_price"}, "log": {"wins": 0, "decisions": 0},
        "campaigns": {"c": {"budget": 1e6, **campaign}},
    }  # fmt: skip
    return bidsim.run(scenario_of({**world, **blocks}), progress=lambda *a: None)


def row(result: bidsim.Result, name: str = "c") -> dict[str, Any]:
    found: dict[str, Any] = result.summary["campaigns"][name]
    return found


def surplus(result: bidsim.Result) -> float:
    return float(row(result)["surplus_expected"]) / REQUESTS


CHEAP = {"kind": "independent", "quality": {"c": 0.1}}
"""One impression in ten brings a click."""


@pytest.mark.parametrize(
    "policy",
    [
        {"name": "fixed_bid", "bid_cpm": 500.0}, {"name": "linear", "base_cpm": 500.0}, "max_ecpc", {"name": "random_bid", "high_cpm": 900.0}, "truthful", "shrunk", "lift",
        {"name": "target_cpa", "target": 0.5}, {"name": "target_roas", "target": 2.0}, "ortb", "best_response", "rlb", "learned_shading", "logistic_shading", "thompson", "ucb",
        {"name": "shaded", "factor": 0.6}, "exp_weights", "bandit", "value_maximiser",
    ],
)  # fmt: skip
@pytest.mark.parametrize("pricing", ["gsp", "vcg"])
def test_policy__bids_for_clicks_what_it_bids_for_impressions(policy: Any, pricing: str) -> None:
    """Ten times as much for a click as for an impression of which one in ten brings one: by score the same auctions are won, at the same expected cost."""
    budget = 400.0 if policy in ("rlb", "value_maximiser") else 1e6
    found = {
        charge: row(
            run({"policy": policy, "budget": budget}, values=CHEAP, auction={"format": pricing, "charge": charge})
        )
        for charge in ("impression", "click")
    }
    wins, spend = ([found[charge][key] for charge in ("impression", "click")] for key in ("wins", "spend"))
    assert wins[1] == pytest.approx(wins[0], rel=0.15, abs=60)
    assert spend[1] == pytest.approx(spend[0], rel=0.2, abs=12)


@pytest.mark.parametrize("pricing", ["first_price", "second_price"])
@pytest.mark.parametrize(("sigma", "target"), [(0.3, 2.0), (1.0, 2.5), (1.5, 4.0)])
def test_target_policies__cost_what_they_may(pricing: str, sigma: float, target: float) -> None:
    """Also where values have heavy tails, and where few auctions are won."""
    values = {"kind": "independent", "distribution": {"type": "lognormal", "mu": -0.7, "sigma": sigma}}
    market = {"kind": "distribution", "distribution": {"type": "lognormal", "mu": -0.7, "sigma": 0.4}}
    found = row(
        run(
            {"policy": {"name": "target_roas", "target": target}},
            values=values,
            market=market,
            auction={"format": pricing},
            requests=60_000,
        )
    )
    assert found["wins"] > 200
    assert found["spend"] / found["value_expected"] == pytest.approx(1 / target, rel=0.08)


def test_target_roas__is_nearly_the_best_in_second_price() -> None:
    """Values and prices uniform: the best multiple of the value at half its cost is 1, which pays half of it on average."""
    found = row(run({"policy": {"name": "target_roas", "target": 2.0}}, requests=60_000))
    truth = row(run({"policy": "truthful"}, requests=60_000))
    assert found["spend"] / found["value_expected"] == pytest.approx(0.5, abs=0.02)
    assert found["value_expected"] == pytest.approx(truth["value_expected"], rel=0.04)


@pytest.mark.parametrize("share", [0.002, 0.05])
@pytest.mark.parametrize("bidder", [{"pacing": "adaptive"}, {"policy": "value_maximiser"}])
def test_dual_descent__makes_a_small_budget_last(bidder: dict[str, Any], share: float) -> None:
    requests = 200_000
    result = run(
        {**bidder, "budget": requests * share / 6}, requests=requests, log={"wins": 0, "decisions": 0, "bucket": "1h"}
    )
    spent = np.cumsum(result.timeline["payment_nanos"]) / result.timeline["payment_nanos"].sum()
    assert spent[5] == pytest.approx(0.25, abs=0.12)
    assert spent[17] == pytest.approx(0.75, abs=0.12)
    assert row(result)["spend"] > 0.9 * requests * share / 6


def test_adaptive__reckons_with_the_opportunities_that_frequency_caps_leave() -> None:
    world: dict[str, Any] = {
        "name": "caps", "requests": 60_000, "duration": "6d", "traffic": {"users": 4_000}, "history": {"requests": 3_900}, "market": {"kind": "landscape", "median_cpm": 20.0},
        "seats": {"main": {"model": "oracle"}}, "products": {"soap": {"price": 5.0, "interest": "household"}}, "log": {"wins": 0, "decisions": 0},
    }  # fmt: skip
    campaign = {
        "advertiser": "a",
        "product": "soap",
        "frequency_cap": {"count": 1, "per": "2d"},
        "policy": {"name": "fixed_bid", "bid_cpm": 40.0},
    }

    def spend(budget: float, pacing: str) -> float:
        return float(
            row(
                bidsim.run(
                    scenario_of({**world, "campaigns": {"c": {**campaign, "budget": budget, "pacing": pacing}}}),
                    progress=lambda *a: None,
                )
            )["spend"]
        )

    budget = spend(1e6, "none") / 3
    assert spend(budget, "adaptive") > 0.9 * budget


@pytest.mark.parametrize("pacing", ["adaptive", "even", "pid", "throttle"])
def test_pacers__pace_the_day_where_days_have_the_budget(pacing: str) -> None:
    """The budgets of four days are all there is: half of each day's is spent at its noon."""
    budget = REQUESTS / 40
    daily = {"budget": budget, "daily_budget": budget / 4, "pacing": pacing}
    result = run(daily, duration="4d", log={"wins": 0, "decisions": 0, "bucket": "6h"})
    spent = result.timeline["payment_nanos"].to_numpy().reshape(4, 4).cumsum(axis=1) / 1e9 / (budget / 4)
    assert spent[1:, 1] == pytest.approx(0.5, abs=0.15)
    assert spent[1:, 3].min() > 0.9
    assert spent.max() <= 1.0 + 1e-9
    loose = run({**daily, "daily_budget": budget}, duration="4d")
    whole = run({"budget": budget, "pacing": pacing}, duration="4d")
    assert row(loose)["spend"] == row(whole)["spend"], "a day's budget that does not bind changes nothing"


def test_logistic_shading__is_the_same_in_any_money() -> None:
    found = []
    for unit in (1.0, 1_000.0, 100_000.0):
        one = {"type": "uniform", "low": 0.0, "high": unit / 1_000}
        result = run(
            {"policy": "logistic_shading"},
            values={"kind": "independent", "distribution": one},
            market={"kind": "distribution", "distribution": one},
            auction={"format": "first_price"},
        )
        found.append(surplus(result) / (unit / 1_000))
    assert found == pytest.approx([found[0]] * 3, rel=1e-3)
    assert found[0] > 0.9 / 12


def test_exp_weights__learns_more_where_it_is_told_more() -> None:
    """In second price, too, where the best is to bid the value."""
    told, silent = (
        surplus(run({"policy": "exp_weights"}, auction={"format": "second_price", "tell_minimum": flag}))
        for flag in (True, False)
    )
    assert told > silent
    assert told == pytest.approx(surplus(run({"policy": "truthful"})), rel=0.06)


def test_learned_shading__reads_no_price_from_a_payment_that_is_its_own_bid() -> None:
    """Below a soft floor the winner pays its bid: without notices that is first price."""
    soft = {"format": "soft_floor", "soft_floor_cpm": 5_000.0, "tell_minimum": False}
    first = {"format": "first_price", "tell_minimum": False}
    found = [surplus(run({"policy": "learned_shading"}, auction=auction)) for auction in (soft, first)]
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_learned_policies__in_a_market_where_most_cannot_be_won() -> None:
    """The rival out of reach is no price: neither a budget's plan nor a reserve goes by it."""
    world: dict[str, Any] = {
        "name": "cal", "requests": 30_000, "duration": "1d", "traffic": {"floors": "ipinyou"}, "values": {"kind": "independent", "distribution": {"type": "uniform", "low": 0.0, "high": 0.2}},
        "market": {"kind": "ipinyou"}, "auction": {"format": "second_price"}, "log": {"wins": 0, "decisions": 0},
    }  # fmt: skip

    def value(policy: str, **changes: Any) -> dict[str, Any]:
        campaign = {"budget": 60.0, "policy": policy, "pacing": "adaptive" if policy == "truthful" else "none"}
        return row(
            bidsim.run(scenario_of({**world, **changes, "campaigns": {"c": campaign}}), progress=lambda *a: None)
        )

    paced = value("truthful")
    assert value("rlb")["value_expected"] > 0.8 * paced["value_expected"]
    reserved = value("truthful", auction={"format": "learned_reserve"})
    assert reserved["wins"] > 0.3 * paced["wins"]


def test_internal_auction__sends_the_ad_that_the_exchange_ranks_higher() -> None:
    """A bid of 0.5 for a click that one impression in two brings is more than 0.9 for one in ten."""
    worth = {"a": {"type": "point", "value": 0.09}, "b": {"type": "point", "value": 0.25}}
    campaigns = {name: {"budget": 1e6} for name in worth}
    values = {"kind": "independent", "own": worth, "quality": {"a": 0.1, "b": 0.5}}
    auction = {"format": "gsp", "charge": "click"}
    result = run(
        {},
        values=values,
        auction=auction,
        market={"kind": "none"},
        campaigns=campaigns,
        seats={"main": {"model": "oracle", "internal_auction": True}},
        requests=400,
    )
    assert [row(result, name)["wins"] for name in ("a", "b")] == [0, 400]

"""The exploration slice: who is in it, what dice set, that nobody is told, and what the truth makes of it."""

from __future__ import annotations

import math
import tomllib
from typing import Any

import numpy as np
import pytest

import bidsim
from bidsim.bidder.exploration import CHANCES
from bidsim.core.levers import LEVERS
from bidsim.core.random import name_id, stream_key, uniform
from bidsim.metrics.exploration import cost_of_exploring
from bidsim.scenario.load import scenario_of
from tests.conftest import SMALL, fingerprint

PLAIN: dict[str, Any] = {
    "requests": 6_000,
    "auction.format": "first_price",
    "campaigns.soap-everyone.policy": {"name": "fixed_bid", "bid_cpm": 28.0},
    "campaigns.soap-mobile.policy": {"name": "fixed_bid", "bid_cpm": 25.0},
    "campaigns.soap-mobile.pacing": "none",
    "campaigns.lamp.pacing": "none",
    "campaigns.lamp.policy": {"name": "fixed_bid", "bid_cpm": 30.0},
    "campaigns.soap-everyone.budget": 1000.0,
    "campaigns.soap-everyone.daily_budget": 1000.0,
    "campaigns.soap-mobile.budget": 1000.0,
    "campaigns.lamp.budget": 1000.0,
    "products.soap.click_rate": 0.3,
    "products.soap.conversion_rate": 0.3,
    "products.lamp.click_rate": 0.3,
    "products.lamp.conversion_rate": 0.3,
}
OF_THE_AD = ["price", "creative", "landing", "shipping_days"]


def _scenario(changes: dict[str, Any]) -> Any:
    world = tomllib.loads(SMALL)
    for key, value in {**PLAIN, **changes}.items():
        *path, last = key.split(".")
        block = world
        for name in path:
            block = block.setdefault(name, {})
        block[last] = value
    return scenario_of(world)


def _run(**changes: Any) -> bidsim.Result:
    return bidsim.run(_scenario(changes), progress=lambda *a: None)


def _arm(dice: float) -> int:
    return 0 if dice < CHANCES[0] else 1 if dice < CHANCES[0] + CHANCES[1] else 2


def _uniform(*ids: int) -> float:
    return uniform(stream_key(3, "exploration"), *ids)


def test_slice__is_drawn_for_user_and_advertiser() -> None:
    result = _run(**{"exploration.share": 0.3})
    explored, wins = result.frame("explorations"), result.auctions
    owner = dict(zip(result.campaigns["campaign"], result.campaigns["advertiser"], strict=True))
    drawn = {
        (u, a): _uniform(u, name_id(f"advertiser/{a}"), 0) < 0.3
        for u, a in {(u, owner[c]) for u, c in zip(wins["user"], wins["campaign"], strict=True)}
    }
    assert 0.25 < np.mean(list(drawn.values())) < 0.35
    expected = [
        (r, c) for r, u, c in zip(wins["request"], wins["user"], wins["campaign"], strict=True) if drawn[(u, owner[c])]
    ]
    assert list(zip(explored["request"], explored["campaign"], strict=True)) == expected
    assert len(expected) > 300


def test_arms__are_what_the_dice_say() -> None:
    result = _run(**{"exploration.share": 0.5})
    explored = result.frame("explorations")
    owner = dict(zip(result.campaigns["campaign"], result.campaigns["advertiser"], strict=True))
    steps = {"creative": 0.25, "landing": 0.25, "shipping_days": 1.0}
    for row in explored.head(200).itertuples():
        holder, chance = name_id(f"advertiser/{owner[row.campaign]}"), 1.0
        for j, lever in enumerate(LEVERS):
            ids = (row.user, holder) if lever != "bid" else (row.request, name_id(f"campaign/{row.campaign}"))
            arm = _arm(_uniform(*ids, 1 + j))
            chance *= CHANCES[arm]
            natural, assigned = getattr(row, f"natural_{lever}"), getattr(row, f"assigned_{lever}")
            if lever in ("price", "bid"):
                step = 0.05 if lever == "price" else 0.1
                assert math.log(assigned / natural) == pytest.approx((arm - 1) * 2.4 * math.log1p(step), abs=1e-12)
            else:
                assert assigned == pytest.approx(
                    max(natural + (arm - 1) * 2.4 * steps[lever], 0.0)
                    if lever == "shipping_days"
                    else natural + (arm - 1) * 2.4 * steps[lever]
                )
        assert row.propensity == pytest.approx(chance)


def test_arms__of_the_ad_stay_with_the_pair() -> None:
    explored = _run(**{"exploration.share": 1.0}).frame("explorations")
    owner = {"soap-everyone": "clean", "soap-mobile": "clean", "lamp": "bright"}
    moved = explored.assign(
        holder=explored["campaign"].map(owner), price=(explored["assigned_price"] / explored["natural_price"]).round(9)
    )
    for column in ("price", "assigned_creative", "assigned_landing", "assigned_shipping_days"):
        assert (moved.groupby(["user", "holder"])[column].nunique() == 1).all()
    assert moved.groupby(["user", "holder"])["assigned_bid"].nunique().max() == 3


def test_bidders_are_not_told() -> None:
    """Where bids do not depend on conversions, levers of the ad change no auction at all."""
    without, explored = _run(), _run(**{"exploration.share": 1.0, "exploration.levers": OF_THE_AD})
    for name in ("request", "campaign", "bid_nanos", "payment_nanos", "minimum_bid_nanos", "viewed"):
        assert list(without.auctions[name]) == list(explored.auctions[name])
    for result in (without, explored):
        first = result.requests.drop_duplicates(["user", "campaign"])
        assert len(first) > 1000
    names = [n for n in without.requests.columns if n.startswith("feature_") and n != "feature_days_since_purchase"]
    assert without.requests[names].equals(explored.requests[names])
    assert list(without.auctions["clicked"]) != list(explored.auctions["clicked"])


def test_truth__answers_to_what_dice_set() -> None:
    without, explored = _run(), _run(**{"exploration.share": 1.0, "exploration.levers": OF_THE_AD})
    table, wins, natural = explored.frame("explorations"), explored.auctions, without.auctions

    def logit(p: Any) -> Any:
        return np.log(p / (1 - p))

    clicks = logit(wins["true_click"]) - logit(natural["true_click"])
    np.testing.assert_allclose(clicks, 0.3 * (table["assigned_creative"] - table["natural_creative"]), atol=1e-9)
    bought = ~(wins["user"].isin(explored.conversions["user"]) | wins["user"].isin(without.conversions["user"]))
    fresh = bought & (wins["true_conversion"] > 0) & (natural["true_conversion"] > 0)
    shift = logit(wins["true_conversion"][fresh]) - logit(natural["true_conversion"][fresh])
    price = np.log(table["assigned_price"] / table["natural_price"])[fresh]
    rest = (
        shift
        - 0.25 * (table["assigned_landing"] - table["natural_landing"])[fresh]
        + 0.06 * (table["assigned_shipping_days"] - table["natural_shipping_days"])[fresh]
    )
    still = price == 0
    assert fresh.sum() > 200
    np.testing.assert_allclose(rest[still], 0.0, atol=1e-9)
    elasticity = -rest[~still] / price[~still]
    assert 1.6 < elasticity.mean() < 2.0, "1.8 for a user of typical price sensitivity"
    np.testing.assert_allclose(table["natural_rate"][fresh], natural["true_rate"][fresh], rtol=1e-9)


def test_bids__of_the_slice_are_multiplied_after_the_policy() -> None:
    without, explored = _run(), _run(**{"exploration.share": 1.0, "exploration.levers": ["bid"]})
    both = without.bids.merge(explored.bids, on=["request", "campaign"], suffixes=("_without", ""))
    both = both[both["bid_nanos_without"] > 0]
    assert len(both) > 5000
    factors = both["bid_nanos"] / both["bid_nanos_without"]
    wanted = [math.exp(k * 2.4 * math.log1p(0.1)) for k in (-1, 0, 1)]
    nearest = np.abs(factors.to_numpy()[:, None] - np.array(wanted)[None, :])
    assert nearest.min(axis=1).max() < 1e-6
    np.testing.assert_allclose(np.bincount(nearest.argmin(axis=1)) / len(factors), CHANCES, atol=0.03)
    assert explored.frame("explorations")["assigned_price"].equals(explored.frame("explorations")["natural_price"])


def test_bid_arms__count_what_happened() -> None:
    result = _run(**{"exploration.share": 0.4})
    arms, explored = result.frame("bid_arms"), result.frame("explorations")
    assert arms["wins"].sum() == len(explored)
    assert arms["payment_nanos"].sum() == explored["payment_nanos"].sum()
    for row in arms.itertuples():
        mine = explored[
            (explored["campaign"] == row.campaign) & (np.abs(explored["assigned_bid"] - row.bid_factor) < 1e-9)
        ]
        assert (row.wins, row.payment_nanos) == (len(mine), mine["payment_nanos"].sum())
        assert row.wins <= row.bids <= row.offered
    by_campaign = arms.groupby("campaign")[["wins", "offered"]].sum()
    assert (by_campaign["offered"] < result.campaigns.set_index("campaign")["eligible"]).all()
    rates = (arms["wins"] / arms["offered"]).to_numpy().reshape(-1, 3)
    assert (rates[:, 0] < rates[:, 2]).all()


def test_sample_of_wins__is_as_large_as_without_exploring() -> None:
    few, explored = _run(**{"log.wins": 500}), _run(**{"log.wins": 500, "exploration.share": 0.5})
    assert abs(len(explored.auctions) - len(few.auctions)) < 100
    assert len(explored.frame("explorations")) > 2 * len(explored.auctions)


def test_sales__are_at_the_price_shown() -> None:
    base = {"products.soap.basket_spread": 0.0, "products.lamp.basket_spread": 0.0}
    sold = _run(**base, **{"exploration.share": 1.0, "exploration.levers": ["price"]}).conversions
    prices = sorted(set((sold[sold["campaign"] == "lamp"]["value_nanos"] / 1e9).round(4)))
    assert prices == pytest.approx([60 * math.exp(k * 2.4 * math.log1p(0.05)) for k in (-1, 0, 1)], abs=1e-3)


def test_cost__is_recomputed_by_hand() -> None:
    result = _run(**{"exploration.share": 0.6})
    cost, explored, arms = cost_of_exploring(result), result.frame("explorations"), result.frame("bid_arms")
    assert cost is not None
    assert cost["impressions"] == len(explored)
    assert cost["conversions"] == explored["converted"].sum()
    assert cost["conversions_change_expected"] == pytest.approx(
        explored["true_rate"].sum() - explored["natural_rate"].sum()
    )
    change = 0.0
    for _, mine in arms.groupby("campaign"):
        natural = mine[mine["bid_factor"] == 1.0].iloc[0]
        change += (
            mine["payment_nanos"].sum() / 1e9
            - mine["offered"].sum() * natural["payment_nanos"] / 1e9 / natural["offered"]
        )
    assert cost["spend_change"] == pytest.approx(change)
    assert result.summary["exploration"] == cost
    assert cost_of_exploring(_run()) is None


def test_chunks__do_not_matter() -> None:
    scenario = _scenario({"exploration.share": 0.5})
    one, other = (bidsim.run(scenario, progress=lambda *a: None, chunk=c) for c in (101, 60_000))
    assert fingerprint(one) == fingerprint(other)

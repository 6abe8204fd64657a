"""After the auction, row by row in plain Python: money, events, what is counted and what is kept, of small worlds that touch most of it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

import bidsim
from bidsim.core.random import name_id, uniform
from bidsim.core.requests import CATEGORIES
from bidsim.scenario.build import build, keys_of
from bidsim.scenario.load import scenario_of
from tests.engine.plain_worlds import worlds

WITH_USERS = ["market", "positions, clicks, hold-out, exploration", "incidents"]
DRAWN = ["format gsp", "format first_price", "drawn, by click", "positions in turn"]
POSITIONS = "positions, clicks, hold-out, exploration"
_RATES = (("viewed", "true_view"), ("clicked", "true_click"))


@dataclass(frozen=True)
class World:
    """What went in, and what came out."""

    settings: Any
    result: bidsim.Result
    chunk: Any
    wins: list[dict[str, Any]]
    bids: dict[tuple[int, str], dict[str, Any]]
    campaigns: dict[str, dict[str, Any]]
    keys: Any

    def effect(self, row: dict[str, Any]) -> float:
        """View rate of a row's position over that of the first."""
        positions = self.settings.auction.positions
        return float(positions[row["position"]] / positions[0])

    @property
    def by_click(self) -> bool:
        """Whether clicks are charged."""
        charge, joint = self.settings.auction.charge, self.settings.auction.format in ("gsp", "vcg", "laddered")
        return bool(charge == "click" or (charge is None and joint))

    def quality(self, campaign: str) -> float:
        """Chance of a click, of a drawn world where clicks are charged."""
        return float(self.settings.values.params.get("quality", {}).get(campaign, 1.0)) if self.by_click else 1.0


@cache
def world(name: str) -> World:
    """Run a world, all its rows kept."""
    data = {**worlds()[name], "log": {"wins": 1_000_000, "decisions": 1_000_000}}
    scenario = scenario_of(data)
    result = bidsim.run(scenario, progress=lambda *a: None)
    simulation, _ = build(scenario)
    bids = {(row["request"], row["campaign"]): row for row in result.bids.to_dict("records")}
    campaigns = {row["campaign"]: row for row in result.campaigns.to_dict("records")}
    keys = keys_of(scenario.settings.seed, "")
    chunk = simulation.generate(0, simulation.total)
    return World(scenario.settings, result, chunk, result.auctions.to_dict("records"), bids, campaigns, keys)


@pytest.mark.parametrize("name", WITH_USERS + DRAWN)
def test_rows__say_what_the_request_and_the_bidder_said(name: str) -> None:
    seen = world(name)
    requests = seen.chunk.requests
    assert len(seen.wins) > 10
    for row in seen.wins:
        r, bid = row["request"], seen.bids[row["request"], row["campaign"]]
        assert requests.number[r] == r
        assert (row["time_us"], row["user"], row["bidfloor_nanos"]) == (
            requests.time[r],
            requests.user[r],
            requests.floor[r],
        )
        assert row["rival_nanos"] == (seen.chunk.rivals[r, 0] if seen.chunk.rivals.shape[1] else 0)
        for shared in (
            "bid_nanos",
            "minimum_bid_nanos",
            "payment_nanos",
            "pcvr",
            "value_nanos",
            "multiplier",
            "time_us",
            "user",
        ):
            assert row[shared] == bid[shared], shared
        assert bid["reason"] == "won"
    for j, field in enumerate(CATEGORIES):
        codes = defaultdict(set)
        for row in seen.wins:
            codes[row[field]].add(int(requests.categories[row["request"], j]))
        assert all(len(found) == 1 for found in codes.values()), field
        assert len({next(iter(found)) for found in codes.values()}) == len(codes)
    won = {key for key, bid in seen.bids.items() if bid["reason"] == "won"}
    assert won == {(row["request"], row["campaign"]) for row in seen.wins}


@pytest.mark.parametrize("name", WITH_USERS + DRAWN)
def test_money__goes_from_campaign_to_fee_and_publishers(name: str) -> None:
    seen = world(name)
    fee, publishers = 0, 0
    spent: dict[str, int] = defaultdict(int)
    for row in seen.wins:
        effect, price = seen.effect(row), row["price_nanos"]
        due = (price if row["clicked"] else 0) if seen.by_click else price if effect == 1.0 else round(price * effect)
        assert row["payment_nanos"] == due
        share = min(round(due * seen.settings.auction.fee), due)
        fee, publishers, spent[row["campaign"]] = fee + share, publishers + due - share, spent[row["campaign"]] + due
    market = seen.result.summary["market"]
    assert (market["exchange_fee_nanos"], market["publisher_revenue_nanos"]) == (fee, publishers)
    assert spent == {name: row["payment_nanos"] for name, row in seen.campaigns.items() if row["wins"]}
    assert max(spent.values()) > 0


@pytest.mark.parametrize("name", ["market", POSITIONS])
def test_events__are_the_dice_of_request_and_campaign(name: str) -> None:
    seen = world(name)
    explored = (
        set(zip(*(seen.result.frame("explorations")[column] for column in ("request", "campaign")), strict=True))
        if name == POSITIONS
        else set()
    )
    happened = 0
    for row in seen.wins:
        me = name_id(f"campaign/{row['campaign']}")
        chain = True
        for k, (event, rate) in enumerate(_RATES):
            chain = chain and uniform(seen.keys.response, row["request"], me, k) < row[rate]
            assert row[event] == chain
            happened += chain
        truth = seen.bids[row["request"], row["campaign"]]
        if (row["request"], row["campaign"]) not in explored:
            for rate in ("true_rate", "direct_rate"):
                assert row[rate] == pytest.approx(truth[rate] * seen.effect(row), rel=1e-12)
    assert happened > 20


@pytest.mark.parametrize("name", DRAWN)
def test_events__of_drawn_values_come_at_once(name: str) -> None:
    seen = world(name)
    by_dice = 0
    for row in seen.wins:
        me, effect, bid = (
            name_id(f"campaign/{row['campaign']}"),
            seen.effect(row),
            seen.bids[row["request"], row["campaign"]],
        )
        worth = bid["true_rate"] * seen.campaigns[row["campaign"]]["conversion_value_nanos"]
        assert (row["viewed"], row["true_view"], row["true_conversion"]) == (1, effect, 1.0)
        assert row["true_rate"] == row["direct_rate"] == pytest.approx(bid["true_rate"] * effect, rel=1e-12)
        happened = int(uniform(seen.keys.response, row["request"], me, 2) < row["true_click"] * effect)
        assert row["converted"] == happened
        assert row["conversion_time_us"] == (row["time_us"] if happened else -1)
        if seen.by_click:
            assert row["clicked"] == int(
                uniform(seen.keys.response, row["request"], me, 1) < seen.quality(row["campaign"]) * effect
            )
        else:
            assert row["clicked"] == happened
        by_dice += happened and worth > 0
    assert by_dice > 3


@pytest.mark.parametrize("name", DRAWN)
def test_funnel__of_drawn_values(name: str) -> None:
    seen = world(name)
    for campaign, row in seen.campaigns.items():
        mine = [one for one in seen.wins if one["campaign"] == campaign]
        bought = [one for one in mine if one["converted"]]
        assert row["conversions"] == row["conversions_eventual"] == row["conversions_ad_driven"] == len(bought)
        sales = 0
        for one in bought:
            worth = seen.bids[one["request"], campaign]["true_rate"] * row["conversion_value_nanos"]
            sales += worth / one["true_click"]
        assert row["sales_nanos"] == row["sales_eventual_nanos"] == pytest.approx(sales, abs=len(bought) + 1e-6 * sales)


@pytest.mark.parametrize("name", WITH_USERS + DRAWN)
def test_funnel__is_the_sum_of_the_rows(name: str) -> None:
    seen = world(name)
    bucket = seen.settings.log.bucket
    timeline: dict[tuple[str, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for campaign, row in seen.campaigns.items():
        mine = [one for one in seen.wins if one["campaign"] == campaign]
        told = {
            "wins": len(mine),
            "views": sum(one["viewed"] for one in mine),
            "clicks": sum(one["clicked"] for one in mine),
            "payment_nanos": sum(one["payment_nanos"] for one in mine),
            # what was left of a budget is no bid where it could not have won
            "bids": sum(
                asked["bid_nanos"] > 0 and asked["reason"] != "budget"
                for (_, whose), asked in seen.bids.items()
                if whose == campaign
            ),
        }
        assert {key: row[key] for key in told} == told
        for name_of, column in (("true_rate_sum", "true_rate"), ("direct_rate_sum", "direct_rate")):
            assert row[name_of] == pytest.approx(sum(one[column] for one in mine), rel=1e-12)
        assert row["pcvr_sum"] == pytest.approx(sum(one["pcvr"] * seen.effect(one) for one in mine), rel=1e-12)
        if name in DRAWN or not seen.by_click:
            assert row["value_nanos"] == sum(
                round(one["value_nanos"] * seen.quality(campaign) * seen.effect(one)) for one in mine
            )
        for one in mine:
            cell = timeline[campaign, one["time_us"] // bucket * bucket]
            for column, amount in (
                ("wins", 1),
                ("views", one["viewed"]),
                ("clicks", one["clicked"]),
                ("payment_nanos", one["payment_nanos"]),
            ):
                cell[column] += amount
    for cell in seen.result.timeline.to_dict("records"):
        told = timeline[cell["campaign"], cell["start_us"]]
        for column in ("wins", "views", "clicks", "payment_nanos"):
            assert cell[column] == told[column], column


@pytest.mark.parametrize("name", WITH_USERS)
def test_conversions__are_counted_when_they_are_reported(name: str) -> None:
    seen = world(name)
    end, bucket, found = seen.settings.duration, seen.settings.log.bucket, seen.result.conversions.to_dict("records")
    timeline: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
    marked = {}
    assert len(found) > 5
    for row in found:
        assert row["observed"] == (0 <= row["reported_us"] < end)
        assert name == "incidents" or row["reported_us"] == row["time_us"]
        assert row["time_us"] > row["credit_time_us"]
        if row["observed"]:
            cell = timeline[row["campaign"], row["reported_us"] // bucket * bucket]
            cell[0] += 1
            cell[1] += row["value_nanos"]
            marked[row["campaign"], row["user"], row["credit_time_us"]] = row["time_us"]
    for row in seen.wins:
        time = marked.get((row["campaign"], row["user"], row["time_us"]), -1)
        assert (row["converted"], row["conversion_time_us"]) == (int(time >= 0), time)
    for cell in seen.result.timeline.to_dict("records"):
        assert [cell["conversions"], cell["sales_nanos"]] == timeline[cell["campaign"], cell["start_us"]]
    for campaign, row in seen.campaigns.items():
        mine = [one for one in found if one["campaign"] == campaign]
        known = [one for one in mine if one["observed"]]
        assert row["conversions_eventual"] == len(mine)
        assert row["sales_eventual_nanos"] == sum(one["value_nanos"] for one in mine)
        assert (row["conversions"], row["sales_nanos"]) == (len(known), sum(one["value_nanos"] for one in known))
        assert row["conversions_ad_driven"] == sum(one["ad_driven"] for one in known)


def test_exploration__rows_hold_what_would_have_been() -> None:
    seen = world(POSITIONS)
    rows = {(row["request"], row["campaign"]): row for row in seen.wins}
    explored = seen.result.frame("explorations").to_dict("records")
    assert 0 < len(explored) < len(rows)
    for row in explored:
        shown, natural = rows[row["request"], row["campaign"]], seen.bids[row["request"], row["campaign"]]
        for column in (
            "viewed",
            "clicked",
            "converted",
            "conversion_time_us",
            "payment_nanos",
            "pcvr",
            "true_rate",
            "direct_rate",
        ):
            assert row[column] == shown[column]
        assert row["natural_rate"] == pytest.approx(natural["true_rate"] * seen.effect(shown), rel=1e-12)
        assert row["natural_direct_rate"] == pytest.approx(natural["direct_rate"] * seen.effect(shown), rel=1e-12)
    moved = [row for row in explored if row["true_rate"] != row["natural_rate"]]
    assert len(moved) > len(explored) / 2


def test_holdout__users_are_those_who_would_have_won() -> None:
    """Who was served, and who was held out of an auction that the campaign had won, by user and line."""
    seen = world(POSITIONS)
    share, arms = seen.settings.holdout.share, {"served": defaultdict(set), "held_out": defaultdict(set)}
    for (_, campaign), bid in seen.bids.items():
        row = seen.campaigns[campaign]
        line = (row["advertiser"], row["product"])
        out = uniform(seen.keys.holdout, bid["user"], name_id(f"advertiser/{row['advertiser']}"), 0) < share
        if bid["reason"] == "won":
            assert not out
            arms["served"][line].add(bid["user"])
        if out and 0 < bid["minimum_bid_nanos"] <= bid["bid_nanos"]:
            arms["held_out"][line].add(bid["user"])
    table = seen.result.frame("incrementality").to_dict("records")
    for row in table:
        assert row["served_users"] == len(arms["served"][row["advertiser"], row["product"]])
    assert sum(row["held_out_users"] for row in table) > 0
    assert sum(row["ghost_wins"] for row in seen.campaigns.values()) >= sum(row["held_out_users"] for row in table)


@pytest.mark.parametrize("name", ["market", "format gsp", POSITIONS])
def test_samples__are_by_the_dice_of_the_request(name: str) -> None:
    """A smaller log is the larger one without the requests whose dice say so: wins and decisions by dice of their own."""
    seen = world(name)
    requests = seen.result.manifest["requests"]
    wins, decisions = requests * 4 // 10, requests * 7 // 10
    few = bidsim.run(
        scenario_of({**worlds()[name], "log": {"wins": wins, "decisions": decisions * len(seen.campaigns)}}),
        progress=lambda *a: None,
    )
    kept = {
        which: {r for r in range(requests) if uniform(seen.keys.sample, r, which, 0) < share}
        for which, share in ((0, wins / requests), (1, decisions / requests))
    }
    whole = seen.result
    for table, which in (("auctions", 0), ("bids", 1)):
        rows = getattr(whole, table)
        wanted = rows[rows["request"].isin(kept[which])]
        found = getattr(few, table)
        np.testing.assert_array_equal(found[["request", "campaign"]], wanted[["request", "campaign"]])
        assert 0 < len(found) < len(rows)
    assert few.campaigns["payment_nanos"].tolist() == whole.campaigns["payment_nanos"].tolist()

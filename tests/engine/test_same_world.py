"""What a person changes about bidders, or writes in another order, does not change the world that they face."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bidsim
from bidsim.core.contracts import ValueBrief, empty_drawn, empty_offers
from bidsim.core.random import stream_key
from bidsim.core.reference import ref
from bidsim.core.registry import find
from bidsim.scenario.build import build
from bidsim.scenario.load import scenario_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _drawn(kind: str, params: dict[str, Any], campaigns: list[str], requests: int = 200) -> dict[str, list[float]]:
    """Value of each campaign in each request, NaN where it takes no part, with campaigns in the order given."""
    model: Any = find("values", kind)
    floats, ints = model.prepare(model.Params(**params), ValueBrief(campaigns, [10**9] * len(campaigns)))
    offers, drawn = empty_offers(len(campaigns)), empty_drawn(len(campaigns))
    found = np.full((len(campaigns), requests), np.nan)
    for r in range(requests):
        count = model.draw(ref(offers), ref(drawn), r, stream_key(1, "values"), np.zeros(3), floats, ints)
        rows = offers.campaign[:count]
        assert (np.diff(rows) > 0).all()
        found[rows, r] = offers.value[:count]
    return {name: found[k].tolist() for k, name in enumerate(campaigns)}


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("independent", {}),
        ("independent", {"noise": 0.2, "participants": "some", "count": 2}),
        ("independent", {"participants": "poisson", "count": 1.5}),
        ("independent", {"participants": "rotate"}),
        ("auctiongym", {"participants": 2}),
    ],
)
def test_drawn_values__go_by_name_and_not_by_place(kind: str, params: dict[str, Any]) -> None:
    names = ["a", "b", "c", "d", "e"]
    here = _drawn(kind, params, names)
    for other in (["c", "e", "a", "d", "b"], ["e", "d", "c", "b", "a"]):
        there = _drawn(kind, params, other)
        for name in names:
            np.testing.assert_array_equal(there[name], here[name])


def test_drawn_values__of_a_campaign_stay_when_another_comes() -> None:
    few, more = (
        _drawn("independent", {"noise": 0.1}, ["b", "c"]),
        _drawn("independent", {"noise": 0.1}, ["a", "b", "c"]),
    )
    assert all(more[name] == few[name] for name in few)


def test_some__are_as_many_as_asked_for_each_alike() -> None:
    found = np.isfinite(
        list(_drawn("independent", {"participants": "some", "count": 2}, ["a", "b", "c", "d"], 4_000).values())
    )
    assert (found.sum(axis=0) == 2).all()
    assert found.mean(axis=1) == pytest.approx([0.5] * 4, abs=0.03)


def test_history__is_the_same_whatever_policies_and_pacers(small: Path) -> None:
    logistic = {"seats.main.model": "logistic"}
    texts = set()
    for changes in (
        {},
        {"campaigns.soap-everyone.policy": "ucb", "campaigns.lamp.pacing": "pid"},
        {"campaigns.lamp.policy": "fixed_bid"},
    ):
        _, models = build(bidsim.load_scenario(small, {**logistic, **changes}))
        texts.add(models.fitted[0].text["weights.json"])
    assert len(texts) == 1


def test_digest__tells_orders_apart_that_make_other_worlds(small: Path) -> None:
    """Levels and seats are counted in the order in which they are named."""
    geo = {"US": 0.5, "GB": 0.3, "DE": 0.2}
    one, other = (
        bidsim.load_scenario(small, {"traffic.geo": dict(pairs)}) for pairs in (geo.items(), reversed(geo.items()))
    )
    assert one.digest() != other.digest()


def test_manifest__is_enough_to_run_again(run_small: Callable[..., bidsim.Result], tmp_path: Path) -> None:
    before = run_small({"traffic.geo": {"US": 0.2, "GB": 0.3, "DE": 0.5}})
    before.save(tmp_path / "run")
    scenario = json.loads((tmp_path / "run" / "manifest.json").read_text())["scenario"]
    assert list(scenario["traffic"]["geo"]) == ["US", "GB", "DE"]
    assert list(bidsim.load_result(tmp_path / "run").summary["campaigns"]) == list(before.summary["campaigns"])


def test_incident__is_the_same_beside_others(run_small: Callable[..., bidsim.Result]) -> None:
    shift = {"kind": "traffic_shift", "to": {"geo": ["GB"]}, "share": 0.5, "start": "1d"}
    nothing = {"kind": "price_shift", "factor": 1.0, "start": "1d"}
    wins = [
        [row["wins"] for row in run_small({"incidents": incidents}).summary["campaigns"].values()]
        for incidents in ([shift], [nothing, shift], [shift, nothing])
    ]
    assert wins[0] == wins[1] == wins[2]
    twice = run_small({"incidents": [{**shift, "share": 0.3}, {**shift, "share": 0.3}]})
    once = run_small({"incidents": [{**shift, "share": 0.3}]})
    assert twice.summary["campaigns"] != once.summary["campaigns"], "two alike have dice of their own"


def test_budget_change__grows_no_further_than_money_is_counted(run_small: Callable[..., bidsim.Result]) -> None:
    change = {"kind": "budget_change", "advertiser": "bright", "factor": 100.0, "start": "1d"}
    row = run_small({"campaigns.lamp.budget": 1e9, "incidents": [change]}).summary["campaigns"]["lamp"]
    assert row["budget"] == pytest.approx(1e9)
    assert 0 < row["spend"] < 1e9


def test_budget__of_episodes_is_the_one_that_was_typed() -> None:
    world = {
        "name": "e",
        "requests": 40,
        "count": "exact",
        "duration": "1d",
        "episode": 10,
        "values": {"kind": "independent"},
        "campaigns": {"a": {"budget": 0.5}, "b": {"budget": 2.0}},
    }
    rows = bidsim.run(scenario_of(world), progress=lambda *a: None).summary["campaigns"]
    assert [rows[name]["budget"] for name in ("a", "b")] == [0.5, 2.0]


def test_frequency_cap__holds_for_longer_than_exposures_are_remembered(tmp_path: Path) -> None:
    world: dict[str, Any] = {
        "name": "long", "requests": 3_000, "duration": "200d", "traffic": {"users": 3}, "history": {"requests": 2_000}, "market": {"kind": "none"},
        "seats": {"main": {"model": "oracle"}}, "products": {"soap": {"price": 5.0, "interest": "household"}}, "log": {"wins": 100_000, "bucket": "1d"},
        "campaigns": {"c": {"advertiser": "a", "product": "soap", "budget": 1e6, "frequency_cap": {"count": 2, "per": "90d"}}, "free": {"advertiser": "b", "product": "soap", "budget": 1.0}},
    }  # fmt: skip
    shown = bidsim.run(scenario_of(world), progress=lambda *a: None).auctions.query("campaign == 'c'")
    assert len(shown) >= 9
    for _, mine in shown.groupby("user"):
        time = np.sort(mine["time_us"].to_numpy()) / 86_400e6
        assert (time[2:] - time[:-2]).min() > 90


def test_sums_of_money__that_cannot_be_counted_end_the_run(run_small: Callable[..., bidsim.Result]) -> None:
    with pytest.raises(bidsim.BidsimError, match="count prices, values and budgets in thousands"):
        run_small(
            {
                "products.soap.price": 5e8,
                "products.soap.buyers": 0.9,
                "campaigns.soap-everyone.budget": 1e9,
                "campaigns.soap-everyone.daily_budget": 1e9,
            }
        )


def test_longest_durations__write_where_they_may(run_small: Callable[..., bidsim.Result]) -> None:
    late = [{"kind": "late_labels", "delay": "3650d", "start": start} for start in ("1h", "2h", "3h")]
    result = run_small(
        {"products.soap.delay": "3650d", "products.lamp.repurchase": "3650d", "incidents": late, "log.bucket": "1m"}
    )
    assert (result.timeline["conversions"] >= 0).all()
    assert result.summary["market"]["conversions"] >= 0

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

import bidsim
from bidsim.core.errors import UsageError
from bidsim.core.units import DAY
from bidsim.metrics.hindsight import best_in_hindsight, best_whole, multiplier_for_cost, uniform_multiplier
from bidsim.metrics.regret import MANY_POSITIONS, UPPER_BOUND, regrets
from bidsim.reports.page import write_report
from bidsim.scenario.load import scenario_of

if TYPE_CHECKING:
    from collections.abc import Callable

auctions = st.lists(st.tuples(st.floats(0.01, 2.0), st.floats(0.01, 2.0)), min_size=1, max_size=8)


@settings(max_examples=150)
@given(auctions, st.floats(0.05, 5.0), st.sampled_from(["utility", "value"]))
def test_fractional__is_the_linear_programme(pairs: list[tuple[float, float]], budget: float, objective: Any) -> None:
    value, price = np.array([v for v, _ in pairs]), np.array([p for _, p in pairs])
    gain = value - price if objective == "utility" else value
    twin = optimize.linprog(-gain, A_ub=[price], b_ub=[budget], bounds=(0, 1))
    assert best_in_hindsight(value, price, budget, objective).worth == pytest.approx(-twin.fun, abs=1e-6)


@settings(max_examples=100)
@given(auctions, st.floats(0.05, 5.0), st.sampled_from(["utility", "value"]))
def test_whole__is_the_best_of_all_subsets(pairs: list[tuple[float, float]], budget: float, objective: Any) -> None:
    value, price = np.array([v for v, _ in pairs]), np.array([p for _, p in pairs])
    gain = value - price if objective == "utility" else value
    every = max(
        float(np.dot(chosen, gain)) for chosen in product([0, 1], repeat=len(pairs)) if np.dot(chosen, price) <= budget
    )
    assert best_whole(value, price, budget, objective) == pytest.approx(every, abs=1e-9)
    assert (
        best_whole(value, price, budget, objective) <= best_in_hindsight(value, price, budget, objective).worth + 1e-9
    )


def test_multipliers__are_the_roots_of_spend_and_cost() -> None:
    dice = np.random.default_rng(0)
    value, price = dice.random(200_000), dice.random(200_000)
    assert uniform_multiplier(value, price, len(value) / 24) == pytest.approx(0.5, abs=0.01)
    assert multiplier_for_cost(value, price, 0.4) == pytest.approx(0.8, abs=0.01)
    assert uniform_multiplier(value, price, 1e9) == float("inf")


def test_regret__by_hand() -> None:
    world = {
        "name": "hand", "requests": 4, "count": "exact", "duration": "1d", "values": {"kind": "types", "worth": {"c": [0.9, 0.5, 0.8, 0.3], "rival": [0.5, 0.1, 0.6, 0.2]}, "in_turn": True},
        "auction": {"format": "second_price"}, "log": {"decisions": 1000},
        "campaigns": {"c": {"budget": 0.6}, "rival": {"budget": 100.0}},
    }  # fmt: skip
    found = regrets(bidsim.run(scenario_of(world), progress=lambda *a: None))["c"]
    # it wins the first two for 0.5 and 0.1, and is broke; the best takes them too
    assert found["reached"] == pytest.approx(0.4 + 0.4, abs=1e-6)
    assert found["best"] == pytest.approx(0.8, abs=1e-6)
    assert found["pacing_regret"] == pytest.approx(0.0, abs=1e-6)
    assert found["note"] == ""
    world["campaigns"]["c"]["budget"] = 0.55  # type: ignore[index]
    poorer = regrets(bidsim.run(scenario_of(world), progress=lambda *a: None))["c"]
    # broke after the first; the second at 0.1 brings 4 for 1, and then nine tenths of the first
    assert poorer["reached"] == pytest.approx(0.4, abs=1e-6)
    assert poorer["best"] == pytest.approx(0.4 + 0.9 * 0.4, abs=1e-6)


def _hand(**changes: Any) -> dict[str, Any]:
    """Two bidders, four kinds of impressions in turn, the first bidder wins one and two at once."""
    world = {
        "name": "hand", "requests": 4, "count": "exact", "duration": "1d", "log": {"decisions": 1_000_000}, "auction": {"format": "second_price"},
        "values": {"kind": "types", "worth": {"c": [0.9, 0.5, 0.8, 0.3], "rival": [0.5, 0.1, 0.6, 0.2]}, "in_turn": True}, "campaigns": {"c": {"budget": 100.0}, "rival": {"budget": 100.0}},
    }  # fmt: skip
    return regrets(bidsim.run(scenario_of({**world, **changes}), progress=lambda *a: None))


def test_regret__of_episodes_has_a_budget_in_each() -> None:
    found = _hand(requests=8, episode=4, campaigns={"c": {"budget": 0.55}, "rival": {"budget": 100.0}})["c"]
    # each episode as `by_hand` has it: the first at 0.5, then broke; best is the second, and nine tenths of the first
    assert found["reached"] == pytest.approx(2 * 0.4, abs=1e-6)
    assert found["best"] == pytest.approx(2 * (0.4 + 0.9 * 0.4), abs=1e-6)


def test_regret__of_a_daily_budget_has_one_in_each_day() -> None:
    world: dict[str, Any] = {
        "name": "daily", "requests": 2_000, "count": "exact", "duration": "4d", "traffic": {"hours": "flat"}, "values": {"kind": "independent"}, "market": {"kind": "distribution"},
        "auction": {"format": "second_price"}, "log": {"decisions": 1_000_000}, "campaigns": {"c": {"budget": 1_000.0, "daily_budget": 20.0}},
    }  # fmt: skip
    result = bidsim.run(scenario_of(world), progress=lambda *a: None)
    bids, best = result.bids, 0.0
    for day in range(4):
        mine = bids[bids["time_us"] // DAY == day]
        best += best_in_hindsight(
            mine["value_nanos"].to_numpy() / 1e9, mine["minimum_bid_nanos"].to_numpy() / 1e9, 20.0
        ).worth
    found = regrets(result)["c"]
    assert found["best"] == pytest.approx(best, rel=1e-9)
    assert found["share_of_best"] < 1.0
    world["campaigns"]["c"]["budget"] = 50.0
    assert regrets(bidsim.run(scenario_of(world), progress=lambda *a: None))["c"]["best"] < best


def test_regret__where_clicks_are_charged_is_that_of_impressions() -> None:
    """The same market twice: bids for clicks, of which one impression in four brings one, and bids for impressions."""
    quality = {"kind": "independent", "quality": {"c": 0.25}}
    common: dict[str, Any] = {
        "requests": 20_000,
        "market": {"kind": "distribution"},
        "campaigns": {"c": {"budget": 1e6, "policy": {"name": "shaded", "factor": 0.7}}},
    }
    by_click = _hand(**common, values=quality, auction={"format": "vcg", "charge": "click"})["c"]
    plain = _hand(**common, values=quality, auction={"format": "vcg", "charge": "impression"})["c"]
    for key in ("best", "reached", "model_regret"):
        assert by_click[key] == pytest.approx(plain[key], rel=1e-4, abs=1e-3)
    assert by_click["share_of_best"] <= 1.0


def test_regret__of_several_positions_is_not_told() -> None:
    found = _hand(auction={"format": "vcg", "positions": [1.0, 0.4]})
    assert found == {name: {"note": MANY_POSITIONS} for name in ("c", "rival")}


@given(
    st.lists(st.tuples(st.floats(0, 2), st.floats(0.01, 2), st.integers(0, 2)), min_size=1, max_size=7),
    st.floats(0.1, 3.0),
    st.floats(0.1, 2.0),
)
def test_hindsight__of_parts_is_the_linear_optimum(
    rows: list[tuple[float, float, int]], budget: float, part_budget: float
) -> None:
    value, price, part = (np.array(column) for column in zip(*rows, strict=True))
    limits = np.vstack([price, *(price * (part == p) for p in range(3))])
    solved = optimize.linprog(-(value - price), A_ub=limits, b_ub=[budget, *[part_budget] * 3], bounds=(0, 1))
    assert best_in_hindsight(value, price, budget, "utility", part, part_budget).worth == pytest.approx(
        -solved.fun, abs=1e-7
    )


def test_regret__model_regret_is_what_wrong_beliefs_cost() -> None:
    world = {
        "name": "noise", "requests": 5_000, "count": "exact", "duration": "1d", "values": {"kind": "independent", "noise": 0.5}, "market": {"kind": "distribution"},
        "auction": {"format": "second_price"}, "log": {"decisions": 1_000_000}, "campaigns": {"c": {"budget": 1e6}},
    }  # fmt: skip
    found = regrets(bidsim.run(scenario_of(world), progress=lambda *a: None))["c"]
    assert found["pacing_regret"] == pytest.approx(0.0, abs=1e-3)
    assert found["model_regret"] > 100
    clean = regrets(bidsim.run(scenario_of({**world, "values": {"kind": "independent"}}), progress=lambda *a: None))[
        "c"
    ]
    assert clean["model_regret"] == pytest.approx(0.0, abs=1e-3)
    assert clean["estimation"] == pytest.approx(0.0, abs=1e-3)


def test_allocation_regret__is_what_the_wrong_ad_costs(run_small: Callable[..., bidsim.Result]) -> None:
    everything = {
        "log.decisions": 1_000_000,
        "seats.main.internal_auction": True,
        **{f"campaigns.{c}.budget": 1e5 for c in ("lamp", "soap-mobile", "soap-everyone")},
        "campaigns.soap-everyone.daily_budget": 1e5,
    }
    alone = run_small({"log.decisions": 1_000_000})
    assert alone.summary["allocation_regret"] == {"main": 0.0}
    # a bid far above its value sends the soap where the lamp would have been worth more
    wrong = run_small(
        {
            **everything,
            "campaigns.soap-mobile.policy": {"name": "fixed_bid", "bid_cpm": 900.0},
            "campaigns.soap-mobile.pacing": "none",
        }
    )
    right = run_small(
        {
            **everything,
            "campaigns.soap-mobile.policy": "truthful",
            "campaigns.soap-mobile.pacing": "none",
            "campaigns.lamp.policy": "truthful",
            "campaigns.lamp.pacing": "none",
        }
    )
    assert right.summary["allocation_regret"]["main"] == pytest.approx(0.0, abs=1e-6)
    assert wrong.summary["allocation_regret"]["main"] > 0.1


def test_regret__needs_every_bid_and_says_when_it_is_a_bound(run_small: Callable[..., bidsim.Result]) -> None:
    with pytest.raises(UsageError, match=r"log\.decisions"):
        regrets(run_small({"log.decisions": 50}))
    assert regrets(run_small({"log.decisions": 1_000_000}))["lamp"]["note"] == UPPER_BOUND
    assert "regret" in run_small({"log.decisions": 1_000_000}).summary["campaigns"]["lamp"]
    assert "regret" not in run_small({"log.decisions": 50}).summary["campaigns"]["lamp"]


def test_winners_curse__is_of_values_where_values_are_drawn(tmp_path: Any) -> None:
    world: dict[str, Any] = {
        "name": "curse", "requests": 20_000, "duration": "1d", "values": {"kind": "auctiongym"}, "auction": {"format": "second_price"},
        "campaigns": {f"agent-{k}": {"budget": 1e6} for k in range(6)},
    }  # fmt: skip
    result = bidsim.run(scenario_of(world), progress=lambda *a: None)
    assert result.summary["winners_curse"]["main"] == pytest.approx(1.0, abs=1e-6)
    result.save(tmp_path / "run")
    page = write_report(bidsim.load_result(tmp_path / "run"), tmp_path / "r.html").read_text()
    assert "Predicted against true value" in page
    noisy = {**world, "values": {"kind": "independent", "noise": 0.5}}
    assert bidsim.run(scenario_of(noisy), progress=lambda *a: None).summary["winners_curse"]["main"] > 1.2

"""Money balances to the last nano and no budget is exceeded, on random small scenarios."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bidsim
from bidsim.core.units import DAY, to_nanos
from bidsim.scenario.check import check_scenario
from bidsim.scenario.load import Scenario
from bidsim.scenario.model import ScenarioSettings
from bidsim.scenario.sources import Source
from tests.conftest import ROOT

POLICIES: list[Any] = ["truthful", {"name": "shaded", "factor": 0.5}, {"name": "linear", "base_cpm": 40.0}]
PACERS: list[Any] = ["none", "even", {"name": "adaptive", "step": 3.0}]

campaign = st.fixed_dictionaries(
    {
        "advertiser": st.sampled_from(["a", "b"]),
        "product": st.sampled_from(["p", "q"]),
        "budget": st.sampled_from([1e-9, 0.000123457, 0.01, 0.3, 5.0, 1000.0]),
        "policy": st.sampled_from(POLICIES),
        "pacing": st.sampled_from(PACERS),
    },
    optional={
        "start": st.sampled_from(["1h", "5h"]),
        "end": st.sampled_from(["7h", "30h"]),
        "targeting": st.sampled_from([{"device": ["mobile"]}, {"geo": ["US", "DE"], "age": ["25-34"]}]),
        "frequency_cap": st.sampled_from([{"count": 1, "per": "1h"}, {"count": 3, "per": "1d"}]),
        "levers": st.just({"price": 3.3, "creative": 1.0}),
    },
)


@st.composite
def scenarios(dice: Any) -> dict[str, Any]:
    data = {
        "name": "random",
        "seed": dice(st.integers(0, 2**40)),
        "requests": dice(st.integers(1, 400)),
        "count": dice(st.sampled_from(["poisson", "exact"])),
        "duration": "36h",
        "traffic": {"users": dice(st.integers(1, 300)), "hours": dice(st.sampled_from(["flat", "ipinyou"]))},
        "auction": {
            "format": dice(st.sampled_from(["first_price", "second_price"])),
            "reserve_cpm": dice(st.sampled_from([0, 0.5, 8.0])),
            "fee": dice(st.sampled_from([0, 0.1, 0.33333, 0.99])),
        },
        "market": dice(st.sampled_from([{"kind": "none"}, {"kind": "landscape", "median_cpm": 15.0}])),
        "seats": {"s": {"model": "oracle", "internal_auction": dice(st.booleans())}},
        "products": {"p": {"price": 5.0}, "q": {"price": 70.0, "conversion_rate": 0.3}},
        "campaigns": dice(st.dictionaries(st.text(min_size=1, max_size=6), campaign, min_size=1, max_size=7)),
        "holdout": {"share": dice(st.sampled_from([0, 0.4]))},
        "history": {"requests": 200},
    }
    for one in data["campaigns"].values():
        if dice(st.booleans()):
            one["daily_budget"] = one["budget"] / 2 if one["budget"] > 1e-8 else one["budget"]
    sold = {c["product"] for c in data["campaigns"].values()}
    data["products"] = {k: v for k, v in data["products"].items() if k in sold}
    return data


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(scenarios())
def test_money__balances_to_the_nano(data: dict[str, Any]) -> None:
    checked = ScenarioSettings.model_validate(data)
    assert check_scenario(checked, Source("random", data), None) == []
    result = bidsim.run(Scenario(checked, ROOT), progress=lambda *a: None)
    table, market = result.tables["campaigns"], result.summary["market"]
    paid = sum(int(p) for p in table["payment_nanos"])
    assert paid == market["publisher_revenue_nanos"] + market["exchange_fee_nanos"] == market["revenue_nanos"]
    daily = (
        result.timeline.assign(day=lambda t: t["start_us"] // DAY).groupby(["campaign", "day"])["payment_nanos"].sum()
    )
    for k, name in enumerate(table["campaign"]):
        settings_of = checked.campaigns[name]
        assert 0 <= table["payment_nanos"][k] <= to_nanos(settings_of.budget)
        if settings_of.daily_budget is not None:
            assert daily.loc[name].max() <= to_nanos(settings_of.daily_budget)
        lost = sum(int(v[k]) for column, v in table.items() if column.startswith("lost_"))
        assert lost + table["wins"][k] == table["requests"][k] == market["requests"]
        assert all(v[k] >= 0 for column, v in table.items() if column.startswith("lost_"))
    assert market["sold_to_campaigns"] == int(np.sum(table["wins"]))
    assert market["sold_to_campaigns"] + market["sold_to_rivals"] + market["unsold"] == market["requests"]

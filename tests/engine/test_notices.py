"""Notices that come late or never: budgets hold to the nano at every moment, and money balances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bidsim
from bidsim.bidder.flight import IN_FLIGHT
from bidsim.bidder.ledger import ACCOUNT, NO_LIMIT
from bidsim.core.units import DAY
from bidsim.scenario.check import check_scenario
from bidsim.scenario.load import Scenario, scenario_of
from bidsim.scenario.model import ScenarioSettings
from bidsim.scenario.sources import Source
from tests.conftest import ROOT
from tests.engine.test_money import scenarios

DELAYS: list[Any] = [
    "1us",
    "20m",
    "1h",
    {"type": "exponential", "rate": 0.001},
    {"type": "lognormal", "mu": 6.0, "sigma": 2.0},
    {"type": "uniform", "low": 0, "high": 3600},
]


@st.composite
def late(dice: Any) -> dict[str, Any]:
    """Random small scenarios with late notices, and sometimes shared budgets."""
    data: dict[str, Any] = dice(scenarios())
    data["notices"] = {
        "delay": dice(st.sampled_from(DELAYS)),
        "lost": dice(st.sampled_from([0.0, 0.05, 0.5, 1.0])),
        "expire": dice(st.sampled_from(["1s", "30m", "1h", "5d"])),
    }
    if dice(st.booleans()):
        names = list(data["campaigns"])
        data["budgets"] = {"all of them": {"total": dice(st.sampled_from([1e-9, 0.02, 1.0])), "campaigns": names}}
        if dice(st.booleans()):
            data["budgets"]["a day"] = {"daily": 0.01, "campaigns": names[:1]}
            del data["campaigns"][names[0]]["budget"]
            data["campaigns"][names[0]].pop("daily_budget", None)
    return data


def _overdrawn(accounts: Any) -> bool:
    whole = accounts[:, ACCOUNT.budget] - accounts[:, ACCOUNT.spent] - accounts[:, ACCOUNT.held]
    days = accounts[:, ACCOUNT.daily] - accounts[:, ACCOUNT.today] - accounts[:, ACCOUNT.held_today]
    return bool((whole < 0).any() or (days < 0).any() or (accounts[:, ACCOUNT.held] < 0).any())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(late())
def test_budgets__hold_to_the_nano_while_notices_are_late(data: dict[str, Any]) -> None:
    checked = ScenarioSettings.model_validate(data)
    assert check_scenario(checked, Source("random", data), None) == []
    simulation = bidsim.Simulation(Scenario(checked, ROOT))
    while simulation.step(requests=9):
        assert not _overdrawn(simulation._engine.state.bidder.ledger.accounts)
    result = simulation.finish()
    bidder, world = simulation._engine.state
    accounts, count = bidder.ledger.accounts, len(checked.campaigns)
    assert not _overdrawn(accounts)
    assert (accounts[:, [ACCOUNT.held, ACCOUNT.held_today]] == 0).all()
    assert bidder.flight.used[IN_FLIGHT] == 0
    paid = result.tables["campaigns"]["payment_nanos"]
    assert accounts[:count, ACCOUNT.spent].tolist() == paid.tolist()
    assert int(paid.sum()) == int(world.revenue.sum()) == result.summary["market"]["revenue_nanos"]
    _check_shared(checked, accounts, result)


def _check_shared(checked: ScenarioSettings, accounts: Any, result: bidsim.Result) -> None:
    """What campaigns that share a budget spent, of all days, and of each by the rows of their impressions."""
    won, names = result.auctions, list(result.tables["campaigns"]["campaign"])
    for place, budget in enumerate(checked.budgets.values()):
        theirs = budget.campaigns or []
        mine = accounts[len(names) + place]
        together = sum(int(accounts[names.index(name), ACCOUNT.spent]) for name in theirs)
        assert mine[ACCOUNT.spent] == together <= mine[ACCOUNT.budget]
        if mine[ACCOUNT.daily] < NO_LIMIT:
            rows = won[won["campaign"].isin(theirs)]
            daily = rows.groupby(rows["time_us"] // DAY)["payment_nanos"].sum()
            assert (daily <= mine[ACCOUNT.daily]).all()


def _world(**changes: Any) -> bidsim.Result:
    data = {
        "name": "late",
        "requests": 2_000,
        "count": "exact",
        "duration": "10d",
        "values": {"kind": "independent"},
        "market": {"kind": "distribution"},
        "auction": {"format": "first_price"},
        "campaigns": {"a": {"budget": 60.0, "policy": "truthful"}, "b": {"budget": 1e6, "policy": "truthful"}},
        "log": {"wins": 10_000},
        **changes,
    }
    return bidsim.run(scenario_of(data), progress=lambda *told: None)


_RICH = {name: {"budget": 1e6, "policy": "truthful"} for name in "ab"}


def _notices(result: bidsim.Result) -> dict[str, int]:
    table = result.tables["notices"]
    return dict(zip(table["figure"], table["amount"].tolist(), strict=True))


def test_notices__that_come_before_the_next_request_change_nothing() -> None:
    """Of values that are drawn; a microsecond's delay is over when the next request arrives."""
    at_once, soon = _world(), _world(notices={"delay": "1us"})
    for name in ("campaigns", "auctions", "market", "landscape"):
        for column, values in at_once.tables[name].items():
            assert np.array_equal(np.asarray(values), np.asarray(soon.tables[name][column])), (name, column)


def test_notices__that_are_lost_bill_nothing_and_are_counted() -> None:
    result = _world(notices={"delay": "1us", "lost": 0.25}, campaigns=_RICH)
    found, won = _notices(result), result.auctions
    free = won[won["payment_nanos"] == 0]
    assert len(free) == found["lost_wins"]
    assert int(free["price_nanos"].sum()) == found["unbilled_nanos"]
    assert found["lost"] == found["expired"]
    assert found["lost"] / found["bids"] == pytest.approx(0.25, abs=0.02)
    assert found["bids"] == result.campaigns["bids"].sum()


def test_notices__that_come_late_leave_money_reserved() -> None:
    """While a third of the run's bids are in flight, the tight budget wins fewer impressions early, and none too many."""
    at_once, late = _world(), _world(notices={"delay": "2d", "expire": "3d"})
    spent = [r.campaigns.set_index("campaign").loc["a", "payment_nanos"] for r in (at_once, late)]
    assert spent[1] <= spent[0] <= 60.0 * 1e9
    early = [int((r.auctions.query("campaign == 'a'")["time_us"] < 2 * DAY).sum()) for r in (at_once, late)]
    assert early[1] < early[0]


def test_late_bids__of_the_deadline_are_never_answered_and_expire() -> None:
    result = _world(
        notices={"delay": "1us", "expire": "2h"},
        deadline={"tmax": "100ms", "network": "100ms"},
        campaigns=_RICH,
    )
    found = _notices(result)
    timeouts = int(result.campaigns["lost_timeout"].sum())
    assert timeouts > 100
    assert found["expired"] == timeouts
    assert found["bids"] == result.campaigns["bids"].sum() - timeouts


def test_shared_budget__is_not_spent_twice_within_a_request() -> None:
    """Two positions, two campaigns, money for one and a half impressions: both bid, and together they keep to it."""
    result = _world(
        market={"kind": "none"},
        auction={"format": "first_price", "positions": [1.0, 1.0]},
        values={"kind": "types", "worth": {"a": [1.0], "b": [1.0]}},
        campaigns={name: {"policy": "truthful"} for name in "ab"},
        budgets={"both": {"total": 1.5, "campaigns": ["a", "b"]}},
    )
    assert result.campaigns["payment_nanos"].sum() == 1_500_000_000
    assert sorted(result.auctions["payment_nanos"]) == [500_000_000, 1_000_000_000]


def test_notices__slow_what_policies_learn_but_tell_it_all() -> None:
    """Each bid is answered once, whether by a notice or by its age."""
    result = _world(
        notices={"delay": {"type": "exponential", "rate": 0.0001}, "lost": 0.1},
        campaigns={"a": {"budget": 1e6, "policy": "learned_shading", "pacing": "adaptive"}},
    )
    found = _notices(result)
    assert found["expired"] == found["lost"] + found["late"]
    assert found["unknown"] == found["sent_twice"] == 0
    assert result.campaigns["wins"].sum() > 200

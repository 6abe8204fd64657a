"""What every world must do with budgets: spend them to the last bid, and not a nano more, over days and episodes."""

from __future__ import annotations

from typing import Any

import pytest

import bidsim
from bidsim.scenario.load import scenario_of


def _spend(campaign: dict[str, Any], **other: Any) -> dict[str, Any]:
    world = {
        "name": "budgets", "requests": 6_000, "duration": "4d", "values": {"kind": "independent"}, "market": {"kind": "distribution"}, "traffic": {"hours": "flat"},
        "auction": {"format": "second_price"}, "campaigns": {"c": campaign}, "log": {"bucket": "1d"}, **other,
    }  # fmt: skip
    result = bidsim.run(scenario_of(world), progress=lambda *a: None)
    return {
        "total": int(result.tables["campaigns"]["payment_nanos"][0]),
        "days": result.tables["timeline"]["payment_nanos"].tolist(),
        "requests": result.manifest["requests"],
    }


@pytest.mark.parametrize("budget", [100.0, 400.0, 700.0])
def test_total_budget__is_spent_over_days_and_never_exceeded(budget: float) -> None:
    spent = _spend({"budget": budget})
    assert budget * 0.999 <= spent["total"] / 1e9 <= budget


def test_daily_budget__is_spent_every_day_and_never_exceeded() -> None:
    spent = _spend({"budget": 1e6, "daily_budget": 100.0})
    for day in spent["days"]:
        assert 99.9 <= day / 1e9 <= 100.0


def test_daily_and_total_budget__hold_together() -> None:
    spent = _spend({"budget": 250.0, "daily_budget": 100.0})
    assert 249.7 <= spent["total"] / 1e9 <= 250.0
    assert [round(d / 1e9) for d in spent["days"]] == [100, 100, 50, 0]


def test_episodes__each_have_the_whole_budget() -> None:
    spent = _spend({"budget": 20.0}, episode=500)
    assert spent["total"] / 1e9 == pytest.approx(20.0 * -(-spent["requests"] // 500), rel=0.01)

"""Late bids: the queue against a plain recursion and queueing theory, and what lateness does to a market."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bidsim
from bidsim.core.buckets import RATIO
from bidsim.core.random import draw, name_id, stream_key
from bidsim.engine.deadline import STAGES, stage_nanoseconds
from bidsim.kernels.clock import nanoseconds_per_tick
from bidsim.kernels.vector import normal_pair
from bidsim.metrics.latency import QUANTILES
from bidsim.observers.latency import upper_bounds
from bidsim.scenario.build import build
from tests.conftest import fingerprint

Run = Callable[..., bidsim.Result]
QUEUE: dict[str, Any] = {
    "deadline.tmax": "100ms",
    "deadline.network": "20ms",
    "deadline.volume": 50_000.0,
    "seats.main.decision": {"fixed": "400us", "spread": 0.8, "workers": 2},
}


def _requests(scenario: bidsim.Scenario) -> list[tuple[int, int]]:
    """Number and time of every request for which somebody was eligible."""
    simulation, _ = build(scenario)
    chunk = simulation.traffic.chunk(0, simulation.total)[0]
    return list(zip(chunk.number.tolist(), chunk.time.tolist(), strict=True))


@pytest.mark.parametrize("shed", [False, True])
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_answers__agree_with_a_plain_recursion(run_small: Run, small: Any, workers: int, shed: bool) -> None:
    decision = {"fixed": "1ms", "spread": 0.8, "workers": workers, "shed": shed and workers > 0}
    overrides = {"deadline.tmax": "30ms", "deadline.network": "12ms", "seats.main.decision": decision} | (
        {"deadline.volume": 40_000.0} if workers else {}
    )
    open_to_all = {
        "campaigns.soap-everyone.budget": 1e4,
        "campaigns.soap-everyone.daily_budget": 1e4,
    }  # someone is always eligible
    result = run_small(overrides | open_to_all)
    key, seat = stream_key(3, "deadline"), name_id("seat/main")
    free = [0.0] * max(workers, 1)
    late = dropped = 0
    responses = []
    for number, time in _requests(bidsim.load_scenario(small, overrides | open_to_all)):
        first, second = normal_pair(np.uint64(draw(key, number, seat, 0)))
        network, work = 12_000 * math.exp(0.3 * first), 1_000 * math.exp(0.8 * second)
        waits = 0.0
        if workers:
            arrival = time / 40_000
            worker = free.index(min(free))
            waits = max(free[worker] - arrival, 0.0)
            if decision["shed"] and network + waits > 30_000:
                dropped += 1
                late += 1
                continue
            free[worker] = arrival + waits + work
        responses.append(network + waits + work)
        late += responses[-1] > 30_000
    told = result.summary["answers"]["main"]
    assert (told["decisions"], told["late"], told["shed"]) == (result.manifest["requests"], late, dropped)
    counts = np.bincount(np.searchsorted(upper_bounds(), responses, side="right"), minlength=len(upper_bounds()))
    histogram = result.tables["latency"]
    found = dict(zip(histogram["upper_us"].tolist(), histogram["responses"].tolist(), strict=True))
    assert found == {float(upper_bounds()[b]): int(n) for b, n in enumerate(counts) if n}


def test_queue__waits_as_pollaczek_and_khinchine_say(run_small: Run) -> None:
    """Mean wait of an M/G/1 queue: load * E[S^2] / (2 E[S] (1 - load))."""
    spread, load, volume = 0.5, 0.6, 1e5
    overrides = {
        "requests": 60_000,
        "campaigns.soap-everyone.budget": 1e5,
        "campaigns.soap-everyone.daily_budget": 1e5,
        "traffic.hours": {"amplitude": 0.0},
    }
    gap = 2 * 86_400e6 / 60_000 / volume
    mean = load * gap
    median = mean / math.exp(spread**2 / 2)
    wait = load * mean * math.exp(spread**2) / (2 * (1 - load))
    decision = {"fixed": f"{median:.0f}us", "spread": spread, "workers": 1}
    result = run_small(overrides | {"deadline.tmax": "60s", "deadline.volume": volume, "seats.main.decision": decision})
    histogram = result.tables["latency"]
    middle = histogram["upper_us"] * (1 + 1 / RATIO) / 2
    response = float((middle * histogram["responses"]).sum() / histogram["responses"].sum())
    assert response == pytest.approx(wait + mean, rel=0.04)


def test_deadline__nobody_misses_changes_nothing_else(run_small: Run) -> None:
    plain, patient = (
        fingerprint(run_small()),
        fingerprint(run_small({"deadline.tmax": "1h", "deadline.network": "20ms"})),
    )
    for name in plain:
        if name not in ("seats", "latency"):
            assert plain[name] == patient[name], name


def test_deadline__nobody_meets_sells_nothing(run_small: Run) -> None:
    result = run_small({"deadline.tmax": "1ms", "deadline.network": "10s"})
    campaigns = result.campaigns
    assert campaigns["wins"].sum() == 0
    assert campaigns["payment_nanos"].sum() == 0
    assert (campaigns["lost_timeout"] == campaigns["bids"]).all()
    assert campaigns["bids"].sum() > 100
    assert (campaigns[[c for c in campaigns if c.startswith("lost_")]].sum(axis=1) == campaigns["requests"]).all()
    assert set(result.bids[result.bids["bid_nanos"] > 0]["reason"]) == {"timeout"}


def test_deadline__lateness_of_one_seat_leaves_the_other_its_dice(run_small: Run) -> None:
    two = {
        "seats.slow": {"model": "oracle"},
        "campaigns.lamp.seat": "main",
        "campaigns.soap-everyone.seat": "main",
        "campaigns.soap-mobile.seat": "slow",
        "deadline.tmax": "50ms",
        "deadline.network": "40ms",
    }
    quick = run_small(two)
    slow = run_small(two | {"seats.slow.decision": {"fixed": "1h"}})
    assert slow.summary["answers"]["main"] == quick.summary["answers"]["main"]
    assert slow.summary["answers"]["slow"]["late_share"] == 1.0
    assert 0.1 < quick.summary["answers"]["slow"]["late_share"] < 0.9


def test_deadline__late_bids_teach_no_price(run_small: Run) -> None:
    """A learner whose bids never arrive bids as it did before it knew anything."""
    learns = {
        "auction.format": "first_price",
        "campaigns.soap-everyone.policy": "learned_shading",
        "log.decisions": 1_000_000,
    }
    late = run_small(learns | {"deadline.tmax": "1ms", "deadline.network": "10s"})
    mine = late.bids[late.bids["campaign"] == "soap-everyone"]
    mine = mine[(mine["bid_nanos"] > 0) & (mine["value_nanos"] > 0)]
    ratio = mine["bid_nanos"] / (mine["value_nanos"] * mine["multiplier"])
    assert ratio.iloc[-1000:].quantile([0.2, 0.8]).tolist() == pytest.approx([0.6, 0.6], abs=1e-4)


def test_internal_auction__bids_that_stay_inside_teach_no_price(run_small: Run) -> None:
    """Whether a decision is logged must not change what policies learn."""
    learns = {
        "auction.format": "first_price",
        "seats.main.internal_auction": True,
        "campaigns.soap-everyone.policy": "learned_shading",
    }
    some, all_kept = (run_small(learns | {"log.decisions": n}) for n in (10, 1_000_000))
    assert some.campaigns[["campaign", "wins", "payment_nanos"]].equals(
        all_kept.campaigns[["campaign", "wins", "payment_nanos"]]
    )


def test_measured__is_said_not_to_be_reproducible(run_small: Run) -> None:
    measured = run_small({"deadline.tmax": "1h", "deadline.clock": "measured"})
    assert measured.manifest["reproducible"] is False
    assert run_small().manifest["reproducible"] is True
    told = measured.summary["answers"]["main"]
    assert told["late"] == 0
    assert 0 < told["p50_ms"] < 5
    crawling = run_small({"deadline.tmax": "1ms", "deadline.clock": "measured", "deadline.slowdown": 1e6})
    assert crawling.summary["answers"]["main"]["late_share"] == 1.0


def test_stages__are_stamped_and_add_up(small: Any) -> None:
    engine, _ = build(bidsim.load_scenario(small))
    engine.finish()
    stages = stage_nanoseconds(engine.state)
    assert stages.shape[1] == len(STAGES)
    assert len(stages) > 1000
    assert (stages >= 0).all()
    assert 100 < np.median(stages.sum(axis=1)) < 1e6
    assert 0.01 < nanoseconds_per_tick() < 100


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"seats.main.decision": {"fixed": "1ms"}}, "no effect without a [deadline]"),
        ({"deadline.tmax": "1ms", "deadline.volume": 5.0}, "decision.workers"),
        ({"deadline.tmax": "1ms", "seats.main.decision": {"shed": True}}, "set decision.workers"),
        ({"deadline.tmax": "1ms", "deadline.slowdown": 2.0}, "deadline.clock = 'measured'"),
        (
            {"deadline.tmax": "1ms", "deadline.clock": "measured", "seats.main.decision": {"fixed": "1ms"}},
            "no effect with deadline.clock = 'measured'",
        ),
        ({"deadline.network": "1ms"}, "tmax"),
    ],
)
def test_deadline__keys_without_effect_are_refused(small: Any, overrides: dict[str, Any], words: str) -> None:
    with pytest.raises(bidsim.BidsimError) as told:
        bidsim.load_scenario(small, overrides)
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("deadline", "decision"),
    [
        ({"tmax": "42ms", "network": "40ms", "network_spread": 0.01}, {}),
        ({"tmax": "40ms", "network": "40ms", "network_spread": 0.01}, {}),
        ({"tmax": "40ms", "network": "40ms", "network_spread": 0.0}, {}),
        ({"tmax": "39900us", "network": "40ms", "network_spread": 0.0}, {}),
        ({"tmax": "50ms", "network": "40ms"}, {"fixed": "1ms"}),
        ({"tmax": "30ms", "network": "12ms", "volume": 40_000.0}, {"fixed": "1ms", "workers": 1, "shed": True}),
        ({"tmax": "30ms", "network": "90s", "network_spread": 0.1}, {}),
    ],
)
def test_response_times__quantiles_agree_with_the_counts(
    run_small: Run, small: Any, deadline: dict[str, Any], decision: dict[str, Any]
) -> None:
    """With the number that came too late, and with the quantiles of the answers themselves."""
    overrides = {f"deadline.{k}": v for k, v in deadline.items()} | {"requests": 1_000}
    overrides |= {"campaigns.soap-everyone.budget": 1e4, "campaigns.soap-everyone.daily_budget": 1e4}
    if decision:
        overrides["seats.main.decision"] = decision
    scenario = bidsim.load_scenario(small, overrides)
    told = run_small(overrides).summary["answers"]["main"]
    tmax = scenario.settings.deadline.tmax / 1e3  # type: ignore[union-attr]
    worked, late = told["decisions"] - told["shed"], told["late"] - told["shed"]
    for name, q in QUANTILES.items():
        beyond = math.ceil(q * worked) > worked - late
        assert (told[f"{name}_ms"] > tmax) == beyond, name
    if not decision:
        key, seat, spread = stream_key(3, "deadline"), name_id("seat/main"), deadline.get("network_spread", 0.3)
        network = scenario.settings.deadline.network / 1e3  # type: ignore[union-attr,operator]
        responses = [
            network * math.exp(spread * normal_pair(np.uint64(draw(key, number, seat, 0)))[0])
            for number, _ in _requests(scenario)
        ]
        assert len(responses) == told["decisions"]
        exact = np.quantile(responses, list(QUANTILES.values()), method="inverted_cdf")
        assert [told[f"{name}_ms"] for name in QUANTILES] == pytest.approx(exact.tolist(), rel=RATIO - 1)

"""Sweeps: each value beside the same world with one thing changed, on the same seeds."""

from __future__ import annotations

import json
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bidsim
from bidsim.cli import main
from bidsim.core.errors import UsageError
from bidsim.experiments.sweep import SweepPoint, sweep
from bidsim.metrics.intervals import mean_interval
from bidsim.reports.comparison import NOT_SHOWN
from bidsim.reports.sweep import verdicts
from tests.conftest import SCENARIOS

if TYPE_CHECKING:
    from pathlib import Path

LATE: dict[str, Any] = {"deadline.tmax": "100ms", "seats.main.decision.fixed": "1ms", "seats.main.decision.spread": 0.0}


def test_sweep__what_is_lost_is_the_difference_to_the_world_beside(small: Path) -> None:
    listed = []
    for network in ("1ms", "100ms", "10s"):
        own = LATE | {"deadline.network": network}
        listed.append(
            (network, bidsim.load_scenario(small, own), bidsim.load_scenario(small, own | {"deadline.tmax": "1h"}))
        )
    quick, half, never = sweep(listed, replications=3, workers=1)
    assert quick.figures["late_share"].value == 0.0
    assert quick.lost["surplus"].value == 0.0
    assert 0.4 < half.figures["late_share"].value < 0.6
    assert 0.0 < half.lost["wins"].value < never.lost["wins"].value
    assert never.figures["wins"].value == 0.0
    assert never.lost["wins"].value == pytest.approx(never.beside["wins"].value)
    assert never.figures["surplus"].value == 0.0


def test_sweep__command_prints_draws_and_writes(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "s.svg"
    set_all = [
        text for key, value in {**LATE, "deadline.network": "90ms"}.items() for text in ("--set", f"{key}={value}")
    ]
    arguments = [
        "sweep",
        str(small),
        "--vary",
        "deadline.network=10ms,90ms",
        "--beside",
        "deadline.tmax=1h",
        "--replications",
        "2",
        "--workers",
        "1",
        *set_all,
    ]
    assert main([*arguments, "--plot", str(plot)]) == 0
    told = capsys.readouterr().out
    assert "profit lost" in told
    assert "Most profit      " in told
    assert "With deadline.tmax=1h: " in told
    assert plot.read_text().startswith("<?xml")
    assert main([*arguments, "--plot", str(plot), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["value"] for row in rows] == ["10ms", "90ms"]
    assert rows[1]["figures"]["late_share"]["value"] > 0.2


@pytest.mark.parametrize(
    ("vary", "words"),
    [
        ("deadline.tmax", "write KEY=V1,V2"),
        ("deadline.tmax=", "write KEY=V1,V2"),
        ("deadline.tmxa=1ms,2ms", "did you mean"),
        ("seats.main.decision.workers=1", "no effect without"),
    ],
)
def test_sweep__what_is_typed_wrong_is_told(
    small: Path, vary: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", str(small), "--vary", vary]) == 2
    assert words in capsys.readouterr().err


def test_sweep__needs_two_worlds_for_an_interval(small: Path) -> None:
    with pytest.raises(UsageError, match="two replications"):
        sweep([("a", bidsim.load_scenario(small), None)], replications=1)


def test_sweep__differences_from_the_first_value_are_world_by_world(small: Path) -> None:
    base = bidsim.load_scenario(small, {"requests": 1_500})
    richer = bidsim.load_scenario(small, {"requests": 1_500, "campaigns.lamp.budget": 90.0})
    first, same, other = sweep([("a", base, None), ("b", base, None), ("c", richer, None)], replications=3, workers=1)
    assert isnan(first.figures["auc"].value)  # an oracle is not trained
    assert all(i == (0.0, 0.0, 0.0) for m, i in first.against.items() if m != "auc")
    assert all(i == (0.0, 0.0, 0.0) for m, i in same.against.items() if m != "auc")
    assert other.against["spend"].value == pytest.approx(other.figures["spend"].value - first.figures["spend"].value)
    apart = other.figures["spend"].high - other.figures["spend"].low
    assert 0.0 < other.against["spend"].high - other.against["spend"].low != apart


def test_slow_model__a_better_model_is_lost_to_lateness() -> None:
    """The scenario's answer, at a tenth of its size: with time enough the large model earns more, with the deadline much less."""
    listed = []
    for trees in ("100", "500"):
        own = {
            "seats.main.model.trees": int(trees),
            "requests": 40_000,
            "history.requests": 400_000,
            "deadline.volume": 375_000.0,
        }
        path = SCENARIOS / "slow_model.toml"
        listed.append(
            (trees, bidsim.load_scenario(path, own), bidsim.load_scenario(path, own | {"deadline.tmax": "1h"}))
        )
    small_model, large_model = sweep(listed, replications=2, workers=1)
    assert small_model.figures["late_share"].value < 0.1
    assert large_model.figures["late_share"].value > 0.5
    assert large_model.figures["surplus"].value < 0.5 * small_model.figures["surplus"].value
    assert large_model.beside["surplus"].value > 3 * large_model.figures["surplus"].value


def _points(metric: dict[str, list[list[float]]], names: str = "012") -> list[SweepPoint]:
    """Points of which only some metrics are told, world by world."""
    found = []
    for k, name in enumerate(names):
        worlds = {m: np.array(rows[k]) for m, rows in metric.items()}
        intervals = {m: mean_interval(v) for m, v in worlds.items()}
        found.append(SweepPoint(name, intervals, {}, {}, intervals, worlds, {}))
    return found


def test_sweep_verdict__names_the_best_only_where_it_leads_all_others() -> None:
    noise = np.array([3.0, -9.0, 4.0, 2.0])
    apart = _points({"surplus": [list(100 + noise), list(101.9 + noise + [0.1, -0.1, 0.1, 0]), list(110 + noise)]})
    (told,) = verdicts("campaigns.a.budget", None, apart)
    assert told.startswith("Most profit      campaigns.a.budget = 2: 110.0, ahead of all others (of 1 by +8.1 +- ")
    close = _points({"surplus": [[100, 90, 104, 102], [99, 95, 100, 99], [97, 92, 95, 93]]})
    (told,) = verdicts("campaigns.a.budget", None, close)
    assert "no difference shown: campaigns.a.budget = 0 is highest (99.0), but not surely ahead of 1, 2" in told
    between = _points({"surplus": [[100, 90, 104, 102], [99, 95, 100, 99], [10, 9, 12, 11]]})
    (told,) = verdicts("campaigns.a.budget", None, between)
    assert told.endswith("not surely ahead of 1 (of the others it is)")


def test_sweep_verdict__errs_as_seldom_as_it_promises() -> None:
    """Of sweeps over values that do not matter, fewer than one in twenty names a best one."""
    dice = np.random.default_rng(5)
    named = 0
    for _ in range(1_000):
        rows = dice.normal(100.0, 5.0, (5, 4)).tolist()
        (told,) = verdicts("x", None, _points({"surplus": rows}, "01234"))
        named += NOT_SHOWN not in told
    assert named <= 50


@pytest.mark.parametrize(
    ("key", "first"),
    [
        ("auction.reserve_cpm", "Most revenue"),
        ("auction.format", "Most revenue"),
        ("market.median_cpm", "Most revenue"),
        ("traffic.floors", "Most revenue"),
        ("seats.main.model.trees", "Most profit"),
        ("campaigns.a.budget", "Most profit"),
    ],
)
def test_sweep_verdict__a_key_of_the_exchange_is_judged_by_what_the_seller_earns(key: str, first: str) -> None:
    told = verdicts(key, None, _points({m: [[1, 2, 3], [5, 6, 7.5], [9, 10, 11.2]] for m in ("surplus", "revenue")}))
    assert told[0].startswith(first)
    assert len(told) == (2 if first == "Most revenue" else 1)


def test_sweep_verdict__of_reserves_says_that_nothing_is_shown(small: Path) -> None:
    """Three worlds of a market with next to no reserve do not tell reserves apart."""
    listed = [(r, bidsim.load_scenario(small, {"auction.reserve_cpm": float(r)}), None) for r in ("0", "0.001")]
    found = verdicts("auction.reserve_cpm", None, sweep(listed, replications=3, workers=1))
    assert all(NOT_SHOWN in line for line in found)

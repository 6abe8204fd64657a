"""Comparisons: intervals that hold what they promise, and pairing that is worth its name."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bidsim
from bidsim.cli import main
from bidsim.core.errors import UsageError
from bidsim.experiments.compare import METRICS, Difference, compare, measure
from bidsim.experiments.worlds import run_all, training_digest
from bidsim.metrics.intervals import mean_interval, welch_interval
from bidsim.reports.comparison import NOT_SHOWN, _words
from bidsim.scenario.load import scenario_of

if TYPE_CHECKING:
    from pathlib import Path

WORLD: dict[str, Any] = {
    "name": "one",
    "requests": 2_000,
    "count": "exact",
    "duration": "1d",
    "values": {"kind": "independent"},
    "market": {"kind": "distribution"},
    "auction": {"format": "first_price"},
    "log": {"wins": 0, "decisions": 0},
    "campaigns": {"c": {"budget": 1e6, "policy": {"name": "shaded", "factor": 0.6}}},
}


def _world(factor: float) -> bidsim.Scenario:
    return scenario_of({**WORLD, "campaigns": {"c": {"budget": 1e6, "policy": {"name": "shaded", "factor": factor}}}})


def test_compare__a_policy_with_itself_on_other_seeds_differs_as_often_as_it_should() -> None:
    """Of 200 comparisons 3 to 8% call a difference at the 5% level."""
    world, replications = _world(0.6), 5
    figures = np.array(
        run_all(
            measure,
            [(world, seed, None) for seed in range(200 * 2 * replications)],
            None,
            lambda stage, done, total: None,
        )
    )
    for metric in ("spend", "surplus", "welfare"):
        column = figures[:, METRICS.index(metric)].reshape(200, 2, replications)
        called = [not (i.low <= 0.0 <= i.high) for i in (welch_interval(b, a) for a, b in column)]
        assert 0.03 <= np.mean(called) <= 0.08


def test_compare__finds_a_small_difference_with_paired_seeds_and_says_what_pairing_saves() -> None:
    found = {d.metric: d for d in compare([_world(0.60), _world(0.612)], replications=12, workers=1)}
    assert found["spend"].shown
    assert found["spend"].interval.value > 0
    assert found["spend"].interval.value / found["spend"].base == pytest.approx(0.04, abs=0.02)
    pairing = found["spend"].pairing
    assert pairing is not None
    assert pairing > 10
    unpaired = {d.metric: d for d in compare([_world(0.60), _world(0.612)], replications=12, workers=1, paired=False)}
    assert unpaired["spend"].pairing is None
    assert unpaired["spend"].interval.high - unpaired["spend"].interval.low > 3 * (
        found["spend"].interval.high - found["spend"].interval.low
    )


def test_compare__the_same_twice_shows_nothing() -> None:
    for difference in compare([_world(0.6), _world(0.6)], replications=3, workers=1):
        assert difference.interval.value == 0.0
        assert not difference.shown


def test_compare__workers_do_not_matter() -> None:
    scenarios = [_world(0.6), _world(0.7), _world(0.8)]
    assert compare(scenarios, replications=2, workers=1) == compare(scenarios, replications=2, workers=2)


@pytest.mark.parametrize(("base", "told"), [(100.0, "2.0% more"), (5_000.0, "under 0.1% more"), (0.0, "more")])
def test_words__never_tell_a_difference_as_nothing(base: float, told: str) -> None:
    assert (
        _words(Difference("spend", "b", base, base + 2.0, mean_interval(np.array([1.9, 2.1, 2.0]), 0.95), 1.0)) == told
    )


def test_compare__one_campaign_alone() -> None:
    pair = [_world(0.6), _world(0.7)]
    assert {d.metric: d.base for d in compare(pair, replications=2, workers=1, campaign="c")}["spend"] == pytest.approx(
        {d.metric: d.base for d in compare(pair, replications=2, workers=1)}["spend"]
    )


def test_compare__says_what_it_needs() -> None:
    with pytest.raises(UsageError, match="two scenarios"):
        compare([_world(0.6)])
    with pytest.raises(UsageError, match="two at least"):
        compare([_world(0.6), _world(0.7)], replications=1)
    with pytest.raises(UsageError, match="no such campaign"):
        compare([_world(0.6), _world(0.7)], campaign="d")


def test_models__are_shared_by_scenarios_that_train_alike(small: Path) -> None:
    one = bidsim.load_scenario(small, {"seats.main.model": {"name": "logistic"}, "history.requests": 12_000})
    assert training_digest(one) == training_digest(
        bidsim.load_scenario(
            small,
            {"seats.main.model": {"name": "logistic"}, "history.requests": 12_000, "campaigns.lamp.policy": "truthful"},
        )
    )
    assert training_digest(one) != training_digest(
        bidsim.load_scenario(small, {"seats.main.model": {"name": "logistic"}, "history.requests": 12_001})
    )


def test_compare__runs_trained_models(small: Path) -> None:
    logged = {
        "seats.main.model": {"name": "logistic"},
        "history.requests": 12_000,
        "requests": 500,
        "products.soap.conversion_rate": 0.5,
        "products.soap.click_rate": 0.3,
    }
    one = bidsim.load_scenario(small, logged)
    two = bidsim.load_scenario(small, {**logged, "auction.format": "first_price"})
    found = {d.metric: d for d in compare([one, replace(two)], replications=2, workers=1)}
    assert found["spend"].other > found["spend"].base


def test_intervals__cover_as_often_as_they_say() -> None:
    dice = np.random.default_rng(0)
    mean = [mean_interval(dice.normal(1.0, 2.0, 5)) for _ in range(2000)]
    welch = [welch_interval(dice.normal(1.0, 3.0, 6), dice.normal(0.0, 1.0, 9)) for _ in range(2000)]
    for intervals in (mean, welch):
        assert np.mean([i.low <= 1.0 <= i.high for i in intervals]) == pytest.approx(0.95, abs=0.015)


def test_command__prints_a_table_and_draws_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "w.toml").write_text(
        'name = "w"\nrequests = 1_000\nduration = "1d"\nvalues = { kind = "independent" }\nmarket = { kind = "distribution" }\n[campaigns.c]\nbudget = 1e6\npolicy = "shaded"\n'
    )
    plot = tmp_path / "d" / "c.svg"
    command = ["compare", *[str(tmp_path / "w.toml")] * 2, "--replications", "2", "--workers", "1", "--plot", str(plot)]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert out.count(NOT_SHOWN) == len(METRICS)
    assert "<svg" in plot.read_text()
    assert main([*command, "--set-last", "campaigns.c.policy.factor=0.2"]) == 0
    assert "less" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(METRICS)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--replications", "1"], "two at least"),
        (["--workers", "0"], "at least one process"),
        (["--campaign", "d"], "no such campaign"),
        (["--seed", "-3"], "whole number"),
    ],
)
def test_command__says_what_is_wrong(
    small: Path, capsys: pytest.CaptureFixture[str], extra: list[str], message: str
) -> None:
    assert main(["compare", str(small), str(small), *extra]) == 2
    assert message in capsys.readouterr().err


def test_command__pictures_of_different_questions_stay_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.toml").write_text(
        'name = "w"\nrequests = 200\nduration = "1d"\nvalues = { kind = "independent" }\n[campaigns.c]\nbudget = 1e6\npolicy = "shaded"\n'
    )
    drawn = []
    for factor in ("0.2", "0.2", "0.3"):
        assert (
            main(
                [
                    "compare",
                    "w.toml",
                    "--replications",
                    "2",
                    "--workers",
                    "1",
                    "--set-last",
                    f"campaigns.c.policy.factor={factor}",
                ]
            )
            == 0
        )
        drawn.append(len(list((tmp_path / "runs").glob("compare-w-*.svg"))))
    assert drawn == [1, 1, 2]
    capsys.readouterr()

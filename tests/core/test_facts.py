"""What a manifest says of a run, checked and typed: a key that is missing or damaged is named in one line."""

from __future__ import annotations

import copy
import random
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest

import bidsim
from bidsim.core.errors import BidsimError
from bidsim.core.facts import RunFacts, facts_of
from bidsim.core.units import DAY, HOUR
from bidsim.reports.page import render_report

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., bidsim.Result]


def test_facts__are_what_the_scenario_set(run_small: Run) -> None:
    changes = {
        "requests": 300,
        "count": "exact",
        "deadline.tmax": "42ms",
        "campaigns.lamp.start": "6h",
        "exploration.share": 0.2,
        "holdout.share": 0.1,
        "monitoring.baseline": "12h",
    }
    facts = run_small(changes).facts
    assert (facts.scenario, facts.seed, facts.requests, facts.duration_us) == ("small", 3, 300, 2 * DAY)
    assert (facts.tmax_us, facts.holdout_share, facts.exploration.share) == (42_000.0, 0.1, 0.2)
    assert (facts.watch_window_us, facts.watch_baseline_us, facts.bucket_us) == (6 * HOUR, 12 * HOUR, HOUR)
    assert facts.campaigns["lamp"].start_us == 6 * HOUR
    assert facts.campaigns["soap-everyone"].daily_budget == 4.0
    assert facts.products["soap"].repurchase_us == 10 * DAY
    assert (facts.charge, facts.values_are_drawn, facts.positions) == ("impression", False, (1.0,))
    assert facts.internal_auctions == {"main": False}
    assert facts.version == bidsim.__version__
    assert set(facts.seconds) >= {"build", "loop", "load", "total"}


def _paths(table: dict[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for key, value in table.items():
        found.append((*above, key))
        if isinstance(value, dict):
            found += _paths(value, (*above, key))
    return found


def _damaged(manifest: dict[str, Any], path: tuple[str, ...], how: Any) -> dict[str, Any]:
    made = copy.deepcopy(manifest)
    table = made
    for key in path[:-1]:
        table = table[key]
    if how == "lost":
        del table[path[-1]]
    else:
        table[path[-1]] = how
    return made


def _complaint(call: Callable[..., Any], *given: Any) -> str:
    """What an error that bidsim raises on purpose says; empty without one."""
    try:
        call(*given)
    except BidsimError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("how", ["lost", None, "x", [], {}, -1.5, True])
def test_facts__whatever_is_damaged_ends_in_one_line(run_small: Run, how: Any) -> None:
    """Every key of a manifest in turn: it is not needed, or its damage is told by name; never anything else."""
    manifest = run_small({"requests": 100, "deadline.tmax": "42ms"}).manifest
    told = 0
    for path in _paths(manifest):
        message = _complaint(facts_of, _damaged(manifest, path, how), "runs/x")
        if message:
            told += 1
            assert message.startswith("runs/x is damaged: ")
            assert ".".join(path) in message
            assert "\n" not in message
    assert told > (20 if how not in (-1.5, {}) else 5)


def test_report__of_a_damaged_manifest_is_one_line(run_small: Run) -> None:
    """Also where the damage is in what a page shows and not in what is typed."""
    result, dice = run_small({"requests": 100}), random.Random(4)
    for path in dice.sample(_paths(result.manifest), 60):
        assert "\n" not in _complaint(render_report, replace(result, manifest=_damaged(result.manifest, path, "x")))


def test_facts__every_attribute_is_described() -> None:
    described = RunFacts.__doc__ or ""
    assert all(f"        {field.name}: " in described for field in fields(RunFacts))

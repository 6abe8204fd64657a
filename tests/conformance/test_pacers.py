"""Every pacer against a twin in plain Python, over a campaign's whole flight, at settings that are nobody's default."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bidsim.core.contracts import CampaignBrief, empty_offers, state_row
from bidsim.core.random import mix, unit
from bidsim.core.reference import ref
from bidsim.core.registry import find

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS, CHANCES, BUDGET = 700, 400.0, 90_000


@dataclass
class Step:
    """What a pacer is told."""

    spent: int
    passed: float
    payment: int
    dice: int


def _flight(seed: int) -> list[Step]:
    """Payments that come in waves, so that the budget is now ahead of the plan and now behind it; at the end nothing is left."""
    dice, spent, steps = np.random.default_rng(seed), 0, []
    for t in range(STEPS):
        payment = int(dice.integers(0, 430) * (1 - math.cos(t / 50)) * (dice.random() < 0.6))
        payment = min(payment, BUDGET - spent)
        spent += payment
        steps.append(Step(spent, t / STEPS, payment, int(dice.integers(0, 2**63))))
    return steps


def _paced(name: str, params: dict[str, Any], steps: list[Step]) -> list[tuple[float, int]]:
    """Multiplier and whether it takes part, at each step, of the second of five campaigns, after one that has met one opportunity more."""
    plugin: Any = find("pacing", name)
    first = plugin.start(plugin.Params(**params), CampaignBrief("c", BUDGET, 1, CHANCES, 0.01))
    floats, ints = (
        np.tile(np.append(state_row(columns, first, kind), kind(0)), (5, 1))
        for columns, kind in ((plugin.floats, np.float64), (plugin.ints, np.int64))
    )
    offers, found = empty_offers(5), []
    offers.campaign[:] = [4, 3, 2, 1, 0]
    untouched = floats.copy()
    offers.budget[:] = BUDGET
    plugin.settle(ref(offers), 2, 3, floats, ints)
    for step in steps:
        offers.budget[:], offers.spent[:], offers.passed[:], offers.payment[:], offers.dice[:] = (
            BUDGET,
            step.spent,
            step.passed,
            step.payment,
            step.dice,
        )
        offers.price[:], offers.won[:] = step.payment, 1
        offers.multiplier[:], offers.active[:] = 1.0, 1
        plugin.pace(ref(offers), 2, 4, floats, ints)
        found.append((float(offers.multiplier[3]), int(offers.active[3])))
        plugin.settle(ref(offers), 2, 4, floats, ints)
    np.testing.assert_array_equal(floats[[0, 3, 4]], untouched[[0, 3, 4]], "of campaigns 1 and 2 alone")
    return found


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"start": 0.3, "step": 4.0, "highest": 2.5},
        {"target": "fixed", "step": 9.0},
        {"target": "fixed", "start": 5.0, "highest": 3.0},
    ],
)
def test_adaptive__agrees_with_its_twin(params: dict[str, Any]) -> None:
    steps, mu = _flight(1), params.get("start", 0.0)
    for t, (step, (multiplier, active)) in enumerate(zip(steps, _paced("adaptive", params, steps), strict=True), 1):
        assert (multiplier, active) == (pytest.approx(1 / (1 + mu), rel=1e-12), 1)
        if params.get("target") == "fixed":
            ratio = step.payment / (BUDGET / CHANCES)
        else:
            due = max(CHANCES * step.passed, 1.0)
            sure = 3 / math.sqrt(due)
            met = 1 + min(t / due - 1 + sure, 0.0) + max(t / due - 1 - sure, 0.0)
            ratio = step.payment * max(CHANCES * met * (1 - step.passed), 1) / max(BUDGET - step.spent, 1)
        change = min(params.get("step", 1.0) / math.sqrt(CHANCES) * (ratio - 1), 0.5 * (1 + mu))
        mu = min(max(mu + change, 0.0), params.get("highest", 1e6))


@pytest.mark.parametrize(
    "params",
    [{}, {"proportional": 3.0, "integral": 6.0, "derivative": 40.0, "every": 7}, {"proportional": 400.0, "every": 3}],
)
def test_pid__agrees_with_its_twin(params: dict[str, Any]) -> None:
    p, i, d, every = (
        params.get(key, default)
        for key, default in (("proportional", 8.0), ("integral", 20.0), ("derivative", 0.0), ("every", 50))
    )
    log, total, last, ends = 0.0, 0.0, 0.0, set()
    steps = _flight(2)
    for t, (step, (multiplier, active)) in enumerate(zip(steps, _paced("pid", params, steps), strict=True), 1):
        assert (multiplier, active) == (pytest.approx(math.exp(log), rel=1e-9), 1)
        if t % every == 0:
            error = step.passed - step.spent / BUDGET
            flight = t / max(step.passed, 1e-6)
            moved = total + error * every / max(flight, 1.0)
            wanted = p * error + i * moved + d * (error - last)
            pushes_out = (wanted >= 0 and error >= 0) or (wanted <= -8 and error <= 0)
            total, last, log = total if pushes_out else moved, error, min(max(wanted, -8.0), 0.0)
            ends.add("top" if wanted >= 0 else "bottom" if wanted <= -8 else "between")
    assert {"top", "between"} <= ends
    assert (params.get("proportional") == 400.0) == ("bottom" in ends)


def _late_flight(seed: int) -> list[Step]:
    """Behind the plan for long, then just on it, then ahead."""
    dice = np.random.default_rng(seed)
    spent = [0] * 450 + [BUDGET // 2] * 100 + [BUDGET] * (STEPS - 550)
    return [Step(one, 0.5, 0, int(dice.integers(0, 2**63))) for one in spent]


@pytest.mark.parametrize("flight", [_flight, _late_flight])
@pytest.mark.parametrize("params", [{}, {"rate": 0.4}, {"probability": 0.35}])
def test_throttle__agrees_with_its_twin(params: dict[str, Any], flight: Callable[[int], list[Step]]) -> None:
    chance, rate = params.get("probability", 0.1), 0.0 if "probability" in params else params.get("rate", 0.1)
    steps, entered, chances = flight(3), 0, [chance]
    for t, (step, (multiplier, active)) in enumerate(zip(steps, _paced("throttle", params, steps), strict=True), 1):
        dice = float(unit(np.uint64(mix(np.uint64(step.dice ^ 0x9E3779B97F4A7C15)))))
        assert (multiplier, active) == (1.0, int(dice < chance))
        entered += active
        if t % 50 == 0:
            chance = min(max(chance * (1 + rate if step.spent < BUDGET * step.passed else 1 - rate), 1e-4), 1.0)
        chances.append(chance)
    assert 0 < entered < STEPS
    moves = {int(np.sign(b - a)) for a, b in pairwise(chances)}
    assert moves == ({0} if "probability" in params else {-1, 0, 1})


@pytest.mark.parametrize("ahead", [0.0, 0.02])
def test_even__agrees_with_its_twin(ahead: float) -> None:
    steps = _flight(4)
    waits = 0
    for step, (multiplier, active) in zip(steps, _paced("even", {"ahead": ahead}, steps), strict=True):
        waiting = step.spent > BUDGET * min(1.0, step.passed + ahead)
        assert (multiplier, active) == (1.0, int(not waiting))
        waits += waiting
    assert 0 < waits < STEPS


def test_none__does_nothing() -> None:
    assert set(_paced("none", {}, _flight(5))) == {(1.0, 1)}

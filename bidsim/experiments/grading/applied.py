"""Advice put to the test: actions are applied in the truth, all else stays, and the world is run again."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.folder import scratch_folder
from bidsim.engine.tables import State
from bidsim.experiments.run import run
from bidsim.experiments.worlds import share_models
from bidsim.explain.advertiser import describe_advertisers
from bidsim.explain.levers import OF_THE_AD
from bidsim.response.prepare import moved_by
from bidsim.scenario.build import build

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bidsim.response.truth import Truth
    from bidsim.scenario.load import Scenario


@dataclass(frozen=True)
class Applied:
    """One piece of advice, and what came of it.

    Attributes:
        seed: Of the world.
        advertiser: Who was advised.
        lever: What was moved, by ``change``.
        change: A part of the price, or units of the lever.
        low: Lower end of the interval that was given for the change of conversions, as a part of them.
        high: Upper end.
        promised: Its middle.
        came: What came, in expected conversions.
        realised: What came in conversions of this seed.
        earned: What came, as a change of what sales earn before media cost: a higher price sells less and may earn
            more.

    """

    seed: int
    advertiser: str
    lever: str
    change: float
    low: float
    high: float
    promised: float
    came: float
    realised: float
    earned: float

    @property
    def holds(self) -> bool:
        """Whether the effect lies in its interval."""
        return self.low <= self.came <= self.high

    @property
    def harms(self) -> bool:
        """Whether it is worse than doing nothing by more than the interval allows."""
        return self.earned < 0 and self.came < self.low


@dataclass(frozen=True)
class Came:
    """What came of an action, as a part of the conversions without it: in expectation, and in this seed's events."""

    expected: float
    realised: float


def true_uplifts(scenario: Scenario, actions: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], Came]:
    """What actions really do to attributed conversions: the direct effects that pages estimate.

    Each lever is moved in the truth of a world of its own, where nothing is explored; models and bidders go on as they
    were.

    Args:
        scenario: The world.
        actions: (advertiser, lever) -> change: a part of the price, or units of the lever.

    Returns:
        (advertiser, lever) -> what came, in the order of `OF_THE_AD`.

    Raises:
        ValueError: A lever is none of `OF_THE_AD`.

    """
    unknown = {lever for _, lever in actions} - set(OF_THE_AD)
    if unknown:
        raise ValueError(f"no levers of the ad: {sorted(unknown)}; there are {OF_THE_AD}")
    found: dict[tuple[str, str], Came] = {}
    with scratch_folder() as folder:
        (still,) = share_models([_exploring(scenario, 0.0)], folder, scenario.settings.seed)
        before = _conversions(still, {})
        for lever in OF_THE_AD:
            chosen = {name: (lever, change) for (name, moved), change in actions.items() if moved == lever}
            after = _conversions(still, chosen) if chosen else {}
            found.update({(name, lever): Came(*(after[name] / before[name] - 1).tolist()) for name in chosen})
    return found


def apply_advice(scenario: Scenario, share: float) -> list[Applied]:
    """Explore a share of the traffic, take all advice, and run the world again.

    Each lever is moved where that was advised.

    Levers are moved in the truth alone, so bidders and models go on as they were, but for what they see of purchases
    that came or did not come of it: what comes is the direct effect that was promised. The worlds that are compared
    explore nothing.
    """
    explored = run(_exploring(scenario, share), progress=lambda stage, done, total: None)
    advice = {
        (name, row["lever"]): row
        for name, content in describe_advertisers(explored)
        for row in content["advice"]["actions"]
    }
    found = []
    for (name, lever), came in true_uplifts(
        scenario, {key: float(row["change"]) for key, row in advice.items()}
    ).items():
        row = advice[name, lever]
        given = row["uplift"]
        each = (1 + row["earnings"]["value"]) / (1 + given["value"])
        earned = (1 + came.expected) * each - 1
        found.append(
            Applied(
                scenario.settings.seed,
                name,
                lever,
                row["change"],
                given["low"],
                given["high"],
                given["value"],
                came.expected,
                came.realised,
                earned,
            )
        )
    return found


def _exploring(scenario: Scenario, share: float) -> Scenario:
    settings = scenario.settings
    return replace(
        scenario,
        settings=settings.model_copy(update={"exploration": settings.exploration.model_copy(update={"share": share})}),
    )


def _conversions(scenario: Scenario, actions: Mapping[str, tuple[str, float]]) -> dict[str, NDArray[np.float64]]:
    """Expected and realised conversions of each advertiser, with actions applied in the truth."""
    engine, _ = build(scenario)
    owners, (bidder, world) = engine.names.advertisers, engine.state
    truth = moved_truth(world.truth, scenario, [actions.get(owner) for owner in owners])
    engine.state = State(bidder, world._replace(truth=truth))
    table: dict[str, Any] = engine.finish()["campaigns"]
    found = {}
    for name in dict.fromkeys(owners):
        mine = np.array([owner == name for owner in table["advertiser"]])
        found[name] = np.array(
            [table["true_rate_sum"][mine].sum(), table["conversions_eventual"][mine].sum()], np.float64
        )
    return found


def moved_truth(truth: Truth, scenario: Scenario, actions: list[tuple[str, float] | None]) -> Truth:
    """The truth with one action for each campaign, or none."""
    click, buy, price, nanos = (
        truth.click_logit.copy(),
        truth.buy_logit.copy(),
        truth.log_price.copy(),
        truth.price_nanos.copy(),
    )
    for c, action in enumerate(actions):
        if action is None:
            continue
        lever, change = action
        moved = moved_by(scenario.settings.response, lever, math.log1p(change) if lever == "price" else change)
        click[c] += moved.click
        buy[c] += moved.buy
        price[c] += moved.price
        nanos[c] = round(nanos[c] * math.exp(moved.price))
    return truth._replace(click_logit=click, buy_logit=buy, log_price=price, price_nanos=nanos)

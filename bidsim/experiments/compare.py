"""`compare`: scenarios side by side on the same seeds, differences with intervals over replications."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bidsim.core.errors import UsageError, did_you_mean
from bidsim.core.folder import scratch_folder
from bidsim.experiments.run import run
from bidsim.experiments.worlds import MOST_REPLICATIONS, run_all, share_models
from bidsim.metrics.intervals import Interval, mean_interval, welch_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bidsim.scenario.load import Scenario

METRICS = ("spend", "conversions", "surplus", "revenue", "welfare")
"""What is compared: campaigns' spend, their realised conversions, expected surplus, publishers' revenue, expected
welfare."""


@dataclass(frozen=True)
class Difference:
    """One metric of one scenario against the first.

    Attributes:
        metric: Name of the metric.
        scenario: Which scenario is compared with the first.
        base: Mean of the first.
        other: Mean of this one.
        interval: The difference, this minus the first, with its interval.
        pairing: How many times more replications would be needed without common seeds; None where seeds differ.

    """

    metric: str
    scenario: str
    base: float
    other: float
    interval: Interval
    pairing: float | None

    @property
    def shown(self) -> bool:
        """Whether a difference is shown: zero lies outside the interval."""
        return not self.interval.low <= 0.0 <= self.interval.high


def compare(
    scenarios: Sequence[Scenario],
    *,
    replications: int = 20,
    seed: int = 0,
    paired: bool = True,
    campaign: str | None = None,
    retrain: bool = False,
    workers: int | None = None,
    level: float = 0.95,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> list[Difference]:
    """Run every scenario on many seeds and compare each with the first.

    Args:
        scenarios: Two or more.
        replications: Worlds for each scenario.
        seed: First seed.
        paired: Whether all scenarios run on the same seeds; if not, each has seeds of its own.
        campaign: Compare this campaign's figures only; by default all campaigns together.
        retrain: Whether models are trained anew on each seed's history; by default once, on the first seed's.
        workers: Processes; by default one for each core.
        level: Confidence of the intervals.
        progress: Called with (stage, worlds done since the last call, worlds in all).

    Raises:
        UsageError: Fewer than two scenarios or replications, or a campaign that a scenario lacks.
        BidsimError: A world cannot be run, or workers keep dying.

    Example:
        >>> import bidsim
        >>> from bidsim.experiments.compare import compare
        >>> scenarios = [bidsim.load_scenario("second_price_truthful", {"requests": n}) for n in (200, 400)]
        >>> found = compare(scenarios, replications=2, workers=1)
        >>> found[0].metric
        'spend'

    """
    if replications < 2:  # noqa: PLR2004
        raise UsageError(f"--replications {replications}: an interval needs two at least")
    if replications > MOST_REPLICATIONS:
        raise UsageError(f"--replications {replications}: {MOST_REPLICATIONS:,} are the most")
    if len(scenarios) < 2:  # noqa: PLR2004
        raise UsageError(f"a comparison needs two scenarios at least, not {len(scenarios)}")
    for scenario in scenarios:
        if campaign is not None and campaign not in scenario.settings.campaigns:
            raise UsageError(
                f"--campaign {campaign}: {scenario.name} has no such "
                f"campaign{did_you_mean(campaign, scenario.settings.campaigns)}"
            )
    with scratch_folder() as folder:
        ready = list(scenarios) if retrain else share_models(scenarios, folder, seed)
        first = [seed if paired else seed + k * replications for k in range(len(ready))]
        jobs = [(s, first[k] + r, campaign) for r in range(replications) for k, s in enumerate(ready)]
        rows = run_all(measure, jobs, workers, progress)
    figures = np.array(rows).reshape(replications, len(ready), len(METRICS))
    return [
        _difference(metric, _label(scenarios, k), figures[:, 0, m], figures[:, k, m], paired=paired, level=level)
        for k in range(1, len(ready))
        for m, metric in enumerate(METRICS)
    ]


def _label(scenarios: Sequence[Scenario], k: int) -> str:
    """Name a scenario, with its place where names repeat."""
    names = [s.name for s in scenarios]
    return names[k] if names.count(names[k]) == 1 else f"{names[k]} ({'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[k % 26]})"


def _difference(
    metric: str, scenario: str, base: NDArray[np.float64], other: NDArray[np.float64], *, paired: bool, level: float
) -> Difference:
    interval = mean_interval(other - base, level) if paired else welch_interval(other, base, level)
    pairing = None
    if paired:
        apart, together = float(base.var(ddof=1) + other.var(ddof=1)), float((other - base).var(ddof=1))
        pairing = apart / together if together > 0 else None
    return Difference(metric, scenario, float(base.mean()), float(other.mean()), interval, pairing)


def measure(scenario: Scenario, seed: int, campaign: str | None) -> list[float]:
    """Run one world and return its `METRICS`."""
    world = replace(scenario, settings=scenario.settings.model_copy(update={"seed": seed}))
    summary = run(world, progress=lambda stage, done, total: None).summary
    if campaign is not None:
        row = summary["campaigns"][campaign]
        revenue = row["spend"] * (1.0 - float(scenario.settings.auction.fee))
        return [row["spend"], float(row["conversions"]), row["surplus_expected"], revenue, row["value_expected"]]
    market = summary["market"]
    return [
        market["revenue"],
        float(market["conversions"]),
        market["surplus_expected"],
        market["publisher_revenue"],
        market["welfare_expected"],
    ]

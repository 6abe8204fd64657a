"""`sweep`: one key at several values, each beside the same world with another key changed, on the same seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bidsim.core.errors import UsageError
from bidsim.core.folder import scratch_folder
from bidsim.experiments.run import run
from bidsim.experiments.worlds import MOST_REPLICATIONS, run_all, share_models
from bidsim.metrics.intervals import Interval, mean_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bidsim.scenario.load import Scenario

METRICS = ("surplus", "wins", "conversions", "spend", "revenue", "late_share", "auc")
"""Expected surplus, impressions won, realised conversions, spend, publishers' revenue, share of answers that came too
late, the models' AUC on the history that they were trained on (NaN where none was trained)."""


@dataclass(frozen=True)
class SweepPoint:
    """One value of the key.

    Attributes:
        value: The value as it was typed.
        figures: Metric -> mean over worlds with its interval.
        beside: The same in the worlds beside; empty where there are none.
        lost: Metric -> worlds beside minus these, world by world.
        against: Metric -> these minus those of the first value, world by world; of the first value itself all zero.
        worlds: Metric -> what it was in each world, in the order of seeds.
        worlds_beside: The same of the worlds beside; empty where there are none.

    """

    value: str
    figures: dict[str, Interval]
    beside: dict[str, Interval]
    lost: dict[str, Interval]
    against: dict[str, Interval]
    worlds: dict[str, NDArray[np.float64]]
    worlds_beside: dict[str, NDArray[np.float64]]


def sweep(
    scenarios: Sequence[tuple[str, Scenario, Scenario | None]],
    *,
    replications: int = 4,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> list[SweepPoint]:
    """Run each value's scenario, and the one beside it, on the same seeds.

    Args:
        scenarios: (value, scenario, scenario beside it or None) for each value.
        replications: Worlds for each.
        seed: First seed.
        workers: Processes; by default one for each core.
        progress: Called with (stage, worlds done since the last call, worlds in all).

    Raises:
        UsageError: Fewer than two replications, or no value.
        BidsimError: A world cannot be run.

    Example:
        >>> import bidsim
        >>> from bidsim.experiments.sweep import sweep
        >>> values = [
        ...     (str(n), bidsim.load_scenario("second_price_truthful", {"requests": n}), None) for n in (200, 400)
        ... ]
        >>> [point.value for point in sweep(values, replications=2, workers=1)]
        ['200', '400']

    """
    if replications < 2 or not scenarios:  # noqa: PLR2004
        raise UsageError("a sweep needs one value and two replications at least")
    if replications > MOST_REPLICATIONS:
        raise UsageError(f"--replications {replications}: {MOST_REPLICATIONS:,} are the most")
    flat = [s for _, own, other in scenarios for s in (own, other) if s is not None]
    with scratch_folder() as folder:
        ready = share_models(flat, folder, seed)
        jobs = [(s, seed + r) for s in ready for r in range(replications)]
        rows = np.array(run_all(_measure, jobs, workers, progress)).reshape(len(ready), replications, len(METRICS))
    found, at = [], 0
    for value, _, other in scenarios:
        own = rows[at]
        beside = rows[at + 1] if other is not None else None
        at += 1 if other is None else 2
        others = ({}, {}) if beside is None else (_intervals(beside), _intervals(beside - own))
        worlds = _by_metric(own), {} if beside is None else _by_metric(beside)
        found.append(SweepPoint(value, _intervals(own), *others, _intervals(own - rows[0]), *worlds))
    return found


def _intervals(rows: NDArray[np.float64]) -> dict[str, Interval]:
    return {m: mean_interval(rows[:, j]) for j, m in enumerate(METRICS)}


def _by_metric(rows: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    return {m: rows[:, j] for j, m in enumerate(METRICS)}


def _measure(scenario: Scenario, seed: int) -> list[float]:
    """Run one world and return its `METRICS`."""
    world = replace(scenario, settings=scenario.settings.model_copy(update={"seed": seed}))
    summary = run(world, progress=lambda stage, done, total: None).summary
    market, answers = summary["market"], summary.get("answers", {})
    decisions = sum(a["decisions"] for a in answers.values())
    late = sum(a["late"] for a in answers.values()) / decisions if decisions else 0.0
    models = [figures["model"]["auc"] for figures in summary["models"].values() if figures]
    auc = float(np.mean(models)) if models else math.nan
    return [
        market["surplus_expected"],
        float(market["sold_to_campaigns"]),
        float(market["conversions"]),
        market["revenue"],
        market["publisher_revenue"],
        late,
        auc,
    ]

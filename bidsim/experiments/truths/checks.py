"""Kinds of checks: what each is decided by, how many units it runs, and its function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bidsim.experiments.truths import arrivals, auctions, beliefs, pacing, positions, shading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bidsim.experiments.truths.cases import Estimate


@dataclass(frozen=True)
class Check:
    """A kind of setting.

    Attributes:
        component: What of bidsim decides the figures.
        run: ``run(params, units, seed)``, giving an estimate for each metric.
        units: Auctions (or whatever is counted) of one run.

    """

    component: str
    run: Callable[[Mapping[str, Any], int, int], dict[str, Estimate]]
    units: int = 300_000


CHECKS = {
    "ipv": Check("engine, auction format, policy", auctions.independent_values),
    "asym_fp": Check("engine, first_price, equilibrium", auctions.asymmetric_first_price),
    "poisson_n": Check("engine, second_price", auctions.poisson_bidders),
    "deviation": Check("engine, auction format, shaded", auctions.deviation),
    "optres": Check("engine, second_price, reserve", auctions.optimal_reserve),
    "softfloor_truth": Check("engine, soft_floor", auctions.soft_floor_truthful),
    "softfloor_eq": Check("engine, soft_floor, equilibrium", auctions.soft_floor_equilibrium),
    "eager": Check("engine, second_price, own reserves", auctions.eager_second_price),
    "openrtb": Check("engine, auction format, floor", auctions.openrtb, 1),
    "tie": Check("engine, auction format, seeded ties", auctions.ties),
    "position": Check("engine, gsp, vcg, laddered", positions.position_auction, 50),
    "sne": Check("engine, gsp", positions.symmetric_equilibria, 50),
    "pace": Check("engine, shaded, throttle, budgets", pacing.budget_pacing, 400_000),
    "roi": Check("engine, shaded, hindsight", pacing.return_on_spend, 400_000),
    "sympace": Check("engine, adaptive pacing", pacing.symmetric_pacing),
    "fppe": Check("engine, first_price, adaptive pacing", pacing.first_price_pacing),
    "sppe": Check("engine, second_price (certificate)", pacing.second_price_pacing, 1),
    "knap": Check("hindsight", pacing.hindsight_knapsack, 1),
    "regret": Check("engine, adaptive pacing, hindsight", pacing.pacing_regret, 1),
    "shade": Check("engine, first_price, best_response", shading.known_landscape),
    "power": Check("engine, first_price, shaded", shading.power_landscape),
    "km": Check("Kaplan-Meier of learned_shading", shading.censored_prices, 1),
    "curse": Check("engine, second_price, shrunk", beliefs.winners_curse),
    "curse_thr": Check("engine, second_price", beliefs.curse_at_threshold),
    "logloss": Check("engine, evaluation of models", beliefs.log_loss),
    "downs": Check("history's thinning, logistic model", beliefs.downsampling),
    "delay": Check("delay model of training", beliefs.late_conversions, 1),
    "arrivals": Check("traffic, engine, flights, budgets", arrivals.daily_traffic, 1),
    "homog": Check("traffic", arrivals.steady_traffic, 1),
    "ag": Check("engine, auctiongym values", arrivals.auctiongym, 1_000_000),
}
"""Kind of setting -> how it is run; see docs/reference/validate.md for the parameters of each."""

"""The exchange of a scenario: its format, what it charges for, the rivals outside, and values that are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bidsim.core.contracts import Rivals
from bidsim.scenario.check import market_brief
from bidsim.scenario.forecast import Charged, prepare_values
from bidsim.scenario.names import chosen_params
from bidsim.traffic.arrivals import Arrivals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bidsim.scenario.load import Scenario


@dataclass(frozen=True)
class Exchange:
    """How impressions are sold, and against whom.

    Attributes:
        auction: The format's class,
        numbers: and what its kernels are handed.
        by_click: Whether clicks are charged.
        rivals: The market outside.
        arrivals: When requests come.
        values: Kernel and vectors of the value model; None where there are users.
        pays: What a winner pays, as `CampaignBrief.pays` says it.

    """

    auction: Any
    numbers: NDArray[np.float64]
    by_click: bool
    rivals: Rivals
    arrivals: Arrivals
    values: tuple[Any, Any, Any] | None
    pays: Literal["bid", "minimum", "neither"]

    @property
    def charged(self) -> Charged:
        """What the winner is charged for, and how bids for it are compared."""
        return Charged(self.by_click, self.auction.joint)


def prepare_exchange(scenario: Scenario, names: Sequence[str], value_nanos: Sequence[int]) -> Exchange:
    """Prepare the exchange for campaigns in the engine's order, and what a conversion is worth to each."""
    settings = scenario.settings
    auction, params = chosen_params("auction", settings.auction.format, settings.auction.params, scenario.beside)
    rivals, arrivals = rivals_and_arrivals(scenario)
    pays: Literal["bid", "minimum", "neither"] = "neither"
    if len(settings.auction.positions) == 1:  # of several positions the one minimum does not tell all prices
        pays = "bid" if auction.first_price else "minimum" if auction.truthful else "neither"
    return Exchange(
        auction=auction,
        numbers=np.array([*auction.numbers(params), 0.0], np.float64),
        by_click=(settings.auction.charge or auction.charges[0]) == "click",
        rivals=rivals,
        arrivals=arrivals,
        values=prepare_values(scenario, names, value_nanos),
        pays=pays,
    )


def rivals_and_arrivals(scenario: Scenario) -> tuple[Rivals, Arrivals]:
    """The market outside, and when requests come; a replayed log says how many there are."""
    settings = scenario.settings
    market, params = chosen_params("market", settings.market.name, settings.market.params, scenario.beside)
    rivals: Rivals = market.prepare(params, market_brief(settings, scenario.folder))
    requests = settings.requests or (len(rivals.logged) if rivals.logged is not None else 0)
    return rivals, Arrivals(
        settings.seed,
        "run",
        requests=requests,
        start=0,
        duration=settings.duration,
        hours=settings.traffic.hours,
        exact=settings.count == "exact" or rivals.logged is not None,
    )

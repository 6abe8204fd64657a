"""From settings to the parameters that kernels take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaincinv

from bidsim.core.random import name_id
from bidsim.core.units import to_nanos
from bidsim.kernels.normal import logit
from bidsim.response.truth import Moved, Truth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bidsim.response.settings import AttributionSettings, LeverSettings, ProductSettings, ResponseSettings

_START_QUANTILES = 4096
_TYPICAL_SHIPPING = 3.0


@dataclass(frozen=True)
class Line:
    """A product of one advertiser: the thing that is bought, and that its campaigns share."""

    advertiser: str
    product: str

    @property
    def name(self) -> str:
        """The line's name, from which its dice are drawn."""
        return f"{self.advertiser}/{self.product}"


@dataclass(frozen=True)
class Offered:
    """What one campaign shows: its line and its levers."""

    line: Line
    levers: LeverSettings


def prepare_truth(
    offered: Sequence[Offered],
    products: dict[str, ProductSettings],
    interests: Sequence[str],
    view_rates: Sequence[float],
    response: ResponseSettings,
    attribution: AttributionSettings,
) -> tuple[Truth, list[Line]]:
    """Parameters of the truth for campaigns in the order given, and the lines in code order."""
    lines = sorted({o.line for o in offered}, key=lambda one: one.name)
    sold = [products[line.product] for line in lines]
    of_campaign = [products[o.line.product] for o in offered]
    prices = [o.levers.price or p.price for o, p in zip(offered, of_campaign, strict=True)]
    shapes = np.array([float(p.regularity) for p in sold])
    truth = Truth(
        view_rate=np.array(view_rates, dtype=np.float64),
        line=np.array([lines.index(o.line) for o in offered], dtype=np.int64),
        click_logit=np.array(
            [
                logit(p.click_rate) + moved_by(response, "creative", o.levers.creative).click
                for o, p in zip(offered, of_campaign, strict=True)
            ]
        ),
        buy_logit=np.array(
            [logit(p.conversion_rate) + _bought(response, o.levers) for o, p in zip(offered, of_campaign, strict=True)]
        ),
        log_price=np.array([math.log(price / p.price) for price, p in zip(prices, of_campaign, strict=True)]),
        price_nanos=np.array([to_nanos(price) for price in prices], dtype=np.int64),
        line_id=np.array([name_id(line.name) for line in lines], dtype=np.int64),
        interest=np.array([interests.index(p.interest) if p.interest else 0 for p in sold], dtype=np.int64),
        buyers=np.array([logit(p.buyers) for p in sold]),
        shape=shapes,
        scale=np.array([p.repurchase / math.gamma(1.0 + 1.0 / s) for p, s in zip(sold, shapes, strict=True)]),
        delay=np.array([float(p.delay) for p in sold]),
        basket=np.array([float(p.basket_spread) for p in sold]),
        start=np.array([_first_intervals(float(s)) for s in shapes]),
        click_intent=float(response.click_intent),
        click_match=float(response.click_match),
        fatigue=float(response.fatigue),
        buy_intent=float(response.conversion_intent),
        buy_match=float(response.conversion_match),
        elasticity=float(response.price_elasticity),
        sensitivity=float(response.price_sensitivity),
        price_spread=float(response.price_spread),
        price_targeting=float(response.price_targeting),
        cycle=float(response.cycle_effect),
        newcomer=float(response.newcomer_effect),
        organic_intent=float(response.organic_intent),
        by_click=1 if attribution.rule == "last_click" else 0,
        window=attribution.window,
    )
    return truth, lines


@cache
def _first_intervals(shape: float) -> NDArray[np.float64]:
    """Quantiles of the length-biased first interval, in units of the cumulative hazard."""
    grid = (np.arange(_START_QUANTILES) + 0.5) / _START_QUANTILES
    return np.asarray(gammaincinv(1.0 + 1.0 / shape, grid))


def moved_by(response: ResponseSettings, lever: str, change: float) -> Moved:
    """What a change of a lever adds to the truth.

    Args:
        response: Effects of the levers.
        lever: A field of `LeverSettings`.
        change: In units of the lever; for ``price`` of its logarithm.

    """
    if lever == "price":
        return Moved(0.0, 0.0, change)
    if lever == "creative":
        return Moved(float(response.creative_effect * change), 0.0, 0.0)
    return Moved(
        0.0,
        float({"landing": response.landing_effect, "shipping_days": -response.shipping_effect}[lever] * change),
        0.0,
    )


def _bought(response: ResponseSettings, levers: LeverSettings) -> float:
    """What landing page and delivery add to the log-odds of a purchase."""
    return (
        moved_by(response, "landing", levers.landing).buy
        + moved_by(response, "shipping_days", levers.shipping_days - _TYPICAL_SHIPPING).buy
    )

"""The ``[products]``, ``[response]`` and ``[attribution]`` blocks of a scenario."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bidsim.core.settings import Duration, Effect, Money, NonNegative, Number, Probability, Settings


class ProductSettings(Settings):
    """Something that is bought, with or without ads."""

    price: Money
    """List price in currency units."""
    interest: str | None = None
    """The interest that this product serves, one of ``traffic.interests``; by default the first."""
    margin: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.3
    """Part of the price that a sale is worth to the advertiser."""
    repurchase: Annotated[Duration, Field(ge=3_600_000_000)] = 30 * 86_400_000_000
    """Mean time between two purchases of a buyer without any ads."""
    regularity: Annotated[Number, Field(ge=0.5, le=8.0)] = 2.0
    """Shape of the Weibull hazard in the time since the last purchase: 1 is memoryless, more is more regular."""
    buyers: Probability = 0.15
    """Share of users who buy this product of an advertiser anyway."""
    click_rate: Probability = 0.09
    """Click rate of a seen ad, for a typical user."""
    conversion_rate: Probability = 0.08
    """Rate of ad-driven purchases after a click, for a typical user at list price."""
    delay: Annotated[Duration, Field(ge=1_000_000)] = 12 * 3_600_000_000
    """Mean delay from a click to the purchase that it drives (exponential)."""
    basket_spread: Annotated[Number, Field(ge=0.0, le=2.0)] = 0.25
    """Standard deviation of the log of what is spent in one purchase, around the price."""


class ResponseSettings(Settings):
    """How hidden traits and levers move clicks and purchases; effects are on the log-odds."""

    click_intent: Effect = 0.25
    """Effect of one unit of hidden intent on the click."""
    click_match: Effect = 0.35
    """Effect on the click of an ad for the user's own interest."""
    fatigue: Effect = 0.25
    """Loss in the click for each unit of log(1 + recent impressions of the campaign)."""
    creative_effect: Effect = 0.3
    """Effect of one unit of the lever ``creative`` on the click."""
    conversion_intent: Effect = 0.8
    """Effect of one unit of hidden intent on the purchase after a click."""
    conversion_match: Effect = 0.5
    """Effect on the purchase of a product for the user's own interest."""
    landing_effect: Effect = 0.25
    """Effect of one unit of the lever ``landing`` on the purchase."""
    shipping_effect: Effect = 0.06
    """Loss in the purchase for each day of the lever ``shipping_days``."""
    price_elasticity: Effect = 1.8
    """Loss in the purchase for each unit of log(price / list price), for a user of typical price sensitivity."""
    price_sensitivity: Effect = 0.3
    """How much a unit of the user's hidden price sensitivity adds to the elasticity, as a part of it."""
    price_spread: Annotated[Number, Field(ge=0.0, le=0.5)] = 0.08
    """Standard deviation of the log of shown prices around the campaign's price (offers of the day)."""
    price_targeting: Annotated[Number, Field(ge=-1.0, le=1.0)] = 0.6
    """Correlation of shown prices with hidden intent: shops show keen users higher prices."""
    cycle_effect: NonNegative = 1.0
    """How strongly a recent purchase holds back the next one (power of the readiness)."""
    newcomer_effect: Effect = -0.5
    """Effect on the purchase of not being a buyer of the product already."""
    organic_intent: Annotated[Number, Field(ge=-2.0, le=2.0)] = 0.3
    """How much faster users of high intent buy without ads (log-rate per unit)."""


class AttributionSettings(Settings):
    """Which impression is credited with a purchase."""

    rule: Literal["last_click", "last_view"] = "last_click"
    """Credit the last click, or the last seen impression, of the advertiser's product."""
    window: Duration = 7 * 86_400_000_000
    """How long before the purchase it may lie."""


class LeverSettings(Settings):
    """What an advertiser can change about an ad; each has a direct effect on the response."""

    price: Money | None = None
    """Price shown, in currency units; by default the product's list price. Estimand: direct effect on the purchase."""
    creative: Annotated[Number, Field(ge=-5.0, le=5.0)] = 0.0
    """Quality of the creative, 0 typical. Estimand: direct effect on the click."""
    landing: Annotated[Number, Field(ge=-5.0, le=5.0)] = 0.0
    """Quality of the landing page, 0 typical. Estimand: direct effect on the purchase after a click."""
    shipping_days: Annotated[Number, Field(ge=0.0, le=60.0)] = 3.0
    """Promised days to delivery. Estimand: direct effect on the purchase after a click."""

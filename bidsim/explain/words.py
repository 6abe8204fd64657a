"""Plain words for levers, features and actions; sentences say no more than the figures do."""

from __future__ import annotations

FEATURES = {
    "hour": "hour of the day",
    "weekday": "day of the week",
    "slot": "size of the slot",
    "segment": "audience segment",
    "age": "age band",
    "geo": "country",
    "floor_cpm": "floor price",
    "visits": "visits of the user",
    "engagement": "engagement of the user",
    "campaign": "which campaign",
    "advertiser": "which advertiser",
    "product": "which product",
    "creative": "quality of the creative",
    "landing": "quality of the landing page",
    "shipping_days": "days to delivery",
    "price": "price shown",
    "frequency": "recent impressions",
    "hours_since_seen": "time since the last impression",
    "days_since_purchase": "time since the last purchase",
}
LEVERS = {"price": "Price", "creative": "Creative", "landing": "Landing page", "shipping_days": "Delivery"}
REASONS = {
    "outbid": "others bid more",
    "below_floor": "bid below the floor price",
    "budget": "budget spent, or too little of it left for this bid",
    "frequency_cap": "frequency cap",
    "paced": "held back by pacing",
    "no_bid": "no bid",
    "timeout": "answer too late",
    "internal": "another campaign of the same seat bid more",
}


def action(lever: str, change: float) -> str:
    """What to do, as an instruction."""
    if change == 0:
        return LEVERS[lever]
    if lever == "price":
        return f"{'Lower' if change < 0 else 'Raise'} the price by {100 * abs(change):.1f}%".replace(".0%", "%")
    if lever == "shipping_days":
        days = f"{abs(change):g} day{'' if abs(change) == 1 else 's'}"
        return f"Deliver {days} {'sooner' if change < 0 else 'later'}"
    thing = {"creative": "the creative", "landing": "the landing page"}[lever]
    return f"{'Improve' if change > 0 else 'Simplify'} {thing} by {abs(change):g}"


def feature(name: str) -> str:
    """A model's feature in words."""
    return FEATURES.get(name, name.replace("_", " "))

"""The levers of an ad, in one table that every room goes through."""

from __future__ import annotations

LEVERS = ("price", "creative", "landing", "shipping_days", "bid")
"""What can be explored; prices and bids are moved in logarithms."""
BID = LEVERS.index("bid")

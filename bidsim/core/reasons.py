"""Why a campaign did not win a request."""

REASONS = ("not_targeted", "budget", "frequency_cap", "paced", "no_bid", "timeout", "internal", "below_floor", "outbid")
"""In order of precedence; wins and losses by reason add up to all requests."""
NOT_TARGETED, BUDGET, FREQUENCY_CAP, PACED, NO_BID, TIMEOUT, INTERNAL, BELOW_FLOOR, OUTBID = range(len(REASONS))
WON = len(REASONS)
"""Column of wins, after the reasons."""

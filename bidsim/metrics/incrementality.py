"""Purchases caused by advertising: the truth, and what a ghost-ad hold-out estimates.

Served and held-out users are compared from the first auction that the advertiser won or would have won;
until then both arms had the same history (Johnson, Lewis and Nubbemeyer, Journal of Marketing Research 2017).
"""

from __future__ import annotations

from bidsim.metrics.intervals import Interval, difference_interval, total_interval


def ghost_ad_estimate(
    served_users: int, served: int, served_squared: int, held_users: int, held: int, held_squared: int
) -> Interval | None:
    """Estimate how many purchases the ads caused among the served users.

    Purchases are rare and few are held out, so each arm has an interval that is right for small counts: none seen does
    not mean that none would be.

    Args:
        served_users: Users with a served win.
        served: Their purchases since the first.
        served_squared: Sum of the squares of purchases per user.
        held_users: Users with a ghost win only, their purchases since the first, and sum of squares.
        held: See above.
        held_squared: See above.

    Returns:
        Difference in means times the served users, with its 95% interval; None below two users in an arm.

    """
    if min(served_users, held_users) < 2:  # noqa: PLR2004
        return None
    without = total_interval(held, held_squared, held_users).times(served_users / held_users)
    return difference_interval(total_interval(served, served_squared, served_users), without)

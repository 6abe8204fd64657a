"""Purchases caused by advertising: the truth, and what a ghost-ad hold-out estimates.

Served and held-out users are compared from the first auction that the advertiser won or would have won;
until then both arms had the same history (Johnson, Lewis and Nubbemeyer, Journal of Marketing Research 2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """An estimate with its standard error and 95% interval, in purchases."""

    value: float
    standard_error: float

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.value - _Z95 * self.standard_error

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.value + _Z95 * self.standard_error


def ghost_ad_estimate(served_users: int, served: int, served_squared: int, held_users: int, held: int, held_squared: int) -> Estimate | None:
    """Estimate how many purchases the ads caused among the served users.

    Args:
        served_users: Users with a served win.
        served: Their purchases since the first.
        served_squared: Sum of the squares of purchases per user.
        held_users: Users with a ghost win only, their purchases since the first, and sum of squares.
        held: See above.
        held_squared: See above.

    Returns:
        Difference in means times the served users; None below two users in an arm.

    """
    if min(served_users, held_users) < 2:  # noqa: PLR2004
        return None
    mean_served, mean_held = served / served_users, held / held_users
    variance = _variance(served_users, served, served_squared) / served_users + _variance(held_users, held, held_squared) / held_users
    return Estimate((mean_served - mean_held) * served_users, math.sqrt(variance) * served_users)


def _variance(users: int, total: int, squares: int) -> float:
    return max((squares - total * total / users) / (users - 1), 0.0)

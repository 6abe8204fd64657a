"""Shading factors as the arms of a bandit: what the learning policies choose between."""

from __future__ import annotations

import numpy as np

from bidsim.core.kernel import kernel
from bidsim.core.random import mix, unit

ARMS = 12
"""Factors from 0.12 to 1 of the value, in equal steps of the bid."""
_LOWEST = 0.12
_SALT = np.uint64(0x9E3779B97F4A7C15)


@kernel()
def factor_of(arm: int) -> float:
    """Part of the value that an arm bids."""
    return _LOWEST + (1.0 - _LOWEST) * arm / (ARMS - 1)


@kernel()
def second_dice(dice: np.uint64) -> float:
    """Return a uniform number that is independent of the first one made of ``dice``."""
    return unit(mix(dice ^ _SALT))


@kernel()
def gain(arm: int, value: float, minimum: int, pays_bid: bool) -> float:
    """Share of the value that an arm would have kept, with ``minimum`` the price to beat.

    The winner pays its bid, or else that price.
    """
    factor = factor_of(arm)
    if factor * value < minimum:
        return 0.0
    return 1.0 - (factor if pays_bid else minimum / value)

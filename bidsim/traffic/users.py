"""Users, generated on demand: everything about a user is a function of (seed, user).

Activity is lognormal over users. The user of a request is drawn in proportion to activity without any
table, by the Lorenz curve of the lognormal: L(p) = Phi(Phi^-1(p) - s), so rank = Phi(Phi^-1(u) + s)
(Cowell, Measuring Inequality, 2011, eq. 4.5).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel
from bidsim.core.random import uniform, uniform_open
from bidsim.kernels.choose import choose
from bidsim.kernels.normal import normal_cdf, normal_quantile

_ENGAGEMENT_MISSING = 0.08
_AGE_FOLLOWS_INTEREST = 0.35
_INTENT, _SENSITIVITY, _INTEREST, _GEO, _DEVICE, _AGE, _SEGMENT, _VISITS, _ENGAGEMENT = range(9)


class Population(NamedTuple):
    """Parameters of the population, as the kernels take them."""

    users: int
    activity_spread: float
    intent_activity: float
    interests: int
    geo: NDArray[np.float64]
    device: NDArray[np.float64]
    ages: int
    segment_accuracy: float
    engagement_noise: float


class Profile(NamedTuple):
    """One user: hidden intent, price sensitivity and interest; observed geo, device, age, segment and proxies."""

    intent: float
    sensitivity: float
    interest: int
    geo: int
    device: int
    age: int
    segment: int
    visits: float
    engagement: float


@kernel()
def pick_user(population: Population, u: float) -> int:
    """User of a request, in proportion to activity, for ``u`` in (0, 1)."""
    rank = normal_cdf(normal_quantile(u) + population.activity_spread)
    return min(int(rank * population.users), population.users - 1)


@kernel()
def activity_share(population: Population, user: int) -> float:
    """Part of all requests that a user sends, expected."""
    spread = population.activity_spread
    score = normal_quantile((user + 0.5) / population.users)
    return math.exp(spread * score - 0.5 * spread * spread) / population.users


@kernel()
def _normal(key: np.uint64, user: int, what: int) -> float:
    return normal_quantile(uniform_open(key, user, what, 0))


@kernel()
def _segment(population: Population, key: np.uint64, user: int, interest: int) -> int:
    u = uniform(key, user, _SEGMENT, 0)
    if u < population.segment_accuracy:
        return interest
    return int((u - population.segment_accuracy) / (1.0 - population.segment_accuracy) * (population.interests + 1))


@kernel()
def _age(population: Population, key: np.uint64, user: int, interest: int) -> int:
    u = uniform(key, user, _AGE, 0)
    if u < _AGE_FOLLOWS_INTEREST:
        return interest % population.ages
    return int((u - _AGE_FOLLOWS_INTEREST) / (1.0 - _AGE_FOLLOWS_INTEREST) * population.ages)


@kernel()
def user_profile(population: Population, key: np.uint64, user: int) -> Profile:
    """Everything about a user."""
    activity = normal_quantile((user + 0.5) / population.users)
    rho = population.intent_activity
    intent = rho * activity + math.sqrt(1.0 - rho * rho) * _normal(key, user, _INTENT)
    sensitivity = -0.5 * intent + math.sqrt(0.75) * _normal(key, user, _SENSITIVITY)
    interest = int(uniform(key, user, _INTEREST, 0) * population.interests)
    engagement = np.nan
    if uniform(key, user, _ENGAGEMENT, 1) >= _ENGAGEMENT_MISSING:
        engagement = intent + population.engagement_noise * _normal(key, user, _ENGAGEMENT)
    return Profile(
        intent,
        sensitivity,
        interest,
        choose(population.geo, uniform(key, user, _GEO, 0)),
        choose(population.device, uniform(key, user, _DEVICE, 0)),
        _age(population, key, user, interest),
        _segment(population, key, user, interest),
        math.floor(4.0 * math.exp(0.6 * activity + 0.3 * _normal(key, user, _VISITS))),
        engagement,
    )

"""Distributions that a scenario can name: their settings, and their quantiles, compiled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from bidsim.core.kernel import kernel
from bidsim.core.settings import NonNegative, Number, Positive, Settings
from bidsim.kernels.normal import normal_cdf, normal_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

POINT, UNIFORM, EXPONENTIAL, LOGNORMAL, NORMAL, BETA = range(6)
_TINY = 1e-300
_STEPS = 200


class Point(Settings):
    """One value for certain."""

    type: Literal["point"]
    """Which distribution."""
    value: Annotated[Number, Field(ge=-1e9, le=1e9)] = 1.0
    """The value."""


class Uniform(Settings):
    """Uniform on [low, high]."""

    type: Literal["uniform"]
    """Which distribution."""
    low: Annotated[Number, Field(ge=-1e9, le=1e9)] = 0.0
    """Lowest value."""
    high: Annotated[Number, Field(ge=-1e9, le=1e9)] = 1.0
    """Highest value."""

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        return self


class Exponential(Settings):
    """Exponential with the given rate."""

    type: Literal["exponential"]
    """Which distribution."""
    rate: Positive = 1.0
    """One over the mean."""


class Lognormal(Settings):
    """Lognormal: the log is normal with mean ``mu`` and standard deviation ``sigma``."""

    type: Literal["lognormal"]
    """Which distribution."""
    mu: Annotated[Number, Field(ge=-50.0, le=20.0)] = 0.0
    """Mean of the logarithm."""
    sigma: Annotated[Number, Field(ge=0.0, le=5.0)] = 1.0
    """Standard deviation of the logarithm."""


class Normal(Settings):
    """Normal with mean and standard deviation."""

    type: Literal["normal"]
    """Which distribution."""
    mean: Annotated[Number, Field(ge=-1e9, le=1e9)] = 0.0
    """Mean."""
    sd: NonNegative = 1.0
    """Standard deviation."""


class Beta(Settings):
    """Beta with shapes ``a`` and ``b``."""

    type: Literal["beta"]
    """Which distribution."""
    a: Annotated[Number, Field(gt=0.0, le=1e4)] = 1.0
    """First shape."""
    b: Annotated[Number, Field(gt=0.0, le=1e4)] = 1.0
    """Second shape."""


Distribution = Annotated[Point | Uniform | Exponential | Lognormal | Normal | Beta, Field(discriminator="type")]
"""A distribution, such as ``{ type = "uniform", low = 0, high = 1 }``."""


def coded(distribution: Point | Uniform | Exponential | Lognormal | Normal | Beta) -> tuple[int, float, float]:
    """Code and two numbers of a distribution, as `quantile` and `cdf` take them."""
    match distribution:
        case Point():
            return POINT, float(distribution.value), 0.0
        case Uniform():
            return UNIFORM, float(distribution.low), float(distribution.high)
        case Exponential():
            return EXPONENTIAL, float(distribution.rate), 0.0
        case Lognormal():
            return LOGNORMAL, float(distribution.mu), float(distribution.sigma)
        case Normal():
            return NORMAL, float(distribution.mean), float(distribution.sd)
        case Beta():
            return BETA, float(distribution.a), float(distribution.b)


@kernel()
def quantile(code: int, a: float, b: float, u: float) -> float:
    """Smallest x with P(X <= x) >= u, for u in (0, 1)."""
    if code == UNIFORM:
        return a + (b - a) * u
    if code == LOGNORMAL:
        return math.exp(a + b * normal_quantile(u))
    if code == EXPONENTIAL:
        return -math.log1p(-u) / a
    if code == NORMAL:
        return a + b * normal_quantile(u)
    if code == BETA:
        return _beta_quantile(a, b, u)
    return a


@kernel()
def _normal_below(distance: float, sd: float) -> float:
    if sd > 0.0:
        return normal_cdf(distance / sd)
    return 1.0 if distance >= 0.0 else 0.0


@kernel()
def cdf(code: int, a: float, b: float, x: float) -> float:
    """P(X <= x)."""
    found = 1.0 if x >= a else 0.0
    if code == UNIFORM:
        found = min(max((x - a) / (b - a), 0.0), 1.0)
    elif code == EXPONENTIAL:
        found = -math.expm1(-a * x) if x > 0.0 else 0.0
    elif code == LOGNORMAL:
        found = _normal_below(math.log(x) - a, b) if x > 0.0 else 0.0
    elif code == NORMAL:
        found = _normal_below(x - a, b)
    elif code == BETA:
        found = _beta_cdf(a, b, x)
    return found


@kernel(allocates=True)
def _fill_quantiles(code: int, a: float, b: float, count: int) -> NDArray[np.float64]:
    made = np.empty(count)
    for i in range(count):
        made[i] = quantile(code, a, b, (i + 0.5) / count)
    return made


def quantiles(
    distribution: Point | Uniform | Exponential | Lognormal | Normal | Beta, count: int
) -> NDArray[np.float64]:
    """Return ``count`` equally likely values of a distribution, rising: its quantiles at (i + 1/2) / count."""
    made: NDArray[np.float64] = _fill_quantiles(*coded(distribution), count)
    return made


def student_t_quantile(p: float, freedom: float) -> float:
    """Quantile of Student's t distribution for p >= 1/2, by halving its incomplete-beta form (DLMF 8.17)."""
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = 0.5 * (low + high)
        if 1.0 - 0.5 * _beta_cdf(freedom / 2.0, 0.5, freedom / (freedom + middle * middle)) < p:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@kernel()
def _beta_cdf(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function, by Lentz's continued fraction (DLMF 8.17.22)."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _beta_cdf_low(b, a, 1.0 - x)
    return _beta_cdf_low(a, b, x)


@kernel()
def _beta_cdf_low(a: float, b: float, x: float) -> float:
    front = math.exp(a * math.log(x) + b * math.log1p(-x) - math.lgamma(a) - math.lgamma(b) + math.lgamma(a + b)) / a
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    h = d
    for m in range(1, _STEPS):
        for even in range(2):
            up = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
            down = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
            term = up if even == 0 else down
            d = 1.0 + term * d
            d = 1.0 / (d if abs(d) > _TINY else _TINY)
            c = 1.0 + term / c
            c = c if abs(c) > _TINY else _TINY
            h *= d * c
        if abs(d * c - 1.0) < 1e-15:  # noqa: PLR2004
            break
    return front * h


@kernel()
def _beta_quantile(a: float, b: float, u: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if _beta_cdf(a, b, middle) < u:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)

"""Values drawn from distributions, independent over requests.

The private-value model of auction theory (Krishna 2009, chapter 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bidsim.core.contracts import DRAW_SIGNATURE, Drawn, Offers, ValueBrief, ValueModel
from bidsim.core.errors import did_you_mean
from bidsim.core.kernel import kernel
from bidsim.core.random import uniform, uniform_open
from bidsim.core.settings import NonNegative, Number, Settings
from bidsim.kernels.choose import poisson_quantile
from bidsim.kernels.distributions import Distribution, Uniform, coded, quantile
from bidsim.kernels.normal import normal_quantile

if TYPE_CHECKING:
    from collections.abc import Mapping

ALL, SOME, POISSON, ROTATE = range(4)
_WHO = {"all": ALL, "some": SOME, "poisson": POISSON, "rotate": ROTATE}
_VALUE, _NOISE, _PICK, _COUNT, _COMMON = range(5)
_OWN = 4
"""Numbers for each campaign: two of its distribution, its quality, nanos of a unit of value."""
_SHARED = 4
"""Numbers before those: noise, shift, mean number of participants, whether the value is common."""
_COLUMNS = 4
"""Whole numbers for each campaign, column by column: its distribution, its rank by name, its id, and whether the
campaign of that rank is picked."""


class IndependentParams(Settings):
    """Who takes part, and what an impression is worth to each, in currency units."""

    distribution: Distribution = Uniform(type="uniform")
    """Values of all campaigns that have none of their own."""
    own: dict[str, Distribution] = {}
    """Values of single campaigns, by name."""
    quality: dict[str, Annotated[Number, Field(gt=0.0, le=1.0)]] = {}
    """Expected clicks of one impression in the first position, by campaign; 1 where it is left out."""
    common: bool = False
    """Whether all campaigns share one value, drawn from ``distribution``."""
    noise: NonNegative = 0.0
    """Standard deviation of the normal error in what bidders believe the value to be."""
    shift: Annotated[Number, Field(ge=0.0, le=1e6)] = 0.0
    """Added to all values and beliefs, where some would be negative."""
    participants: Literal["all", "some", "poisson", "rotate"] = "all"
    """Who takes part in a request: all campaigns, ``count`` of them at random, a Poisson number of mean ``count``
    (cut at the number of campaigns), or one after the other."""
    count: Annotated[Number, Field(gt=0.0, le=30.0)] = 1.0
    """Number of participants for ``some``, a whole one, and its mean for ``poisson``."""

    @model_validator(mode="after")
    def _whole(self) -> IndependentParams:
        if self.participants == "some" and self.count != int(self.count):
            raise ValueError(f"count {self.count:g} must be a whole number where some take part")
        return self


@kernel()
def _pick_some(key: np.uint64, request: int, campaigns: int, wanted: int, ints: NDArray[np.int64]) -> None:
    """Pick without replacement, one campaign after the other in the order of names (Knuth, algorithm S)."""
    left = wanted
    for rank in range(campaigns):
        picked = uniform(key, request, _PICK, 1 + rank) * (campaigns - rank) < left
        ints[1 + 3 * campaigns + rank] = picked
        left -= picked


@kernel(DRAW_SIGNATURE)
def draw(
    offers: Offers,
    drawn: Drawn,
    request: int,
    key: np.uint64,
    logged: NDArray[np.float64],
    floats: NDArray[np.float64],
    ints: NDArray[np.int64],
) -> int:
    """Draw who takes part, what it is worth to them, and what they believe."""
    campaigns = (ints.shape[0] - 1) // _COLUMNS
    noise, shift, mean, common = floats[0], floats[1], floats[2], floats[3]
    who = ints[0]
    first, wanted = 0, campaigns
    if who == ROTATE:
        first, wanted = request % campaigns, 1
    elif who != ALL:
        drawn_count = poisson_quantile(mean, uniform(key, request, _COUNT, 0)) if who == POISSON else int(mean)
        wanted = min(drawn_count, campaigns)
        first = int(uniform(key, request, _PICK, 0) * campaigns)
    shared = uniform_open(key, request, _COMMON, 0)
    if who == SOME:
        _pick_some(key, request, campaigns, wanted, ints)
    count = 0
    for c in range(campaigns):
        own, rank = _SHARED + _OWN * c, ints[1 + campaigns + c]
        if (who == SOME and ints[1 + 3 * campaigns + rank] == 0) or (
            who > SOME and (rank - first) % campaigns >= wanted
        ):
            continue
        identity = ints[1 + 2 * campaigns + c]
        u = shared if common > 0.0 else uniform_open(key, request, _VALUE, identity)
        value = quantile(ints[1 + c], floats[own], floats[own + 1], u) + shift
        belief = value
        if noise > 0.0:
            belief += noise * normal_quantile(uniform_open(key, request, _NOISE, identity))
        offers.campaign[count] = c
        offers.pcvr[count] = belief
        offers.value[count] = max(belief, 0.0) * floats[own + 3]
        drawn.worth[count] = value * floats[own + 3]
        drawn.chance[count] = min(max(value, 0.0), 1.0)
        drawn.quality[count] = floats[own + 2]
        count += 1
    return count


class Independent(ValueModel):
    """Assumes that nothing carries over from one request to the next."""

    Params = IndependentParams
    draw = draw

    @classmethod
    def prepare(cls, params: IndependentParams, brief: ValueBrief) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Put distributions in the order of the campaigns.

        Raises:
            ValueError: A name in ``own`` or ``quality`` is no campaign.

        """
        _refuse_unknown("own", params.own, brief)
        _refuse_unknown("quality", params.quality, brief)
        floats = [float(params.noise), float(params.shift), float(params.count), 1.0 if params.common else 0.0]
        kinds = []
        for name, value in zip(brief.campaigns, brief.value_nanos, strict=True):
            code, a, b = coded(params.own.get(name, params.distribution))
            floats += [a, b, float(params.quality.get(name, 1.0)), float(value)]
            kinds.append(code)
        ranks = np.argsort(brief.by_name).tolist()
        return np.array(floats), np.array(
            [_WHO[params.participants], *kinds, *ranks, *brief.ids, *([0] * len(kinds))], np.int64
        )


def _refuse_unknown(key: str, named: Mapping[str, Any], brief: ValueBrief) -> None:
    for name in named:
        if name not in brief.campaigns:
            raise ValueError(f"{key}: there is no campaign {name!r}{did_you_mean(name, brief.campaigns)}")

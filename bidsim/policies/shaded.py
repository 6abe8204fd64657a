"""A fixed shading factor: bid a constant part of the value, the simplest answer to first price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import Number, Settings
from bidsim.core.units import price_of

if TYPE_CHECKING:
    from collections.abc import Mapping


class ShadedParams(Settings):
    """How much to shade."""

    factor: Annotated[Number, Field(gt=0.0, le=10.0)] = 0.7
    """Part of the value that is bid; above 1 for those who want volume rather than profit."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Bid factor x value x multiplier."""
    for k in range(lo, hi):
        offers.bid[k] = price_of(floats[offers.campaign[k], 0] * offers.value[k] * offers.multiplier[k])


class Shaded(Policy):
    """Assumes nothing about rivals; optimal against n - 1 uniform ones at factor (n - 1) / n (Krishna 2009, 2.3)."""

    Params = ShadedParams
    floats = ("factor",)
    bid = bid

    @staticmethod
    def start(params: ShadedParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Keep the factor."""
        return {"factor": float(params.factor)}

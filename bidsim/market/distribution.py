"""Rival bids drawn independently from a named distribution: the competition of textbook problems."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bidsim.core.contracts import Market, MarketBrief, Rivals
from bidsim.core.kernel import kernel
from bidsim.core.random import stream_key, uniform_open
from bidsim.core.requests import Latent, Requests
from bidsim.core.settings import Settings
from bidsim.core.units import NANOS_PER_UNIT, price_of
from bidsim.kernels.distributions import Distribution, Uniform, coded, quantile


class DistributionParams(Settings):
    """What rivals bid for one impression, in currency units."""

    distribution: Distribution = Uniform(type="uniform")
    """Distribution of each rival's bid; bids of zero or less stay out."""
    rivals: Annotated[int, Field(ge=1, le=50)] = 1
    """Number of rivals, alike and independent."""


@kernel()
def _rivals(
    key: np.uint64, code: int, a: float, b: float, unit: float, requests: Requests, rivals: NDArray[np.int64]
) -> None:
    for i in range(rivals.shape[0]):
        row = rivals[i]
        for k in range(row.shape[0]):
            bid = price_of(quantile(code, a, b, uniform_open(key, requests.number[i], k, 0)) * unit)
            at = k
            while at > 0 and row[at - 1] < bid:
                row[at] = row[at - 1]
                at -= 1
            row[at] = bid


def _fill_rivals(
    key: np.uint64, code: int, a: float, b: float, requests: Requests, latent: Latent, rivals: NDArray[np.int64]
) -> None:
    _rivals(key, code, a, b, float(NANOS_PER_UNIT), requests, rivals)


class DistributionMarket(Market):
    """Assumes that rivals know nothing and never change."""

    Params = DistributionParams

    @classmethod
    def prepare(cls, params: DistributionParams, brief: MarketBrief) -> Rivals:
        """Return rivals that send int64[n, rivals] nanos, highest first."""
        return Rivals(
            partial(_fill_rivals, stream_key(brief.seed, "market"), *coded(params.distribution)), params.rivals
        )

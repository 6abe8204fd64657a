"""A lognormal landscape of rival bids that rises with the user's hidden intent and by placement."""

from __future__ import annotations

import math
from functools import partial
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bidsim.core.contracts import Market, MarketBrief, Rivals
from bidsim.core.kernel import kernel
from bidsim.core.random import stream_key, uniform, uniform_open
from bidsim.core.requests import PLACEMENT, Latent, Requests
from bidsim.core.settings import Effect, Number, Positive, Settings, Share
from bidsim.core.units import NANOS_PER_CPM, price_of
from bidsim.kernels.normal import normal_quantile


class LandscapeParams(Settings):
    """Prices that rivals offer."""

    median_cpm: Positive = 1.8
    """Median of the highest rival bid, per thousand impressions."""
    spread: Annotated[Number, Field(ge=0.0, le=3.0)] = 0.6
    """Standard deviation of the log of the highest rival bid."""
    intent_tilt: Effect = 0.25
    """How much the log-price rises with a unit of the user's hidden intent: rivals know something too."""
    placement_spread: Annotated[Number, Field(ge=0.0, le=2.0)] = 0.2
    """Standard deviation of the log-price between placements."""
    fill: Share = 0.97
    """Share of requests for which any rival bids."""


class Landscape(Market):
    """One rival bid more than positions: a lognormal highest one, and each next a beta(2, 1) part of the one before."""

    Params = LandscapeParams

    @classmethod
    def prepare(cls, params: LandscapeParams, brief: MarketBrief) -> Rivals:
        """Return rivals that send int64[n, positions + 1] nanos, highest first."""
        key = stream_key(brief.seed, "market")
        levels = [
            params.placement_spread * normal_quantile(uniform_open(key, -1, p, 0))
            for p in range(len(brief.vocabulary["placement"]))
        ]
        median = params.median_cpm * NANOS_PER_CPM
        return Rivals(
            partial(
                _fill_rivals,
                key,
                median,
                float(params.spread),
                float(params.intent_tilt),
                np.array(levels),
                float(params.fill),
            ),
            brief.positions + 1,
        )


@kernel()
def _rivals(
    key: np.uint64,
    median: float,
    spread: float,
    tilt: float,
    levels: NDArray[np.float64],
    fill: float,
    requests: Requests,
    latent: Latent,
    rivals: NDArray[np.int64],
) -> None:
    for i in range(requests.time.shape[0]):
        r = requests.number[i]
        rivals[i, :] = 0
        if uniform(key, r, 0, 0) < fill:
            level = levels[requests.categories[i, PLACEMENT]] + tilt * latent.intent[i]
            top = median * math.exp(level + spread * normal_quantile(uniform_open(key, r, 1, 0)))
            rivals[i, 0] = price_of(top)
            for rank in range(1, rivals.shape[1]):
                top *= math.sqrt(uniform(key, r, 1 + rank, 0))
                rivals[i, rank] = price_of(top)


def _fill_rivals(
    key: np.uint64,
    median: float,
    spread: float,
    tilt: float,
    levels: NDArray[np.float64],
    fill: float,
    requests: Requests,
    latent: Latent,
    rivals: NDArray[np.int64],
) -> None:
    _rivals(key, median, spread, tilt, levels, fill, requests, latent, rivals)

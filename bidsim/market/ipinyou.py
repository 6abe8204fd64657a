"""Rival prices whose winning side reproduces the prices paid that were published for iPinYou.

What was published are prices *paid*, over won auctions, on each exchange. A request with floor f is won at
price p only if p >= f, so prices paid have density proportional to w(p) F(p), F being the distribution of
floors. Drawing rival prices from w(p) proportional to paid(p) / F(p) gives back paid(p) over wins; where a
drawn price lies below the floor, or with the probability that brings each exchange to its published share
of wins, a rival out of reach takes the request.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bidsim.core.contracts import OUT_OF_REACH, Market, MarketBrief, Rivals
from bidsim.core.datasets import load_dataset
from bidsim.core.kernel import kernel
from bidsim.core.random import stream_key, uniform
from bidsim.core.requests import EXCHANGE, Latent, Requests
from bidsim.core.settings import Number, Settings
from bidsim.core.units import cpm_to_nanos
from bidsim.kernels.choose import choose, cumulative

_RAREST_FLOOR = 0.02


class IpinyouParams(Settings):
    """How much of the traffic can be won at all."""

    win_rate: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.238
    """Share of requests that a bidder above every published price wins; the published one is 0.238."""


class Ipinyou(Market):
    """Published prices paid by exchange (see `bidsim.data`); intended for ``traffic.floors = "ipinyou"``."""

    Params = IpinyouParams

    @classmethod
    def prepare(cls, params: IpinyouParams, brief: MarketBrief) -> Rivals:
        """Return rivals that send one bid each.

        Raises:
            ValueError: The scenario's exchanges are not the published ones, or ``win_rate`` cannot be reached.

        """
        published = load_dataset("ipinyou")["exchanges"]
        unknown = sorted(set(brief.vocabulary["exchange"]) - set(published))
        if unknown:
            raise ValueError(
                f"market 'ipinyou' knows the exchanges {', '.join(published)}, not {unknown[0]!r}; leave "
                "traffic.exchanges out"
            )
        prices, shares, reach = [], [], []
        for name in brief.vocabulary["exchange"]:
            price, weight, natural = _price_weights(published[name])
            prices.append([cpm_to_nanos(p) for p in price])
            shares.append(cumulative(weight))
            wanted = params.win_rate * published[name]["win_share"] / published[name]["request_share"]
            if wanted > natural:
                raise ValueError(
                    f"win_rate {params.win_rate} is out of reach on {name}: floors leave at most "
                    f"{natural * params.win_rate / wanted:.3f}"
                )
            reach.append(wanted / natural)
        return Rivals(
            partial(
                _fill_rivals,
                stream_key(brief.seed, "market"),
                np.array(prices, np.int64),
                np.array(shares),
                np.array(reach),
            ),
            1,
        )


def _price_weights(published: dict[str, list[float]]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Prices, their weights paid / F, and the share of requests whose floor lies at or below the drawn price."""
    price = np.asarray(published["paid_cpm_percentiles"])
    floors, share = np.asarray(published["floor_cpm"]), np.asarray(published["floor_share"])
    below = np.array([share[floors <= p].sum() for p in price])
    weight = np.where(below >= _RAREST_FLOOR, 1.0 / np.maximum(below, _RAREST_FLOOR), 0.0)
    return price, weight, float((weight * below).sum() / weight.sum())


@kernel()
def _rivals(
    key: np.uint64,
    prices: NDArray[np.int64],
    shares: NDArray[np.float64],
    reach: NDArray[np.float64],
    requests: Requests,
    rivals: NDArray[np.int64],
) -> None:
    for i in range(requests.time.shape[0]):
        r = requests.number[i]
        exchange = requests.categories[i, EXCHANGE]
        price = prices[exchange, choose(shares[exchange], uniform(key, r, 0, 0))]
        free = price >= requests.floor[i] and uniform(key, r, 1, 0) < reach[exchange]
        rivals[i, 0] = price if free else OUT_OF_REACH


def _fill_rivals(
    key: np.uint64,
    prices: NDArray[np.int64],
    shares: NDArray[np.float64],
    reach: NDArray[np.float64],
    requests: Requests,
    latent: Latent,
    rivals: NDArray[np.int64],
) -> None:
    _rivals(key, prices, shares, reach, requests, rivals)

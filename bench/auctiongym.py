"""AuctionGym's second-price world in plain vectorised numpy: the peer that bidsim's engine is measured beside."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from bidsim.values.auctiongym import catalogue

if TYPE_CHECKING:
    from numpy.typing import NDArray

AGENTS, ITEMS, TAKE_PART = 6, 12, 2
_BATCH = 50_000


def play(opportunities: int, seed: int) -> tuple[dict[str, float], float]:
    """Play the world; return revenue, welfare, clicks and agents' nets per opportunity, and auctions per second."""
    embeddings, intercepts, values = catalogue(0, AGENTS, ITEMS)
    dice = np.random.default_rng(seed)
    revenue = welfare = clicks = 0.0
    nets: NDArray[np.float64] = np.zeros(AGENTS)
    begun = time.perf_counter()
    for _ in range(opportunities // _BATCH):
        context = dice.standard_normal((_BATCH, embeddings.shape[2]))
        agents = np.argsort(dice.random((_BATCH, AGENTS)), axis=1)[:, :TAKE_PART]
        score = np.einsum("bd,baid->bai", context, embeddings[agents]) + intercepts[agents]
        rate = 1.0 / (1.0 + np.exp(-score))
        worth = rate * values[agents]
        item = worth.argmax(axis=2)
        bid = np.take_along_axis(worth, item[..., None], 2)[..., 0]
        chance = np.take_along_axis(rate, item[..., None], 2)[..., 0]
        winner = bid.argmax(axis=1)
        rows = np.arange(_BATCH)
        price = bid[rows, 1 - winner]
        won = bid[rows, winner]
        clicks += float((dice.random(_BATCH) < chance[rows, winner]).sum())
        revenue += float(price.sum())
        welfare += float(won.sum())
        nets += np.bincount(agents[rows, winner], won - price, AGENTS)
    seconds = time.perf_counter() - begun
    played = opportunities // _BATCH * _BATCH
    found = {"revenue": revenue / played, "welfare": welfare / played, "clicks": clicks / played} | {
        f"net_{k + 1}": float(n / played) for k, n in enumerate(nets)
    }
    return found, played / seconds

"""The world of AuctionGym (Jeunen, Murphy and Allison, AdKDD 2022).

Items with logistic click rates in a random context.

For each opportunity a context x ~ N(0, I) with a constant 1 is drawn and some agents take part; agent a's item j is
clicked with probability sigmoid(x . e_aj) and worth v_aj when it is. Each agent shows the item of highest expected
value. The catalogue is drawn as the published configuration ``SP_Oracle`` draws it from numpy's ``default_rng``.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bidsim.core.contracts import DRAW_SIGNATURE, Drawn, Offers, ValueBrief, ValueModel
from bidsim.core.kernel import kernel
from bidsim.core.random import draw as draw_bits
from bidsim.core.random import uniform
from bidsim.core.settings import Settings
from bidsim.kernels.bits import lowest_bit, without_lowest
from bidsim.kernels.vector import bits_float, float_bits, normal_pair, vector_exp

_DIMENSIONS = 5
_CONTEXT, _AGENTS = range(2)
_COLUMNS = _DIMENSIONS + 2
_LANES = 8
_ORDER = 4
"""Where ``ints`` says that campaigns do not stand in the order of their names, which then follows: the row of each."""
_MOST_AGENTS = 60
_ROOM = _ORDER + 1 + _MOST_AGENTS
"""Where, in ``ints``, the rates of one agent's items are kept while the best is looked for, as the bits of floats."""


class AuctionGymParams(Settings):
    """Size of the catalogue, and who takes part."""

    catalogue_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the catalogue; the scenario's ``seed`` draws everything else."""
    items: Annotated[int, Field(ge=1, le=1000)] = 12
    """Items of each agent."""
    participants: Annotated[int, Field(ge=1, le=60)] = 2
    """Agents drawn for each opportunity."""


@kernel()
def _participants(key: np.uint64, request: int, agents: int, wanted: int) -> np.uint64:
    """Draw a set of agents as bits, all sets of that size equally likely (Floyd's algorithm.

    Bentley and Floyd 1987).
    """
    chosen = np.uint64(0)
    for j in range(agents - wanted, agents):
        t = np.uint64(int(uniform(key, request, _AGENTS, j) * (j + 1)))
        bit = np.uint64(1) << t
        chosen |= (np.uint64(1) << np.uint64(j)) if chosen & bit else bit
    return chosen


@kernel()
def _in_rows(drawn: np.uint64, ints: NDArray[np.int64]) -> np.uint64:
    """From a set of agents to the set of their rows."""
    rows, left = np.uint64(0), drawn
    while left:
        rows |= np.uint64(1) << np.uint64(ints[_ORDER + 1 + np.int64(lowest_bit(left))])
        left = without_lowest(left)
    return rows


@kernel(DRAW_SIGNATURE, fastmath={"contract"})
def draw(
    offers: Offers,
    drawn: Drawn,
    request: int,
    key: np.uint64,
    logged: NDArray[np.float64],
    floats: NDArray[np.float64],
    ints: NDArray[np.int64],
) -> int:
    """Draw the context and the participants; each takes its best item."""
    agents, items, wanted = ints[0], ints[1], ints[2]
    x0, x1 = normal_pair(draw_bits(key, request, _CONTEXT, 0))
    x2, x3 = normal_pair(draw_bits(key, request, _CONTEXT, 1))
    x4, _ = normal_pair(draw_bits(key, request, _CONTEXT, 2))
    left = _participants(key, request, agents, wanted)
    if ints[_ORDER] != 0:
        left = _in_rows(left, ints)
    n = np.uint64(items)
    size = np.uint64(_COLUMNS) * n
    count = 0
    while left:
        c = lowest_bit(left)
        left = without_lowest(left)
        base = np.uint64(c) * size
        # unsigned indices and a store into the other array are what lets LLVM use vector instructions here
        for k in range(items):
            j = np.uint64(k)
            at = base + j
            score = (
                floats[at] * x0
                + floats[at + n] * x1
                + floats[at + np.uint64(2) * n] * x2
                + floats[at + np.uint64(3) * n] * x3
                + floats[at + np.uint64(4) * n] * x4
                + floats[at + np.uint64(5) * n]
            )
            ints[np.uint64(_ROOM) + j] = float_bits(1.0 + vector_exp(-score))
        # the most worth, v / (1 + e^-s), is the least (1 + e^-s) / v: one division in the end
        least, best = np.inf, 1.0
        for k in range(ints[3]):
            j = np.uint64(k)
            odds = bits_float(ints[np.uint64(_ROOM) + j])
            cost = odds * floats[base + np.uint64(6) * n + j]
            best = odds if cost < least else best
            least = min(least, cost)
        chance = 1.0 / best
        worth = 1.0 / least
        offers.campaign[count] = c
        offers.pcvr[count] = chance
        offers.value[count] = worth
        drawn.worth[count] = worth
        drawn.chance[count] = chance
        drawn.quality[count] = 1.0
        count += 1
    return count


def catalogue(
    seed: int, agents: int, items: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return embeddings float64[agents, items, 5], intercepts and values float64[agents, items].

    They are drawn in the published order.
    """
    dice = np.random.default_rng(seed)
    embeddings = np.array([dice.normal(0.0, 1.0, (items, _DIMENSIONS)) for _ in range(agents)])
    values = np.array([dice.lognormal(0.1, 0.2, items) for _ in range(agents)])
    intercepts = np.array([-3.0 - dice.random(items) for _ in range(agents)])
    return embeddings, intercepts, values


class AuctionGym(ValueModel):
    """Assumes that agents know their items' true click rates."""

    Params = AuctionGymParams
    draw = draw

    @classmethod
    def prepare(cls, params: AuctionGymParams, brief: ValueBrief) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Draw the catalogue; the n-th campaign in the order of names is the n-th agent.

        Raises:
            ValueError: More agents are to take part than there are, or there are too many.

        """
        agents = len(brief.campaigns)
        if agents > _MOST_AGENTS:
            raise ValueError(f"values 'auctiongym' takes {_MOST_AGENTS} campaigns at most, and there are {agents}")
        if params.participants > agents:
            raise ValueError(f"participants: {params.participants} of {agents} campaigns cannot take part")
        embeddings, intercepts, values = catalogue(params.catalogue_seed, agents, params.items)
        rank = {name: k for k, name in enumerate(sorted(brief.campaigns))}
        # the last vector is filled up, so that no item is left to be done one by one
        padded = -(-params.items // _LANES) * _LANES
        rows = []
        for name, nanos in zip(brief.campaigns, brief.value_nanos, strict=True):
            k = rank[name]
            columns = [*embeddings[k].T, intercepts[k], 1.0 / (values[k] * nanos)]
            rows.append(np.concatenate([np.pad(column, (0, padded - params.items)) for column in columns]))
        order = brief.by_name
        head = [agents, padded, params.participants, params.items, int(order != sorted(order)), *order]
        return np.ascontiguousarray(np.concatenate(rows)), np.array(
            [*head, *([0] * (_ROOM - len(head) + padded))], np.int64
        )

"""A few types of impressions, each worth a known amount to each campaign.

The goods of pacing equilibria (Conitzer et al., Management Science 2022).
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bidsim.core.contracts import DRAW_SIGNATURE, Drawn, Offers, ValueBrief, ValueModel
from bidsim.core.errors import did_you_mean
from bidsim.core.kernel import kernel
from bidsim.core.random import uniform
from bidsim.core.settings import NonNegative, Settings

_ANY_ORDER, _IN_TURN = range(2)


class TypesParams(Settings):
    """What each type of impression is worth, in currency units."""

    worth: dict[str, Annotated[list[NonNegative], Field(min_length=1, max_length=1000)]] = {}
    """For each campaign the worth of every type; campaigns that are left out value nothing."""
    in_turn: bool = False
    """Whether types come one after the other; by default each request draws one, all equally likely."""


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
    """Pick the request's type; everyone takes part."""
    campaigns, types = ints[0], ints[1]
    which = request % types if ints[2] == _IN_TURN else int(uniform(key, request, 0, 0) * types)
    for c in range(campaigns):
        worth = floats[campaigns + c * types + which]
        offers.campaign[c] = c
        offers.pcvr[c] = worth
        offers.value[c] = worth * floats[c]
        drawn.worth[c] = worth * floats[c]
        drawn.chance[c] = min(worth, 1.0)
        drawn.quality[c] = 1.0
    return campaigns


class Types(ValueModel):
    """Assumes that an impression's type is known to all bidders."""

    Params = TypesParams
    draw = draw

    @classmethod
    def prepare(cls, params: TypesParams, brief: ValueBrief) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Lay the matrix out by campaign.

        Raises:
            ValueError: A name is no campaign, or rows differ in length.

        """
        for name in params.worth:
            if name not in brief.campaigns:
                raise ValueError(f"worth: there is no campaign {name!r}{did_you_mean(name, brief.campaigns)}")
        types = len(next(iter(params.worth.values()), [0.0]))
        for name, row in params.worth.items():
            if len(row) != types:
                raise ValueError(f"worth: {name!r} has {len(row)} types, others have {types}")
        rows = [params.worth.get(name, [0.0] * types) for name in brief.campaigns]
        floats = np.concatenate([np.array(brief.value_nanos, np.float64), np.array(rows, np.float64).ravel()])
        return floats, np.array([len(brief.campaigns), types, _IN_TURN if params.in_turn else _ANY_ORDER], np.int64)

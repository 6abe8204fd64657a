"""Values read from a replayed log: what an impression is worth is its predicted rate times the worth of a click."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import DRAW_SIGNATURE, Drawn, Offers, ValueBrief, ValueModel
from bidsim.core.kernel import kernel
from bidsim.core.settings import Settings

RATE, CLICK, CONVERSION = range(3)
"""Columns of what a log says of a request."""


class LoggedParams(Settings):
    """Which event counts."""

    event: Literal["click", "conversion"] = "click"
    """The event that a bidder is after, and that the predicted rate speaks of."""


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
    """Take the rate and the event from the log; everyone takes part."""
    happened = logged[CONVERSION if ints[1] == 1 else CLICK]
    for c in range(ints[0]):
        offers.campaign[c] = c
        offers.pcvr[c] = logged[RATE]
        offers.value[c] = logged[RATE] * floats[c]
        drawn.worth[c] = happened * floats[c]
        drawn.chance[c] = happened
        drawn.quality[c] = 1.0
        drawn.click[c], drawn.conversion[c] = logged[CLICK], logged[CONVERSION]
    return ints[0]


class Logged(ValueModel):
    """Assumes that what was logged would have happened whoever had won (a replay cannot know better)."""

    Params = LoggedParams
    told = True
    draw = draw

    @classmethod
    def prepare(cls, params: LoggedParams, brief: ValueBrief) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Keep what an event is worth to each campaign."""
        return np.array(brief.value_nanos, np.float64), np.array(
            [len(brief.campaigns), 1 if params.event == "conversion" else 0], np.int64
        )

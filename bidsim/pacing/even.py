"""Even pacing: spend follows the expected traffic; ahead of plan, the campaign waits (Lee et al., KDD 2013)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Pacer
from bidsim.core.kernel import kernel
from bidsim.core.settings import Settings, Share

if TYPE_CHECKING:
    from collections.abc import Mapping


class EvenParams(Settings):
    """How far ahead of plan the campaign may run."""

    ahead: Share = 0.0
    """Part of the budget that may be spent ahead of plan."""


@kernel(OFFERS_SIGNATURE)
def pace(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Stay out while more is spent than the traffic so far allows."""
    for k in range(lo, hi):
        planned = offers.budget[k] * min(1.0, offers.passed[k] + floats[offers.campaign[k], 0])
        if offers.spent[k] > planned:
            offers.active[k] = 0


class Even(Pacer):
    """Assumes that the expected traffic curve is known; pays no heed to prices."""

    Params = EvenParams
    floats = ("ahead",)
    pace = pace

    @staticmethod
    def start(params: EvenParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Keep the lead."""
        return {"ahead": float(params.ahead)}

"""Linear bidding: a base price scaled by how promising the impression is (Perlich et al., KDD 2012)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import OFFERS_SIGNATURE, CampaignBrief, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import Positive, Settings
from bidsim.core.units import cpm_to_nanos

if TYPE_CHECKING:
    from collections.abc import Mapping


class LinearParams(Settings):
    """What an average impression is bid."""

    base_cpm: Positive = 2.0
    """Bid for an impression of average predicted rate, per thousand."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Bid base x pcvr / mean pcvr x multiplier."""
    for k in range(lo, hi):
        offers.bid[k] = int(floats[offers.campaign[k], 0] * offers.pcvr[k] * offers.multiplier[k])


class Linear(Policy):
    """Assumes that value is proportional to the predicted rate; the base price carries the budget."""

    Params = LinearParams
    floats = ("nanos_per_rate",)
    bid = bid

    @staticmethod
    def start(params: LinearParams, brief: CampaignBrief) -> Mapping[str, float]:
        """Divide the base price by the model's mean prediction for this campaign."""
        return {"nanos_per_rate": cpm_to_nanos(params.base_cpm) / max(brief.mean_pcvr, 1e-9)}

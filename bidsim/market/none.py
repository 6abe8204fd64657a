"""No rivals: only the scenario's campaigns bid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bidsim.core.contracts import Market, MarketBrief, Rivals
from bidsim.core.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bidsim.core.requests import Latent, Requests


class NoRivals(Market):
    """An empty market, as in textbook auctions."""

    Params = Settings

    @classmethod
    def prepare(cls, params: Settings, brief: MarketBrief) -> Rivals:
        """Return rivals that never bid."""

        def fill(requests: Requests, latent: Latent, rivals: NDArray[np.int64]) -> None:
            rivals[:] = 0

        return Rivals(fill, 0)

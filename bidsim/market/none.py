"""No rivals: only the scenario's campaigns bid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bidsim.core.contracts import Market
from bidsim.core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from bidsim.core.requests import Latent, Requests


class NoRivals(Market):
    """An empty market, as in textbook auctions."""

    Params = Settings
    depth = 1

    @classmethod
    def prepare(cls, params: Settings, seed: int, vocabulary: Mapping[str, Sequence[str]]) -> Callable[[Requests, Latent, NDArray[np.int64]], None]:
        """Return a function that writes no bids at all."""

        def fill(requests: Requests, latent: Latent, rivals: NDArray[np.int64]) -> None:
            rivals[:] = 0

        return fill

"""The oracle: a seat that knows the true rate of every impression. No real bidder can; it is the yardstick."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import SCORE_SIGNATURE, CvrModel, ScorerTables, scorer_tables
from bidsim.core.kernel import kernel
from bidsim.core.settings import Settings
from bidsim.cvr.training import FittedModel


@kernel(SCORE_SIGNATURE)
def score(tables: ScorerTables, who: NDArray[np.int64], features: NDArray[np.float32], truth: NDArray[np.float64], lo: int, hi: int, pcvr: NDArray[np.float64]) -> None:
    """Copy the true rates."""
    for k in range(lo, hi):
        pcvr[k] = truth[k]


class Oracle(CvrModel):
    """True rates, hidden intent included."""

    Params = Settings
    score = score
    trains = False

    @staticmethod
    def ready() -> FittedModel:
        """Give the model, which needs no training."""
        return FittedModel(Oracle, scorer_tables(np.zeros(1, np.int64), np.zeros(1)), {})

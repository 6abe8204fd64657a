"""The oracle: a seat that knows the true rate of every impression. No real bidder can; it is the yardstick."""

from __future__ import annotations

import numpy as np

from bidsim.core.contracts import CvrModel
from bidsim.core.kernel import kernel
from bidsim.core.scoring import SCORE_SIGNATURE, ScoreTask, scorer_tables
from bidsim.core.settings import Settings
from bidsim.cvr.training import FittedModel


@kernel(SCORE_SIGNATURE)
def score(task: ScoreTask, lo: int, hi: int) -> None:
    """Copy the true rates."""
    for k in range(lo, hi):
        task.pcvr[k] = task.truth[k]


class Oracle(CvrModel):
    """True rates, hidden intent included."""

    Params = Settings
    score = score
    trains = False

    @staticmethod
    def ready() -> FittedModel:
        """Give the model, which needs no training."""
        return FittedModel(Oracle, scorer_tables(np.zeros(1, np.int64), np.zeros(1)), {})

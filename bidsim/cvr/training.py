"""Logged rows with labels, how they are split in time and thinned, and what a fitted model is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import CvrModel
from bidsim.core.scoring import ScorerTables, score_task

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class LoggedRows:
    """Impressions bought by the logging policy, with matured labels.

    All positive rows are kept and negatives with probability ``keep``.

    Attributes:
        features: float32[n, features].
        label: float64[n], 1 where the impression was credited with a conversion.
        true_rate: float64[n], true probability of the label.
        campaign: int64[n], row of the campaign.
        keep: Share of negatives that were kept.
        logged: Number of impressions that the rows stand for.
        delay: int64[n], microseconds from the impression to its conversion, -1 where there was none or it was imputed;
            None where nobody knows.

    """

    features: NDArray[np.float32]
    label: NDArray[np.float64]
    true_rate: NDArray[np.float64]
    campaign: NDArray[np.int64]
    keep: float
    logged: int
    delay: NDArray[np.int64] | None = None

    @property
    def weight(self) -> NDArray[np.float64]:
        """How many logged rows each row stands for."""
        return np.where(self.label > 0, 1.0, 1.0 / self.keep)

    @property
    def base_rate(self) -> float:
        """Conversions per logged impression."""
        return float(self.label.sum() / self.weight.sum())


@dataclass(frozen=True)
class FittedModel:
    """A model ready to score.

    Attributes:
        kind: The plug-in that scores it.
        tables: What its kernel reads.
        vocabulary: Level names of categorical features, in code order; codes outside are unseen.
        text: What is stored in the model's folder: file name -> content.
        meta: JSON-ready facts: features, vocabulary, parameters, offset.
        metrics: Evaluation on later rows, by name of the figure; empty where there was none.
        mean_pcvr: Mean prediction by campaign name on logged traffic.

    """

    kind: type[CvrModel]
    tables: ScorerTables
    vocabulary: Mapping[str, tuple[str, ...]]
    text: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    mean_pcvr: Mapping[str, float] = field(default_factory=dict)

    def predict(
        self, features: NDArray[np.float32], true_rate: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Predicted rates of feature rows, float64[n], by the kernel that the request loop uses."""
        out = np.zeros(len(features))
        if not len(features):
            return out
        truth = np.zeros(len(features)) if true_rate is None else np.ascontiguousarray(true_rate)
        self.kind.score(
            score_task(self.tables, np.full(1, -1), np.ascontiguousarray(features, np.float32), truth, out),
            0,
            len(features),
        )
        return out


def downsampling_offset(keep: float) -> float:
    """What to add to the log-odds of a model trained with a share ``keep`` of the negatives.

    Thinning negatives multiplies the odds by 1 / keep (He et al., ADKDD 2014, section 6.3).
    """
    return math.log(keep)

"""A feature that models read is missing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bidsim.core.incidents import FEATURE, IncidentBrief, IncidentKind, Touch, Within, unknown_levels
from bidsim.cvr.features import CATEGORICAL, FEATURES, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator


class FeatureOutageParams(Within):
    """Which feature, and where."""

    feature: str
    """The feature that models no longer see."""


class FeatureOutage(IncidentKind):
    """Models read a feature as missing."""

    Params = FeatureOutageParams
    example = {"feature": "engagement"}

    @classmethod
    def touches(cls, params: FeatureOutageParams, brief: IncidentBrief) -> Iterator[Touch]:
        """Let the feature read as it does where it is not known."""
        missing = -1.0 if params.feature in CATEGORICAL else math.nan
        yield Touch(FEATURE, missing, brief.everyone, params.within.model_dump(), column=FEATURES.index(params.feature))

    @classmethod
    def faults(cls, params: FeatureOutageParams, brief: IncidentBrief) -> Iterator[tuple[str, str]]:
        """A feature that is none, or is not read with each request."""
        yield from unreadable(params.feature)
        yield from unknown_levels("within", params.within, brief)

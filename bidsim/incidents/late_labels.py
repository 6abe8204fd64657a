"""Conversions are reported later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bidsim.core.incidents import LATE, IncidentBrief, IncidentKind, Touch, unknown_advertiser
from bidsim.core.settings import Duration, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


class LateLabelsParams(Settings):
    """Whose conversions, and how much later."""

    delay: Duration
    """How much later conversions are reported."""
    advertiser: str | None = None
    """Whom it concerns; by default everyone."""


class LateLabels(IncidentKind):
    """Conversions are reported later than they come."""

    Params = LateLabelsParams
    example = {"delay": "3h"}

    @classmethod
    def touches(cls, params: LateLabelsParams, brief: IncidentBrief) -> Iterator[Touch]:
        """Delay reports."""
        yield Touch(LATE, float(params.delay), brief.of_advertiser(params.advertiser))

    @classmethod
    def faults(cls, params: LateLabelsParams, brief: IncidentBrief) -> Iterator[tuple[str, str]]:
        """An advertiser without campaigns."""
        yield from unknown_advertiser(params.advertiser, brief)

"""An advertiser's conversions are not reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bidsim.core.incidents import TRACKER, IncidentBrief, IncidentKind, Part, Touch, unknown_advertiser
from bidsim.core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


class TrackerOutageParams(Settings):
    """Whose conversions, and how many of them."""

    advertiser: str
    """Whom it concerns."""
    share: Part = 1.0
    """Part of the conversions that is lost."""


class TrackerOutage(IncidentKind):
    """Conversions of an advertiser happen, and are never reported."""

    Params = TrackerOutageParams
    example = {"advertiser": "softly"}

    @classmethod
    def touches(cls, params: TrackerOutageParams, brief: IncidentBrief) -> Iterator[Touch]:
        """Lose reports."""
        yield Touch(TRACKER, float(params.share), brief.of_advertiser(params.advertiser))

    @classmethod
    def faults(cls, params: TrackerOutageParams, brief: IncidentBrief) -> Iterator[tuple[str, str]]:
        """An advertiser without campaigns."""
        yield from unknown_advertiser(params.advertiser, brief)

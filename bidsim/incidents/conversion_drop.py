"""Fewer users buy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bidsim.core.incidents import (
    CONVERSIONS,
    IncidentBrief,
    IncidentKind,
    Touch,
    Within,
    unknown_advertiser,
    unknown_levels,
)
from bidsim.core.settings import Share

if TYPE_CHECKING:
    from collections.abc import Iterator


class ConversionDropParams(Within):
    """Where, whose, and how many are left."""

    left: Share
    """Part of the conversions that is left."""
    advertiser: str | None = None
    """Whom it concerns; by default everyone."""


class ConversionDrop(IncidentKind):
    """A part of the conversions does not come: a landing page, a checkout or an offer that broke."""

    Params = ConversionDropParams
    example = {"left": 0.5}

    @classmethod
    def touches(cls, params: ConversionDropParams, brief: IncidentBrief) -> Iterator[Touch]:
        """Take conversions away."""
        mine = brief.of_advertiser(params.advertiser)
        yield Touch(CONVERSIONS, float(params.left), mine, params.within.model_dump())

    @classmethod
    def faults(cls, params: ConversionDropParams, brief: IncidentBrief) -> Iterator[tuple[str, str]]:
        """An advertiser without campaigns, or levels that are none."""
        yield from unknown_advertiser(params.advertiser, brief)
        yield from unknown_levels("within", params.within, brief)

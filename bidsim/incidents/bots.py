"""Bots visit, who click and never buy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bidsim.core.incidents import BOTS, IncidentBrief, IncidentKind, Part, Touch, Within, unknown_levels
from bidsim.core.settings import Share

if TYPE_CHECKING:
    from collections.abc import Iterator


class BotsParams(Within):
    """Where, how many, and how often they click."""

    share: Part
    """Part of the requests that come from bots."""
    clicks: Share
    """How often a bot clicks on what it views."""


class Bots(IncidentKind):
    """A part of the requests comes from bots, who click and never buy."""

    Params = BotsParams
    example = {"share": 0.3, "clicks": 0.5}

    @classmethod
    def touches(cls, params: BotsParams, brief: IncidentBrief) -> Iterator[Touch]:
        """Turn visitors into bots."""
        places = params.within.model_dump()
        yield Touch(BOTS, float(params.share), brief.everyone, places, second=float(params.clicks))

    @classmethod
    def faults(cls, params: BotsParams, brief: IncidentBrief) -> Iterator[tuple[str, str]]:
        """Levels that are none."""
        yield from unknown_levels("within", params.within, brief)

"""A part of the requests comes from one level of a field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bidsim.core.incidents import MIX, IncidentBrief, IncidentKind, Part, Places, Touch, Within, unknown_levels
from bidsim.core.requests import CATEGORIES

if TYPE_CHECKING:
    from collections.abc import Iterator


class TrafficShiftParams(Within):
    """Which requests, and what they become."""

    to: Places
    """The one level that requests are turned into, such as ``{ geo = ["US"] }``."""
    share: Part
    """Part of the requests that it concerns."""


class TrafficShift(IncidentKind):
    """A part of the requests comes from one level instead of where it came from."""

    Params = TrafficShiftParams
    example = {"to": {"geo": ["CA"]}, "share": 0.5}

    @classmethod
    def touches(cls, params: TrafficShiftParams, brief: IncidentBrief) -> Iterator[Touch]:
        """Change the level of a field."""
        (field, levels), *_ = [(f, given) for f, given in params.to.model_dump().items() if given is not None]
        level = brief.vocabulary[field].index(levels[0])
        places = params.within.model_dump()
        yield Touch(MIX, float(params.share), brief.everyone, places, CATEGORIES.index(field), level)

    @classmethod
    def faults(cls, params: TrafficShiftParams, brief: IncidentBrief) -> Iterator[tuple[str, str]]:
        """Levels that are none, or more than one to turn into."""
        yield from unknown_levels("within", params.within, brief)
        yield from unknown_levels("to", params.to, brief)
        named = [levels for levels in params.to.model_dump().values() if levels is not None]
        if len(named) != 1 or len(named[0]) != 1:
            yield "to", 'names one level of one field, such as { geo = ["US"] }'

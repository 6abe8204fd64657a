"""A site that nobody has seen before takes a part of the requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bidsim.core.incidents import (
    CONVERSIONS,
    MIX,
    IncidentBrief,
    IncidentKind,
    Part,
    Touch,
    Within,
    unknown_levels,
)
from bidsim.core.requests import CATEGORIES
from bidsim.core.settings import Share

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class NewSiteParams(Within):
    """The site, which requests it takes, and how well it sells."""

    site: str
    """Name of the new site."""
    share: Part
    """Part of the requests that it takes."""
    left: Share = 1.0
    """Part of the conversions that is left on it."""


class NewSite(IncidentKind):
    """A new site, whose name no model knows, takes a part of the requests, and may sell worse."""

    Params = NewSiteParams
    example = {"site": "brand-new", "share": 0.2, "left": 0.5}

    @classmethod
    def touches(cls, params: NewSiteParams, brief: IncidentBrief) -> Iterator[Touch]:
        """Move requests to the site, and take conversions away there."""
        level = brief.vocabulary["site"].index(params.site)
        places = params.within.model_dump()
        yield Touch(MIX, float(params.share), brief.everyone, places, CATEGORIES.index("site"), level)
        yield Touch(CONVERSIONS, float(params.left), brief.everyone, {"site": [params.site]})

    @classmethod
    def faults(cls, params: NewSiteParams, brief: IncidentBrief) -> Iterator[tuple[str, str]]:
        """A site that is not new, or levels that are none."""
        if params.site in brief.known_sites:
            yield "site", f"{params.site!r} is not new; choose a name of no other site"
        yield from unknown_levels("within", params.within, brief)

    @classmethod
    def new_levels(cls, params: NewSiteParams) -> Mapping[str, str]:
        """The site."""
        return {"site": params.site}

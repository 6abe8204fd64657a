"""The family of incidents: what one may touch, what it is told of the scenario, and the class that an author writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from bidsim.core.errors import did_you_mean
from bidsim.core.plugin import Plugin
from bidsim.core.requests import CATEGORIES
from bidsim.core.settings import Number, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MIX, PRICE, TRACKER, LATE, CONVERSIONS, BOTS = range(6)
"""What may be touched in the world: levels of requests, rivals' bids, reports that are lost or late, conversions that
do not come, and visits of bots."""
FEATURE, MODEL, BUDGET = range(6, 9)
"""What may be touched on the bidders' side: a feature that models read, the odds that they give, budgets."""

Levels = Annotated[list[str], Field(min_length=1)]
Part = Annotated[Number, Field(gt=0.0, le=1.0)]
Factor = Annotated[Number, Field(gt=0.0, le=100.0)]
Everywhere: Mapping[str, Sequence[str] | None] = {}


class Places(Settings):
    """Where something happens: for each field the levels; a field left out means all."""

    exchange: Levels | None = None
    """Ad exchanges."""
    site: Levels | None = None
    """Sites, such as ``technology-site-1``."""
    placement: Levels | None = None
    """Placements."""
    device: Levels | None = None
    """Devices."""
    geo: Levels | None = None
    """Countries."""
    slot: Levels | None = None
    """Slot sizes."""
    segment: Levels | None = None
    """Audience segments: an interest, or ``unknown``."""
    age: Levels | None = None
    """Age bands."""


class Within(Settings):
    """Base of the keys of an incident that may happen in one place only."""

    within: Places = Places()
    """Where it happens; by default everywhere."""


@dataclass(frozen=True)
class IncidentBrief:
    """What an incident may know of the scenario; campaigns in the engine's order.

    Attributes:
        vocabulary: Levels of each field of requests, with those that incidents bring.
        advertisers: Advertiser of each campaign.
        seats: Seat of each campaign.
        all_seats: Names of all seats.
        known_sites: Sites that models know.

    """

    vocabulary: Mapping[str, Sequence[str]]
    advertisers: Sequence[str]
    seats: Sequence[str]
    all_seats: Sequence[str]
    known_sites: Sequence[str]

    @property
    def everyone(self) -> list[bool]:
        """Every campaign."""
        return [True] * len(self.advertisers)

    def of_advertiser(self, advertiser: str | None) -> list[bool]:
        """Which campaigns are an advertiser's; all where none is named."""
        return [advertiser in (None, owner) for owner in self.advertisers]


@dataclass(frozen=True)
class Touch:
    """One thing that an incident touches.

    Attributes:
        what: `MIX` to `BUDGET`.
        size: Share, factor, part that is left, delay in microseconds or the value that a feature reads.
        who: Whose, by campaign.
        within: Where, by field; a field left out means everywhere.
        column: Field of requests, or feature.
        level: Code of the level that requests get.
        second: A second number, such as a bot's click rate.

    """

    what: int
    size: float
    who: Sequence[bool]
    within: Mapping[str, Sequence[str] | None] = field(default_factory=lambda: Everywhere)
    column: int = 0
    level: int = 0
    second: float = 0.0


class IncidentKind(Plugin):
    """A kind of incident: its keys, and what they touch. Its docstring is its line in the reference.

    Attributes:
        example: Keys that make sense, for the reference and for tests; ``softly`` stands for an advertiser.
        lasts: Whether it takes ``end``; if not, what it changes stays.

    """

    example: ClassVar[Mapping[str, Any]]
    lasts: ClassVar[bool] = True

    @classmethod
    def touches(cls, params: Any, brief: IncidentBrief) -> Iterator[Touch]:
        """Say what it touches; the order of touches is part of their dice."""
        raise TypeError(f"{cls.__name__} does not define touches()")

    @classmethod
    def faults(cls, params: Any, brief: IncidentBrief) -> Iterator[tuple[str, str]]:
        """Say what does not fit the scenario, as (key, message); an empty key stands for the whole incident."""
        yield from ()

    @classmethod
    def new_levels(cls, params: Any) -> Mapping[str, str]:
        """Levels of fields that there were none of before, by field."""
        return {}


def unknown_levels(key: str, places: Places | None, brief: IncidentBrief) -> Iterator[tuple[str, str]]:
    """Say which levels are nowhere in the traffic."""
    for name in CATEGORIES:
        for level in (getattr(places, name) if places is not None else None) or ():
            known = brief.vocabulary[name]
            if level not in known:
                yield key, f"there is no {name} {level!r} in the traffic{did_you_mean(level, known)}"


def unknown_advertiser(advertiser: str | None, brief: IncidentBrief) -> Iterator[tuple[str, str]]:
    """Say that an advertiser has no campaign."""
    if advertiser is not None and advertiser not in brief.advertisers:
        hint = did_you_mean(advertiser, sorted(set(brief.advertisers)))
        yield "advertiser", f"unknown advertiser {advertiser!r}{hint}"

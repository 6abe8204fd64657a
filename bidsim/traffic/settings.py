"""The ``[traffic]`` block of a scenario."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bidsim.core.datasets import load_dataset
from bidsim.core.settings import Effect, NonNegative, Number, Positive, Settings, Share

AGES = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
UNKNOWN_SEGMENT = "unknown"

Mix = Annotated[dict[str, Positive], Field(min_length=1, max_length=200)]
"""Names with weights; the weights need not add up to one."""


class Placement(Settings):
    """Where on a page an ad may stand."""

    share: Positive
    """Weight of this placement among requests."""
    view_rate: Share
    """Probability that an ad shown here is seen."""
    intent_tilt: Effect = 0.0
    """How much likelier users of high hidden intent are to reach this placement (log-weight per unit)."""


class Floor(Settings):
    """One floor price and how common it is."""

    cpm: NonNegative
    """Lowest price for a thousand impressions."""
    share: Positive
    """Weight of this floor among requests."""


def _placements() -> dict[str, Placement]:
    return {
        "above-fold": Placement(share=0.35, view_rate=0.75, intent_tilt=0.30),
        "in-feed": Placement(share=0.40, view_rate=0.60, intent_tilt=0.0),
        "below-fold": Placement(share=0.25, view_rate=0.35, intent_tilt=-0.30),
    }


class DailyWave(Settings):
    """A daily cosine wave of traffic around its mean."""

    amplitude: Annotated[Number, Field(ge=0.0, le=1.0)] = 0.5
    """Height of the wave, as a part of the mean rate."""
    peak_hour: Annotated[Number, Field(ge=0.0, lt=24.0)] = 18.0
    """Hour of the day at which most requests come."""


class TrafficSettings(Settings):
    """Who visits, where, when, and what a bidder can know of them."""

    users: Annotated[int, Field(ge=1, le=200_000_000)] = 50_000
    """Size of the population; active users send more requests than others."""
    activity_spread: Annotated[Number, Field(ge=0.0, le=4.0)] = 1.6
    """Standard deviation of log-activity over users; 1.6 gives the tail seen in real logs, 0 makes all alike."""
    hours: Literal["ipinyou", "flat"] | DailyWave = "ipinyou"
    """Shape of the week: as published for iPinYou, the same rate at all hours, or a wave such as
    ``{ amplitude = 0.5, peak_hour = 18 }``."""
    exchanges: Mix = Field(
        default_factory=lambda: {n: e["request_share"] for n, e in load_dataset("ipinyou")["exchanges"].items()}
    )
    """Ad exchanges and their share of requests."""
    slots: Mix = Field(default_factory=lambda: dict(load_dataset("ipinyou")["slots"]))
    """Slot sizes and their share of requests."""
    floors: Literal["ipinyou"] | Annotated[list[Floor], Field(min_length=1)] = Field(
        default_factory=lambda: [
            Floor(cpm=0.0, share=0.45),
            Floor(cpm=0.5, share=0.3),
            Floor(cpm=1.0, share=0.15),
            Floor(cpm=3.0, share=0.1),
        ]
    )
    """Floor prices of requests: a list, or as published for each iPinYou exchange."""
    geo: Mix = Field(default_factory=lambda: {"US": 0.5, "CA": 0.12, "GB": 0.18, "DE": 0.2})
    """Countries of users."""
    device: Mix = Field(default_factory=lambda: {"mobile": 0.6, "desktop": 0.33, "tablet": 0.07})
    """Devices of users."""
    placements: Annotated[dict[str, Placement], Field(min_length=1, max_length=32)] = Field(default_factory=_placements)
    """Placements, each with its share and view rate."""
    interests: Annotated[list[str], Field(min_length=1, max_length=64)] = [
        "household",
        "beauty",
        "sports",
        "technology",
        "travel",
        "food",
    ]
    """What users may care about; products belong to one of these, and every user has one (hidden)."""
    sites: Annotated[int, Field(ge=1, le=5_000)] = 36
    """Number of sites; each belongs to one interest, popularity falls as 1 / rank."""
    site_loyalty: Share = 0.45
    """Share of visits that go to sites of the user's own interest."""
    segment_accuracy: Share = 0.6
    """How often the audience segment that bidders see is the user's true interest."""
    engagement_noise: NonNegative = 1.0
    """Noise of the engagement score, a proxy of hidden intent that has no effect of its own."""
    intent_activity: Annotated[Number, Field(ge=-1.0, le=1.0)] = 0.3
    """Correlation of hidden intent with activity."""

    @property
    def mean_view_rate(self) -> float:
        """Mean view rate over placements, by their shares."""
        placements = self.placements.values()
        return sum(p.share * p.view_rate for p in placements) / sum(p.share for p in placements)

    def vocabulary(self) -> dict[str, tuple[str, ...]]:
        """Level names of each categorical column, in code order."""
        sites = [
            f"{self.interests[s % len(self.interests)]}-site-{s // len(self.interests) + 1}" for s in range(self.sites)
        ]
        return {
            "exchange": tuple(self.exchanges),
            "site": tuple(sites),
            "placement": tuple(self.placements),
            "device": tuple(self.device),
            "geo": tuple(self.geo),
            "slot": tuple(self.slots),
            "segment": (*self.interests, UNKNOWN_SEGMENT),
            "age": AGES,
        }

"""The order in which the engine keeps campaigns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bidsim.scenario.model import CampaignSettings, ScenarioSettings


@dataclass(frozen=True)
class Order:
    """Campaigns in the order of the engine: by seat, policy, pacer and name, so that groups are runs."""

    names: list[str]
    campaigns: list[CampaignSettings]
    seats: list[int]


def order_of(settings: ScenarioSettings) -> Order:
    """Campaigns by seat, policy, pacer and name."""
    seats = list(settings.seats)
    chosen = []
    for name, campaign in settings.campaigns.items():
        seat = seats.index(campaign.seat) if campaign.seat is not None else 0
        chosen.append((seat, campaign.policy.name, campaign.pacing.name, name))
    chosen.sort()
    return Order([c[3] for c in chosen], [settings.campaigns[c[3]] for c in chosen], [c[0] for c in chosen])

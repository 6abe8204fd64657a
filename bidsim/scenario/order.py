"""What the engine counts by: campaigns in its order, and levels of fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bidsim.scenario.incidents import run_vocabulary

if TYPE_CHECKING:
    from bidsim.scenario.load import Scenario
    from bidsim.scenario.model import CampaignSettings


@dataclass(frozen=True)
class Order:
    """Campaigns in the order of the engine: by seat, policy, pacer and name, so that groups are runs.

    Attributes:
        names: Names of campaigns,
        campaigns: their settings,
        seats: and the seat of each, as the scenario counts them.
        vocabulary: Levels of each field that the run may see.

    """

    names: list[str]
    campaigns: list[CampaignSettings]
    seats: list[int]
    vocabulary: dict[str, tuple[str, ...]]


def order_of(scenario: Scenario) -> Order:
    """Campaigns by seat, policy, pacer and name."""
    settings = scenario.settings
    seats = list(settings.seats)
    chosen = []
    for name, campaign in settings.campaigns.items():
        seat = seats.index(campaign.seat) if campaign.seat is not None else 0
        chosen.append((seat, campaign.policy.name, campaign.pacing.name, name))
    chosen.sort()
    return Order(
        [c[3] for c in chosen],
        [settings.campaigns[c[3]] for c in chosen],
        [c[0] for c in chosen],
        run_vocabulary(settings, scenario.beside),
    )

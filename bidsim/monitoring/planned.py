"""What the plan foresaw: flights that begin or end within a run change wins, prices and clicks, and nothing is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bidsim.monitoring.signals import CLICKS, PRICE, WINS, Signal

if TYPE_CHECKING:
    from bidsim.core.result import Result
    from bidsim.monitoring.detector import Alarm

_FOLLOWS = (WINS, PRICE, CLICKS)
"""Signals of the market; what conversions or features do does not follow from a flight."""
_NEAR = 1
_SOON = 6


@dataclass
class Planned:
    """A flight that begins or ends while a run is watched.

    Attributes:
        campaign: Whose.
        begins: Whether it begins, else it ends.
        window: Window in which it does.
        followed: What changed with it: signal, and alarm with windows of the run.

    """

    campaign: str
    begins: bool
    window: int
    followed: list[tuple[Signal, Alarm]] = field(default_factory=list)

    def explains(self, signal: Signal, alarm: Alarm) -> bool:
        """Whether an alarm sounded soon after it, about something that began with it."""
        soon = self.window <= alarm.window <= self.window + _SOON
        return signal.kind in _FOLLOWS and soon and self.window - _NEAR <= alarm.since <= alarm.window


def planned_changes(result: Result, window: int, quiet: int) -> list[Planned]:
    """Flights that begin or end after ``quiet`` windows of length ``window`` microseconds, in the order of time."""
    scenario = result.manifest["scenario"]
    found = []
    for name, campaign in scenario["campaigns"].items():
        for begins, key in ((True, "start"), (False, "end")):
            time = campaign[key]
            if time is not None and 0 < time < scenario["duration"] and time // window >= quiet:
                found.append(Planned(name, begins, time // window))
    return sorted(found, key=lambda p: (p.window, p.campaign))

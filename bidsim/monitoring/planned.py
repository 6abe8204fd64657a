"""What the plan foresaw.

Flights that begin or end within a run change wins, prices and clicks, and nothing is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bidsim.monitoring.signals import CLICKS, PRICE, WINS, Signal

if TYPE_CHECKING:
    from bidsim.core.result import Result
    from bidsim.monitoring.cells import TrafficSlice
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
        seen: Window in which that can be seen first: of a flight just before the watch begins, the first that is
            watched.
        owners: Its advertiser and its product.
        followed: What changed with it: signal, and alarm with windows of the run.

    """

    campaign: str
    begins: bool
    window: int
    seen: int
    owners: tuple[str, str]
    followed: list[tuple[Signal, Alarm]] = field(default_factory=list)

    def explains(self, signal: Signal, alarm: Alarm) -> bool:
        """Whether an alarm of the market is about a change that came with it, however late it was noticed.

        Others' clicks do not follow from it.

        What is the advertiser's own may also change a little later, while its pacer finds the price of the budget.
        """
        about = signal.slices[alarm.slice]
        if signal.kind not in _FOLLOWS or (signal.kind == CLICKS and _is_owned(about) and not self.owns(about)):
            return False
        last = max(self.window + _SOON, self.seen) if self.owns(about) else self.seen + _NEAR
        return self.seen <= alarm.window and self.seen - _NEAR <= alarm.since <= last

    def owns(self, about: TrafficSlice) -> bool:
        """Whether a slice is its advertiser's, or its product's."""
        return _is_owned(about) and about.advertiser in ("", self.owners[0]) and about.product in ("", self.owners[1])


def _is_owned(about: TrafficSlice) -> bool:
    return (about.advertiser or about.product) != ""


def cause_of(planned: list[Planned], signal: Signal, alarm: Alarm) -> Planned | None:
    """The flight that an alarm follows from: of several the advertiser's own, then the latest.

    None where it follows from none.
    """
    found = [p for p in planned if p.explains(signal, alarm)]
    about = signal.slices[alarm.slice]
    return max(found, key=lambda p: (p.owns(about), p.window <= alarm.since, p.window), default=None)


def planned_changes(result: Result, window: int, quiet: int) -> list[Planned]:
    """Flights that begin or end while a run is watched, or so shortly before that it may be seen, in the order of time.

    Args:
        result: The run.
        window: Length of a window, microseconds.
        quiet: Windows before the watch begins.

    """
    found = []
    for name, campaign in result.facts.campaigns.items():
        for begins, time in ((True, campaign.start_us), (False, campaign.end_us)):
            if time is not None and 0 < time < result.facts.duration_us and time // window >= quiet - _SOON:
                at = time // window
                found.append(Planned(name, begins, at, max(at, quiet), (campaign.advertiser, campaign.product)))
    return sorted(found, key=lambda p: (p.window, p.campaign))

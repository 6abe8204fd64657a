"""Rivals bid more, or less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bidsim.core.incidents import PRICE, Factor, IncidentBrief, IncidentKind, Touch, Within, unknown_levels

if TYPE_CHECKING:
    from collections.abc import Iterator


class PriceShiftParams(Within):
    """Where, and by how much."""

    factor: Factor
    """What rivals' bids are multiplied by."""


class PriceShift(IncidentKind):
    """Rivals' bids are multiplied."""

    Params = PriceShiftParams
    example = {"factor": 2.0}

    @classmethod
    def touches(cls, params: PriceShiftParams, brief: IncidentBrief) -> Iterator[Touch]:
        """Change rivals' bids."""
        yield Touch(PRICE, float(params.factor), brief.everyone, params.within.model_dump())

    @classmethod
    def faults(cls, params: PriceShiftParams, brief: IncidentBrief) -> Iterator[tuple[str, str]]:
        """Levels that are none."""
        yield from unknown_levels("within", params.within, brief)

"""An advertiser's budgets change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bidsim.core.incidents import BUDGET, Factor, IncidentBrief, IncidentKind, Touch, unknown_advertiser
from bidsim.core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


class BudgetChangeParams(Settings):
    """Whose budgets, and by how much."""

    advertiser: str
    """Whom it concerns."""
    factor: Factor
    """What budgets are multiplied by."""


class BudgetChange(IncidentKind):
    """The whole and daily budgets of an advertiser's campaigns are multiplied, from then on."""

    Params = BudgetChangeParams
    example = {"advertiser": "softly", "factor": 2.0}
    lasts = False

    @classmethod
    def touches(cls, params: BudgetChangeParams, brief: IncidentBrief) -> Iterator[Touch]:
        """Change budgets."""
        yield Touch(BUDGET, float(params.factor), brief.of_advertiser(params.advertiser))

    @classmethod
    def faults(cls, params: BudgetChangeParams, brief: IncidentBrief) -> Iterator[tuple[str, str]]:
        """An advertiser without campaigns."""
        yield from unknown_advertiser(params.advertiser, brief)

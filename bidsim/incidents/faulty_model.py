"""A seat's model predicts too much, or too little."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bidsim.core.errors import did_you_mean
from bidsim.core.incidents import MODEL, Factor, IncidentBrief, IncidentKind, Touch
from bidsim.core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


class FaultyModelParams(Settings):
    """Whose model, and how wrong it is."""

    factor: Factor
    """What the odds of predictions are multiplied by."""
    seat: str | None = None
    """Whose model is faulty; may be left out where there is only one."""


class FaultyModel(IncidentKind):
    """The odds of a seat's predictions are multiplied."""

    Params = FaultyModelParams
    example = {"factor": 3.0}

    @classmethod
    def touches(cls, params: FaultyModelParams, brief: IncidentBrief) -> Iterator[Touch]:
        """Change predictions."""
        yield Touch(MODEL, float(params.factor), [params.seat in (None, seat) for seat in brief.seats])

    @classmethod
    def faults(cls, params: FaultyModelParams, brief: IncidentBrief) -> Iterator[tuple[str, str]]:
        """A seat that is none, or none named where there are several."""
        if params.seat is not None and params.seat not in brief.all_seats:
            yield "seat", f"unknown seat {params.seat!r}{did_you_mean(params.seat, brief.all_seats)}"
        if params.seat is None and len(brief.all_seats) > 1:
            yield "", f"faulty_model needs seat where there are several ({', '.join(brief.all_seats)}); add it"

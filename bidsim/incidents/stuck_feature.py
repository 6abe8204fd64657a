"""A feature that models read is stuck at one value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bidsim.core.errors import did_you_mean
from bidsim.core.incidents import FEATURE, IncidentBrief, IncidentKind, Touch, Within, unknown_levels
from bidsim.core.requests import CATEGORIES
from bidsim.core.settings import Number
from bidsim.cvr.features import FEATURES, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator


class StuckFeatureParams(Within):
    """Which feature, where, and what it reads."""

    feature: str
    """The feature that models see stuck."""
    value: Annotated[Number, Field(ge=-1e9, le=1e9)] | str
    """What it reads: a number, or the name of a level."""


class StuckFeature(IncidentKind):
    """Models read one value of a feature, whatever it is."""

    Params = StuckFeatureParams
    example = {"feature": "geo", "value": "US"}

    @classmethod
    def touches(cls, params: StuckFeatureParams, brief: IncidentBrief) -> Iterator[Touch]:
        """Let the feature read the value, or the code of the level."""
        name, value = params.feature, params.value
        reads = brief.vocabulary[name].index(value) if isinstance(value, str) else value
        yield Touch(FEATURE, float(reads), brief.everyone, params.within.model_dump(), column=FEATURES.index(name))

    @classmethod
    def faults(cls, params: StuckFeatureParams, brief: IncidentBrief) -> Iterator[tuple[str, str]]:
        """A feature that is none, or a value that it cannot read."""
        name, value = params.feature, params.value
        wrong = list(unreadable(name))
        yield from wrong
        yield from unknown_levels("within", params.within, brief)
        if wrong:
            return
        if (name in CATEGORIES) != isinstance(value, str):
            yield "value", f"{name} reads {'the name of a level' if name in CATEGORIES else 'a number'}, not {value!r}"
        elif isinstance(value, str) and value not in brief.vocabulary[name]:
            hint = did_you_mean(value, brief.vocabulary[name])
            yield "value", f"there is no {name} {value!r} in the traffic{hint}"

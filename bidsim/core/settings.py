"""What every block of a scenario shares: frozen, strict, unknown keys refused, units parsed at the edge."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from bidsim.core.errors import shown
from bidsim.core.units import parse_duration

_LARGEST = 1e300


class Settings(BaseModel):
    """A block of keys in a scenario file, and base of every plug-in's parameters."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        return parse_duration(value)
    raise ValueError(f"{shown(value)} is not a duration; write text with a unit, such as '36h'")


Duration = Annotated[
    int,
    BeforeValidator(_duration),
    Field(gt=0),
    WithJsonSchema(
        {"type": "string", "pattern": r"^(\s*\d+(\.\d+)?\s*(us|ms|s|m|h|d|w))+\s*$", "examples": ["36h", "7d"]}
    ),
]
"""Microseconds, typed as text with a unit: ``"36h"``, ``"1d 12h"``."""


def _plain_number(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > _LARGEST:
            raise ValueError("the number is too large")
        return float(value)
    return value


Number = Annotated[float, BeforeValidator(_plain_number)]
"""A float that may be typed without a decimal point."""

Share = Annotated[Number, Field(ge=0.0, le=1.0)]
"""A part of a whole, 0 to 1."""

Probability = Annotated[Number, Field(gt=0.0, lt=1.0)]
"""A probability strictly between 0 and 1."""

Positive = Annotated[Number, Field(gt=0.0, le=1e9)]
NonNegative = Annotated[Number, Field(ge=0.0, le=1e9)]
Money = Annotated[Number, Field(ge=1e-9, le=1e9)]
"""Currency units: one nano at least, and little enough that sums stay below 2**63 nanos."""
Effect = Annotated[Number, Field(ge=-20.0, le=20.0)]
"""An effect on the log-odds."""

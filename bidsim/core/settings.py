"""What every block of a scenario shares: frozen, strict, unknown keys refused, units parsed at the edge."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from bidsim.core.units import parse_duration


class Settings(BaseModel):
    """A block of keys in a scenario file, and base of every plug-in's parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False)


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is not a duration; write text with a unit, such as '36h'")
    return value


Duration = Annotated[
    int,
    BeforeValidator(_duration),
    Field(gt=0),
    WithJsonSchema({"type": "string", "pattern": r"^(\s*\d+(\.\d+)?\s*(us|ms|s|m|h|d|w))+\s*$", "examples": ["36h", "7d"]}),
]
"""Microseconds, typed as text with a unit: ``"36h"``, ``"1d 12h"``."""


def _share(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


Number = Annotated[float, BeforeValidator(_share)]
"""A float that may be typed without a decimal point."""

Share = Annotated[Number, Field(ge=0.0, le=1.0)]
"""A part of a whole, 0 to 1."""

Probability = Annotated[Number, Field(gt=0.0, lt=1.0)]
"""A probability strictly between 0 and 1."""

Positive = Annotated[Number, Field(gt=0.0, le=1e12)]
NonNegative = Annotated[Number, Field(ge=0.0, le=1e12)]
Effect = Annotated[Number, Field(ge=-20.0, le=20.0)]
"""An effect on the log-odds."""

"""Where a scenario chooses a plug-in: by name, or by a table that holds its parameters beside the name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from bidsim.core.settings import Duration, Number, Settings

KEY_OF = {"auction": "format", "market": "kind", "values": "kind"}
"""Key of the plug-in's name in a table, by block; ``name`` elsewhere."""


class Choice(Settings):
    """A plug-in by name, with its parameters."""

    name: str
    params: dict[str, Any] = {}


def _choice(key: str) -> Any:
    """Read ``"name"`` or ``{ name = "...", factor = 0.8 }`` as a `Choice`."""

    def split(value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict):
            rest = {k: v for k, v in value.items() if k != key}
            return {"name": value[key], "params": rest} if key in value else {"params": rest}
        return value

    return split


PolicyChoice = Annotated[
    Choice, BeforeValidator(_choice("name")), WithJsonSchema({"$plugin": "policy", "$key": "name"})
]
PacingChoice = Annotated[
    Choice, BeforeValidator(_choice("name")), WithJsonSchema({"$plugin": "pacing", "$key": "name"})
]
ModelChoice = Annotated[Choice, BeforeValidator(_choice("name")), WithJsonSchema({"$plugin": "model", "$key": "name"})]
MarketChoice = Annotated[
    Choice, BeforeValidator(_choice("kind")), WithJsonSchema({"$plugin": "market", "$key": "kind"})
]
ValuesChoice = Annotated[
    Choice, BeforeValidator(_choice("kind")), WithJsonSchema({"$plugin": "values", "$key": "kind"})
]


class AuctionSettings(Settings):
    """How the exchange sells an impression."""

    format: str = "first_price"
    """Auction format: a file of ``bidsim/auctions``."""
    reserve_cpm: Annotated[Number, Field(ge=0.0, le=1e6)] = 0.0
    """Lowest price of the exchange, per thousand impressions; a request's own floor may be higher."""
    fee: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.0
    """Part of each payment that the exchange keeps."""
    charge: Literal["impression", "click"] | None = None
    """What the winner pays for; bids are for one of these. By default what the format is known for."""
    positions: Annotated[list[Annotated[Number, Field(gt=0.0, le=1.0)]], Field(min_length=1, max_length=16)] = [1.0]
    """View rate of each position of a request relative to the best one, falling; one entry for each position."""
    reserves: dict[str, Annotated[Number, Field(ge=0.0, le=1e6)]] = {}
    """Reserves of single campaigns, per thousand impressions, where they lie above ``reserve_cpm``."""
    tell_minimum: bool = True
    """Whether notices tell the lowest bid that would have won."""
    params: dict[str, Any] = {}
    """Parameters of the format."""


class IncidentSettings(Settings):
    """Something that goes wrong at a known moment; the other keys are those of its ``kind``."""

    kind: str
    """What happens: a file of ``bidsim/incidents``."""
    start: Duration
    """When it begins."""
    end: Duration | None = None
    """When it is over; by default it lasts."""
    params: dict[str, Any] = {}
    """Keys of the kind."""


def _with_rest(settings: type[Settings]) -> Any:
    """Gather the keys that are not a block's own under ``params``."""

    def split(value: Any) -> Any:
        if isinstance(value, dict):
            known = set(settings.model_fields) - {"params"}
            own = {k: v for k, v in value.items() if k in known}
            return {**own, "params": {k: v for k, v in value.items() if k not in own}}
        return value

    return split


_auction = _with_rest(AuctionSettings)
AuctionChoice = Annotated[
    AuctionSettings, BeforeValidator(_auction), WithJsonSchema({"$plugin": "auction", "$key": "format"})
]
IncidentChoice = Annotated[
    IncidentSettings,
    BeforeValidator(_with_rest(IncidentSettings)),
    WithJsonSchema({"$plugin": "incident", "$key": "kind"}),
]
SHARED: dict[str, type[Settings]] = {"auction": AuctionSettings, "incident": IncidentSettings}
"""Families whose keys stand in one block with those of the plug-in."""


def split_choice(family: str, key: str, typed: Any) -> tuple[Any, dict[str, Any]]:
    """Name and parameters of a plug-in as they were typed; the name is None where there is none."""
    if family in SHARED:
        split, default = _with_rest(SHARED[family])(typed), SHARED[family].model_fields[key].default
    else:
        split, key, default = _choice(key)(typed), "name", None
    return (split.get(key, default), split.get("params", {})) if isinstance(split, dict) else (None, {})

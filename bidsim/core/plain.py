"""Mistakes that pydantic finds, in words for a person who knows nothing of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bidsim.core.errors import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Detail = Any
"""One error as `pydantic.ValidationError.errors` gives it: ``type``, ``loc``, ``msg``, ``input``, perhaps ``ctx``."""
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$"
"""Of names that become names of folders."""
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def plain_words(one: Detail) -> str:
    """What is wrong with a value, with the value: ``input should be a table, not 5``."""
    make = _WORDS.get(one["type"])
    if make is not None:
        return make(one.get("ctx") or {}, one["input"])
    text = one["msg"].removeprefix("Value error, ")
    text = text[:1].lower() + text[1:]
    return text if one["type"] == "value_error" else f"{text}, not {shown(one['input'])}"


def plain_path(loc: Sequence[str | int]) -> str:
    """Dotted path of a key; names with other signs are quoted."""
    parts = [str(p) if _NAME.fullmatch(str(p)) else shown(str(p)) for p in loc if p != "[key]"]
    return ".".join(parts)


def _not_a(what: str) -> Callable[[Mapping[str, Any], Any], str]:
    return lambda ctx, value: f"input should be {what}, not {shown(value)}"


def _too_many(ctx: Mapping[str, Any], value: Any) -> str:
    return f"has {len(value):,} entries; {ctx['max_length']:,} are the most that there can be"


def _too_few(ctx: Mapping[str, Any], value: Any) -> str:
    least = ctx["min_length"]
    return f"must have at least {least} item{'s' if least > 1 else ''}, not {shown(value)}"


def _pattern(ctx: Mapping[str, Any], value: Any) -> str:
    if ctx["pattern"] == NAME_PATTERN:
        return (
            f"{shown(value)} is no name: write up to 80 letters, digits, '-', '_' and '.', the first a letter or digit"
        )
    return f"{shown(value)} must match {ctx['pattern']}"


def _length(word: str, key: str) -> Callable[[Mapping[str, Any], Any], str]:
    def told(ctx: Mapping[str, Any], value: Any) -> str:
        return f"must have {word} {ctx[key]:,} letter{'s' if ctx[key] != 1 else ''}, not {shown(value)}"

    return told


_TABLE = _not_a("a table")
_WORDS: dict[str, Callable[[Mapping[str, Any], Any], str]] = {
    "dict_type": _TABLE,
    "model_type": _TABLE,
    "model_attributes_type": _TABLE,
    "dataclass_type": _TABLE,
    "mapping_type": _TABLE,
    "list_type": _not_a("a list"),
    "tuple_type": _not_a("a list"),
    "string_type": _not_a("text in quotes"),
    "bool_type": _not_a("true or false"),
    "missing": lambda ctx, value: "is missing; add it",
    "too_long": _too_many,
    "too_short": _too_few,
    "string_pattern_mismatch": _pattern,
    "string_too_short": _length("at least", "min_length"),
    "string_too_long": _length("at most", "max_length"),
    "int_parsing_size": _not_a("a smaller whole number"),
    "recursion_loop": lambda ctx, value: "tables nested too deeply",
}

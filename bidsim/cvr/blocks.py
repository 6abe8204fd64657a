"""Lines ``key=value`` of a model file, and the numbers in them: each that is wrong is told with its line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn

from bidsim.core.errors import ModelError, shown

if TYPE_CHECKING:
    from collections.abc import Callable


class Block:
    """Lines ``key=value`` of a part of the file, with where they stand."""

    def __init__(self, text: str, line: int, what: str) -> None:
        self.what = what
        self.values: dict[str, tuple[int, str]] = {}
        for number, one in enumerate(text.split("\n"), line):
            key, sign, value = one.partition("=")
            if key in self.values and sign:
                raise ModelError(f"line {number}: {self.what}: {key}: it is there twice; the file is damaged")
            if one:
                self.values[key] = (number, value)

    def fail(self, key: str, why: str) -> NoReturn:
        """Refuse the file because of one key."""
        line = f"line {self.values[key][0]}: " if key in self.values else ""
        raise ModelError(f"{line}{self.what}: {key}: {why}; the file is damaged")

    def text(self, key: str) -> str:
        """Value of a key that must be there."""
        if key not in self.values:
            self.fail(key, "the line is missing")
        return self.values[key][1]

    def numbers(self, key: str, count: int, convert: Callable[[str], Any]) -> list[Any]:
        """Numbers of a list that must have ``count`` of them."""
        words = self.text(key).split(" ") if self.text(key) else []
        if len(words) != count:
            self.fail(key, f"it has {len(words)} numbers instead of {count}")
        try:
            return [convert(w) for w in words]
        except ValueError as error:
            self.fail(key, str(error))

    def integer(self, key: str, least: int, most: int) -> int:
        """One integer within bounds."""
        value: int = self.numbers(key, 1, whole_number)[0]
        if not least <= value <= most:
            self.fail(key, f"{value} is not between {least} and {most}")
        return value


def whole_number(word: str) -> int:
    """A whole number of 18 digits at most; a ValueError says what is there instead."""
    digits = word.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):  # noqa: PLR2004
        raise ValueError(f"{shown(word)} is not a whole number")
    return int(word)


def number_of(word: str) -> float:
    """A number, infinite ones included; a ValueError says what is there instead."""
    if not word.isascii() or "_" in word:
        raise ValueError(f"{shown(word)} is not a number")
    try:
        value = float(word)
    except ValueError:
        raise ValueError(f"{shown(word)} is not a number") from None
    if math.isnan(value):
        raise ValueError("NaN is not a number that can be compared with")
    return value


def finite(word: str) -> float:
    """A finite number; a ValueError says what is there instead."""
    value = number_of(word)
    if math.isinf(value):
        raise ValueError(f"{shown(word)} is not finite")
    return value

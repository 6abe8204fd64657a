"""From the place that pydantic names to the key that a person typed: it adds names of the members of unions."""

from __future__ import annotations

from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, WithJsonSchema
from pydantic.fields import FieldInfo

from bidsim.core.errors import did_you_mean, shown
from bidsim.scenario.model import ScenarioSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bidsim.scenario.locate import Path as KeyPath

_LABELS = {"literal[": "literal", "tagged-union[": "tagged", "list[": "list", "dict[": "table"}


@dataclass(frozen=True)
class Shape:
    """What may stand somewhere.

    Attributes:
        annotation: The type, without wrappers.
        tag: Key that tells the members of a union apart, "" where none does.
        text: Whether it is typed as text, whatever it becomes.

    """

    annotation: Any
    tag: str = ""
    text: bool = False

    @property
    def kind(self) -> str:
        """One of ``tagged``, ``union``, ``block``, ``table``, ``list``, ``literal``, ``text``, ``plain``."""
        origin = get_origin(self.annotation)
        if origin in (Union, UnionType):
            return "tagged" if self.tag else "union"
        if isinstance(self.annotation, type) and issubclass(self.annotation, BaseModel):
            return "block"
        kinds = {dict: "table", list: "list", Literal: "literal"}
        return kinds.get(origin, "text" if self.text or self.annotation is str else "plain")

    @property
    def members(self) -> list[Shape]:
        """Members of a union."""
        return [shape_of(one) for one in get_args(self.annotation) if one is not type(None)]

    @property
    def variants(self) -> dict[str, Shape]:
        """Members of a tagged union, by their tag."""
        return {str(get_args(m.annotation.model_fields[self.tag].annotation)[0]): m for m in self.members}

    def fits(self, typed: Any) -> bool:
        """Whether this may be what was meant by a value."""
        kinds = {"tagged": dict, "block": dict, "table": dict, "list": list, "literal": str, "text": str}
        return isinstance(typed, kinds.get(self.kind, int | float))

    def words(self) -> str:
        """Say what may stand here."""
        if self.kind == "tagged":
            return f"a table with {self.tag} = {', '.join(repr(name) for name in self.variants)}"
        if self.kind == "block":
            return f"a table with {', '.join(self.annotation.model_fields)}"
        if self.kind == "literal":
            return " or ".join(repr(value) for value in get_args(self.annotation))
        return {"table": "a table", "list": "a list", "text": "text with a unit, such as '36h'"}.get(
            self.kind, "a number"
        )

    def inside(self, part: int | str) -> Shape:
        """What may stand at a key or place within."""
        if self.kind == "block":
            info = self.annotation.model_fields.get(str(part))
            return shape_of(info.annotation, info.discriminator) if info is not None else Shape(Any)
        inner = get_args(self.annotation)
        return shape_of(inner[-1]) if inner and self.kind in ("table", "list") else Shape(Any)


def shape_of(annotation: Any, tag: Any = None) -> Shape:
    """Unwrap a type down to what is typed: out of notes, and out of "or nothing"."""
    text = False
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *notes = get_args(annotation)
            for note in notes:
                tag = note.discriminator or tag if isinstance(note, FieldInfo) else tag
                text = text or (isinstance(note, WithJsonSchema) and (note.json_schema or {}).get("type") == "string")
        elif get_origin(annotation) in (Union, UnionType) and len(get_args(annotation)) - _optional(annotation) == 1:
            annotation = next(one for one in get_args(annotation) if one is not type(None))
        else:
            return Shape(annotation, str(tag or ""), text)


def _optional(annotation: Any) -> int:
    return sum(one is type(None) for one in get_args(annotation))


@dataclass
class Place:
    """Where an error lies.

    Attributes:
        path: The keys that were typed.
        shape: What may stand there.
        around: What the last key stands in.
        typed: What stands there; None where nothing does.
        variant: Member of the union that is around, as it was chosen.
        unmeant: The union in which the error is about a member that cannot have been meant.

    """

    path: list[int | str]
    shape: Shape
    around: Shape
    typed: Any
    variant: str = ""
    unmeant: Shape | None = None


def place_of(model: type[BaseModel], data: Any, prefix: KeyPath, loc: Sequence[int | str]) -> Place:
    """Follow an error's place through what was typed, beside what may stand there."""
    here: Any = data
    for part in prefix:
        here = here[part] if isinstance(here, dict) and part in here else {}
    found = Place(list(prefix), shape_of(model), shape_of(model), here)
    for position, part in enumerate(loc):
        if found.shape.kind == "tagged":
            found.variant, found.shape = str(part), found.shape.variants[str(part)]
        elif found.shape.kind == "union":
            member = _member(found.shape, str(part))
            if not member.fits(found.typed):
                found.unmeant = found.shape
                return found
            found.shape = member
        elif part != "[key]":
            _step(found, part, last=position == len(loc) - 1)
    return found


def _step(found: Place, part: int | str, *, last: bool) -> None:
    """Go to a key or place, if it was typed; a key that is missing is told as if it had been."""
    here = found.typed
    there = (isinstance(here, dict) and part in here) or (
        isinstance(here, list) and isinstance(part, int) and part < len(here)
    )
    if there or (last and isinstance(here, dict)):
        found.path.append(part)
    found.around, found.shape = found.shape, found.shape.inside(part)
    if there:
        found.typed = here[part]
        found.variant = "" if not last else found.variant


def _member(union: Shape, label: str) -> Shape:
    """The member of a union that pydantic calls by a label."""
    kind = next((kind for begin, kind in _LABELS.items() if label.startswith(begin)), "")
    for member in union.members:
        if member.kind == kind or getattr(member.annotation, "__name__", "") == label:
            return member
    return next((m for m in union.members if m.kind in ("text", "plain")), union.members[0])


def check_name(names: Sequence[str], data: Any) -> None:
    """See that a dotted key goes into no campaign, product, seat or the like that is not there.

    Raises:
        ValueError: It does: what it would make is hardly what was meant.

    """
    shape, here = shape_of(ScenarioSettings), data
    for depth, name in enumerate(names[:-1]):
        inner = shape.inside(name)
        if shape.kind == "table" and inner.kind == "block" and isinstance(here, dict) and here and name not in here:
            what = names[depth - 1].removesuffix("s")
            raise ValueError(f"there is no {what} {shown(name)}{did_you_mean(name, here)}")
        shape, here = inner, here.get(name) if isinstance(here, dict) else None

"""From pydantic's errors to problems that a person can mend."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from bidsim.core.errors import Problem, did_you_mean, shown
from bidsim.scenario.choices import KEY_OF
from bidsim.scenario.sources import dotted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bidsim.scenario.locate import Path as KeyPath
    from bidsim.scenario.sources import Source

_MOST_COMPARED, _LONGEST = 200, 60


def problems_of(
    error: ValidationError, source: Source, model: type[BaseModel], prefix: KeyPath = (), beside: Iterable[str] = ()
) -> list[Problem]:
    """Turn every error into a problem at the line of its key, unions told once.

    Keys ``beside`` the model's may be meant, too.
    """
    found: dict[tuple[KeyPath, str], Problem] = {}
    for one in error.errors(include_url=False, include_context=True):
        path = _typed_path(source.data, prefix, one["loc"])
        kind = one["type"]
        if kind == "extra_forbidden":
            message = f"unknown key{did_you_mean(str(path[-1]), [*_known_keys(model, one['loc'][:-1]), *beside])}"
        elif kind == "missing":
            path = path if path[-1:] == one["loc"][-1:] else (*path, one["loc"][-1])
            if len(path) == 2 and path[1] == "name" and path[0] in KEY_OF:  # noqa: PLR2004
                path = (path[0], KEY_OF[str(path[0])])
            message = f"is missing; add it{_other_meant(source.data, path)}"
        else:
            text = "Input should be a table" if kind == "model_type" else one["msg"].removeprefix("Value error, ")
            text = text[0].lower() + text[1:]
            message = text if kind == "value_error" else f"{text}, not {shown(one['input'])}"
        found.setdefault(
            (path, "" if len(one["loc"]) > len(path) - len(prefix) else kind), source.problem(path, message)
        )
    return list(found.values())


def _other_meant(data: Any, path: KeyPath) -> str:
    """Where a campaign has neither advertiser nor product its name may be another's, mistyped."""
    campaigns = data.get("campaigns") if path[:1] == ("campaigns",) and len(path) > 1 else None
    if not isinstance(campaigns, dict) or len(campaigns) > _MOST_COMPARED:
        return ""
    typed = campaigns.get(path[1])
    if not isinstance(typed, dict) or "advertiser" in typed or "product" in typed:
        return ""
    others = [str(name)[:_LONGEST] for name in campaigns if name != path[1]]
    near = get_close_matches(str(path[1])[:_LONGEST], others, n=1, cutoff=0.75)
    return f", or did you mean {dotted((path[0], near[0]))}?" if near else ""


def _typed_path(data: Any, prefix: KeyPath, loc: tuple[int | str, ...]) -> KeyPath:
    """Follow the parts of ``loc`` that are keys of what was typed; pydantic adds names of union members."""
    here: Any = data
    part: Any
    for part in prefix:
        here = here[part] if isinstance(here, dict) and part in here else {}
    path = list(prefix)
    for position, part in enumerate(loc):
        if (isinstance(here, dict) and part in here) or (
            isinstance(here, list) and isinstance(part, int) and part < len(here)
        ):
            here = here[part]
        elif part == "[key]" or position < len(loc) - 1 or not isinstance(here, dict):
            continue
        path.append(part)
    return tuple(path)


def _known_keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Keys of the block in which an unknown key was typed."""
    current: Any = model
    for part in loc:
        if isinstance(current, type) and issubclass(current, BaseModel) and part in current.model_fields:
            current = current.model_fields[str(part)].annotation
        current = _block_within(current)
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _block_within(annotation: Any) -> Any:
    """Unwrap a dict, optional or annotated type down to the block inside."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inside = [a for a in getattr(annotation, "__args__", ()) if a is not type(None) and a is not str]
    return _block_within(inside[-1]) if inside else annotation

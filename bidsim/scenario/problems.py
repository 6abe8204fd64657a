"""From pydantic's errors to problems that a person can mend."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from bidsim.core.errors import Problem, did_you_mean, shown
from bidsim.core.plain import plain_words
from bidsim.scenario.choices import KEY_OF
from bidsim.scenario.shapes import place_of
from bidsim.scenario.sources import dotted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel, ValidationError

    from bidsim.scenario.locate import Path as KeyPath
    from bidsim.scenario.shapes import Place
    from bidsim.scenario.sources import Source

_MOST_COMPARED, _LONGEST = 200, 60


def problems_of(
    error: ValidationError, source: Source, model: type[BaseModel], prefix: KeyPath = (), beside: Iterable[str] = ()
) -> list[Problem]:
    """Turn every error into a problem at the line of its key; keys ``beside`` the model's may be meant, too."""
    found: dict[tuple[KeyPath, str], Problem] = {}
    for one in error.errors(include_url=False, include_context=True):
        place = place_of(model, source.data, prefix, one["loc"])
        if place.unmeant is not None:
            if any(member.fits(place.typed) for member in place.unmeant.members):
                continue
            message = _none_of(place)
        elif one["type"] == "extra_forbidden":
            message = _unknown(place, beside if len(one["loc"]) == 1 else ())
        elif one["type"] == "missing":
            place.path += [part for part in one["loc"][-1:] if place.path[-1:] != [part]]
            if len(place.path) == 2 and place.path[1] == "name" and place.path[0] in KEY_OF:  # noqa: PLR2004
                place.path[1] = KEY_OF[str(place.path[0])]
            message = f"is missing; add it{_other_meant(source.data, tuple(place.path))}"
        elif place.shape.kind == "tagged":
            message = _no_variant(place)
        else:
            message = plain_words(one)
        path = tuple(place.path)
        found.setdefault((path, message), source.problem(path, message))
    return list(found.values())


def _none_of(place: Place) -> str:
    """What to say of a value that is none of several things."""
    assert place.unmeant is not None  # noqa: S101  (whoever calls has looked)
    known = ", or ".join(member.words() for member in place.unmeant.members)
    return f"input should be {known}, not {shown(place.typed)}"


def _unknown(place: Place, beside: Iterable[str]) -> str:
    fields = place.around.annotation.model_fields if place.around.kind == "block" else {}
    of = f" of {place.variant!r}" if place.variant else ""
    return f"unknown key{of}{did_you_mean(str(place.path[-1]), [*fields, *beside])}"


def _no_variant(place: Place) -> str:
    """What to say where a table does not say which of several kinds it is, or names one that there is not."""
    typed, tag, known = place.typed, place.shape.tag, list(place.shape.variants)
    listed = ", ".join(repr(name) for name in known)
    if isinstance(typed, dict) and tag in typed:
        if isinstance(typed[tag], str):
            near = did_you_mean(typed[tag], known)
            return f"there is no {tag} {shown(typed[tag])}" + (near if "mean" in near else f"; choose one of {listed}")
        return f"{tag} should be one of {listed}, not {shown(typed[tag])}"
    if isinstance(typed, dict):
        return f"it does not say which kind it is; add {tag} = one of {listed}"
    example = typed if typed in known else known[0]
    return f'input should be a table such as {{ {tag} = "{example}" }}, not {shown(typed)}; {tag} is one of {listed}'


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

"""Names that were typed: of plug-ins, with their parameters, and of the seats and products that campaigns refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from bidsim.core.code_errors import line_in
from bidsim.core.errors import Problem, did_you_mean
from bidsim.core.registry import PluginNotFoundError, find
from bidsim.scenario.choices import KEY_OF, SHARED, split_choice
from bidsim.scenario.model import whole_world
from bidsim.scenario.problems import problems_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pydantic import BaseModel

    from bidsim.scenario.locate import Path as KeyPath
    from bidsim.scenario.sources import Source


T = TypeVar("T")


def chosen_params(family: str, name: str, params: dict[str, Any], beside: Path | None) -> tuple[Any, Any]:
    """Return the plug-in class and its validated parameters.

    Raises:
        PluginNotFoundError: There is no such plug-in.
        ValidationError: The parameters do not fit.

    """
    plugin = find(family, name, beside)
    try:
        return plugin, answer_of(name, beside, lambda: plugin.Params.model_validate(params))
    except ValidationError:
        raise
    except ValueError as error:
        raise PluginNotFoundError(str(error)) from error


def answer_of(name: str, beside: Path | None, ask: Callable[[], T]) -> T:
    """What a plug-in answers.

    Raises:
        ValueError: It refuses; or code from outside the package fails, which is told with its line.

    """
    try:
        return ask()
    except (ValueError, PluginNotFoundError):
        raise
    except Exception as error:
        if beside is None or ":" not in name:
            raise
        raise ValueError(
            f"{name!r} failed{line_in(error, beside)}: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from error


def check_names(source: Source, beside: Path | None) -> Iterator[Problem]:
    """Find names that are nowhere, and parameters that plug-ins refuse.

    Reads what was typed, so that it works where other keys are wrong, too.
    """
    data = whole_world(source.data)
    for family, key, path, typed in _choices(data):
        name, params = split_choice(family, key, typed)
        if isinstance(name, str):
            yield from _plugin(family, name, params, source, beside, path, key)
    for path, campaign in _tables(data, "campaigns"):
        for key, family in (("seat", "seats"), ("product", "products")):
            name, known = campaign.get(key), data.get(family)
            if isinstance(name, str) and isinstance(known, dict) and name not in known:
                yield source.problem((*path, key), f"unknown {key} {name!r}{did_you_mean(name, known)}")


def _choices(data: dict[str, Any]) -> Iterator[tuple[str, str, KeyPath, Any]]:
    """Every place where a plug-in is chosen: family, key of its name, path, what was typed."""
    yield from ((family, key, (family,), data[family]) for family, key in KEY_OF.items() if family in data)
    yield from _incidents(data)
    yield from (
        ("model", "name", (*path, "model"), seat["model"]) for path, seat in _tables(data, "seats") if "model" in seat
    )
    for path, campaign in _tables(data, "campaigns"):
        yield from (
            (family, "name", (*path, family), campaign[family]) for family in ("policy", "pacing") if family in campaign
        )


def _incidents(data: dict[str, Any]) -> Iterator[tuple[str, str, KeyPath, Any]]:
    found = data.get("incidents")
    for n, incident in enumerate(found if isinstance(found, list) else []):
        if isinstance(incident, dict):
            yield "incident", "kind", ("incidents", n), incident


def _tables(data: dict[str, Any], family: str) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    found = data.get(family)
    if isinstance(found, dict):
        yield from (((family, name), table) for name, table in found.items() if isinstance(table, dict))


def _plugin(
    family: str, name: str, params: dict[str, Any], source: Source, beside: Path | None, path: KeyPath, key: str
) -> Iterator[Problem]:
    try:
        chosen_params(family, name, params, beside)
    except PluginNotFoundError as error:
        here = (*path, key) if (*path, key) in source.places else path
        yield source.problem(here, str(error))
    except ValidationError as error:
        model: type[BaseModel] = find(family, name, beside).Params
        beside_it = [k for k in SHARED[family].model_fields if k != "params"] if family in SHARED else []
        yield from problems_of(error, source, model, path, beside_it)

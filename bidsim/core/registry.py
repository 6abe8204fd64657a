"""Finding plug-ins by name: a file in the family's room, or ``module:Class`` beside the scenario."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numba.core import config

from bidsim.core.code_errors import where, why
from bidsim.core.errors import did_you_mean

if TYPE_CHECKING:
    from types import ModuleType

ROOMS = {
    "policy": "policies",
    "pacing": "pacing",
    "auction": "auctions",
    "market": "market",
    "values": "values",
    "model": "cvr",
    "incident": "incidents",
}
"""Family -> the room that holds its plug-ins."""
_BASES = {
    "policy": "Policy",
    "pacing": "Pacer",
    "auction": "AuctionFormat",
    "market": "Market",
    "values": "ValueModel",
    "model": "CvrModel",
    "incident": "IncidentKind",
}
_LONGEST_MODULE = 100
_NOT_PLUGINS = {
    "binning",
    "blocks",
    "delay",
    "ensemble",
    "evaluation",
    "features",
    "files",
    "links",
    "masks",
    "meta",
    "probe",
    "reading",
    "stored",
    "training",
    "trees",
}


class PluginNotFoundError(ValueError):
    """No plug-in of that family has that name; the message says which there are."""


def names(family: str) -> list[str]:
    """Names of the built-in plug-ins of a family: the files of its room."""
    return list(_names(family))


@cache
def _names(family: str) -> tuple[str, ...]:
    folder = Path(__file__).resolve().parent.parent / ROOMS[family]
    return tuple(
        sorted(
            m.name
            for m in pkgutil.iter_modules([str(folder)])
            if not m.name.startswith("_") and m.name not in _NOT_PLUGINS
        )
    )


def find(family: str, name: str, beside: Path | None = None) -> Any:
    """Return the plug-in class called ``name``.

    Args:
        family: One of `ROOMS`.
        name: A file of the family's room, or ``module:Class`` for a file of the user's own.
        beside: Folder that holds the user's own module; None where outside code is not allowed.

    Raises:
        PluginNotFoundError: There is none, or it may not be loaded.

    """
    if family not in ROOMS:
        raise PluginNotFoundError(f"unknown family of plug-ins {family!r}{did_you_mean(family, ROOMS)}")
    if ":" in name:
        return _outside(family, name, beside)
    if name not in names(family):
        raise PluginNotFoundError(f"unknown {family} {name!r}{did_you_mean(name, names(family))}")
    return _only_plugin(importlib.import_module(f"bidsim.{ROOMS[family]}.{name}"), family)


def _base(family: str) -> type:
    home = "bidsim.core.incidents" if family == "incident" else "bidsim.core.contracts"
    base: type = getattr(importlib.import_module(home), _BASES[family])
    return base


def _only_plugin(module: ModuleType, family: str) -> Any:
    base = _base(family)
    found = [
        c
        for _, c in inspect.getmembers(module, inspect.isclass)
        if issubclass(c, base) and c.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise PluginNotFoundError(
            f"{module.__name__} must define exactly one subclass of {base.__name__}, found {len(found)}"
        )
    return found[0]


def _outside(family: str, name: str, beside: Path | None) -> Any:
    module_name, _, class_name = name.partition(":")
    if beside is None:
        raise PluginNotFoundError(
            f"{name!r} is code from outside the package; add --allow-code (or allow_code=True) to run it"
        )
    file = beside / f"{module_name}.py"
    if not module_name.isidentifier() or len(module_name) > _LONGEST_MODULE or not file.is_file():
        raise PluginNotFoundError(f"{name!r}: there is no file {module_name}.py beside the scenario, in {beside}")
    loaded, base = _load(module_name, file), _base(family)
    chosen = getattr(loaded, class_name, None)
    if not (inspect.isclass(chosen) and issubclass(chosen, base)):
        theirs = [k for k, c in vars(loaded).items() if inspect.isclass(c) and issubclass(c, base) and c is not base]
        raise PluginNotFoundError(
            f"{name!r}: {file.name} has no class {class_name!r} that extends "
            f"bidsim.core.contracts.{base.__name__}{did_you_mean(class_name, theirs)}"
        )
    _check(chosen, family, name)
    return chosen


def _check(plugin: Any, family: str, name: str) -> None:
    """Refuse a plug-in that does not keep its family's contract, before anything runs."""
    contracts = importlib.import_module("bidsim.core.contracts")
    settings = importlib.import_module("bidsim.core.settings").Settings
    if not (inspect.isclass(plugin.Params) and issubclass(plugin.Params, settings)):
        raise PluginNotFoundError(f"{name!r}: Params must be a class that extends bidsim.core.settings.Settings")
    for kernel, signature in contracts.KERNELS_OF[family].items():
        found = getattr(plugin, kernel, None)
        compiled = config.DISABLE_JIT or tuple(signature.args) in (getattr(found, "overloads", None) or ())
        if not (callable(found) and compiled):
            raise PluginNotFoundError(
                f"{name!r}: {kernel} must be a kernel with the family's signature, as in the files of "
                f"bidsim/{ROOMS[family]}"
            )
    if family == "pacing" and plugin.pace is contracts.do_nothing and plugin.settle is contracts.do_nothing:
        raise PluginNotFoundError(
            f"{name!r}: the class defines neither pace nor settle, so it would pace nothing; write 'pace = ...' with "
            "the name of its kernel"
        )
    for method in contracts.METHODS_OF[family]:
        if not callable(getattr(plugin, method, None)) or method not in {
            m for c in plugin.__mro__ if c is not _base(family) for m in vars(c)
        }:
            raise PluginNotFoundError(
                f"{name!r}: the class must define {method}(), as the files of bidsim/{ROOMS[family]} do"
            )
    for columns in ("floats", "ints"):
        named = getattr(plugin, columns, ())
        if not (
            isinstance(named, tuple | list)
            and all(isinstance(c, str) or (isinstance(c, tuple) and len(c) == 2) for c in named)  # noqa: PLR2004
        ):
            raise PluginNotFoundError(f"{name!r}: {columns} must be a tuple of column names, or of (name, width)")


def _load(module_name: str, file: Path) -> ModuleType:
    unique = f"bidsim_outside_{module_name}"
    loaded = sys.modules.get(unique)
    if loaded is not None and getattr(loaded, "__bidsim_source__", None) == (str(file), file.read_bytes()):
        return loaded
    spec = importlib.util.spec_from_file_location(unique, file)
    if spec is None or spec.loader is None:
        raise PluginNotFoundError(f"cannot load {file}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        del sys.modules[unique]
        raise PluginNotFoundError(f"{file.name} fails to load{where(error, file)}: {why(error, file)}") from error
    finally:
        sys.path.remove(str(file.parent))
    module.__bidsim_source__ = (str(file), file.read_bytes())  # type: ignore[attr-defined]
    return module

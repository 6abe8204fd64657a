"""Finding plug-ins by name: a file in the family's room, or ``module:Class`` beside the scenario."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numba.core import config

from bidsim.core.errors import cut, did_you_mean

if TYPE_CHECKING:
    from types import ModuleType

ROOMS = {"policy": "policies", "pacing": "pacing", "auction": "auctions", "market": "market", "values": "values", "model": "cvr"}
"""Family -> the room that holds its plug-ins."""
_BASES = {"policy": "Policy", "pacing": "Pacer", "auction": "AuctionFormat", "market": "Market", "values": "ValueModel", "model": "CvrModel"}
_LONGEST_MODULE = 100
_LONGEST_REASON = 200
_UNDEFINED = re.compile(r"[Nn]ame '(\w+)' is not defined")
_NOT_PLUGINS = {"binning", "delay", "ensemble", "evaluation", "features", "files", "links", "masks", "probe", "stored", "training", "trees"}


class PluginNotFoundError(ValueError):
    """No plug-in of that family has that name; the message says which there are."""


def names(family: str) -> list[str]:
    """Names of the built-in plug-ins of a family: the files of its room."""
    folder = Path(__file__).resolve().parent.parent / ROOMS[family]
    return sorted(m.name for m in pkgutil.iter_modules([str(folder)]) if not m.name.startswith("_") and m.name not in _NOT_PLUGINS)


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
    contracts = importlib.import_module("bidsim.core.contracts")
    base: type = getattr(contracts, _BASES[family])
    return base


def _only_plugin(module: ModuleType, family: str) -> Any:
    base = _base(family)
    found = [c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, base) and c.__module__ == module.__name__]
    if len(found) != 1:
        raise PluginNotFoundError(f"{module.__name__} must define exactly one subclass of {base.__name__}, found {len(found)}")
    return found[0]


def _outside(family: str, name: str, beside: Path | None) -> Any:
    module_name, _, class_name = name.partition(":")
    if beside is None:
        raise PluginNotFoundError(f"{name!r} is code from outside the package; add --allow-code (or allow_code=True) to run it")
    file = beside / f"{module_name}.py"
    if not module_name.isidentifier() or len(module_name) > _LONGEST_MODULE or not file.is_file():
        raise PluginNotFoundError(f"{name!r}: there is no file {module_name}.py beside the scenario, in {beside}")
    chosen = getattr(_load(module_name, file), class_name, None)
    base = _base(family)
    if not (inspect.isclass(chosen) and issubclass(chosen, base)):
        raise PluginNotFoundError(f"{name!r}: {file.name} has no class {class_name!r} that extends bidsim.core.contracts.{base.__name__}")
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
            raise PluginNotFoundError(f"{name!r}: {kernel} must be a kernel with the family's signature, as in the files of bidsim/{ROOMS[family]}")
    if family == "pacing" and plugin.pace is contracts.do_nothing and plugin.settle is contracts.do_nothing:
        raise PluginNotFoundError(f"{name!r}: the class defines neither pace nor settle, so it would pace nothing; write 'pace = ...' with the name of its kernel")
    for method in contracts.METHODS_OF[family]:
        if not callable(getattr(plugin, method, None)) or method not in {m for c in plugin.__mro__ if c is not _base(family) for m in vars(c)}:
            raise PluginNotFoundError(f"{name!r}: the class must define {method}(), as the files of bidsim/{ROOMS[family]} do")
    for columns in ("floats", "ints"):
        named = getattr(plugin, columns, ())
        if not (isinstance(named, tuple | list) and all(isinstance(c, str) or (isinstance(c, tuple) and len(c) == 2) for c in named)):  # noqa: PLR2004
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
        raise PluginNotFoundError(f"{file.name} fails to load{_where(error, file)}: {_why(error, file)}") from error
    finally:
        sys.path.remove(str(file.parent))
    module.__bidsim_source__ = (str(file), file.read_bytes())  # type: ignore[attr-defined]
    return module


def _why(error: BaseException, file: Path) -> str:
    """What is wrong with a file, in a line: of what numba says neither the pipeline nor the types."""
    lines = [line.strip() for line in _plain(error.msg if isinstance(error, SyntaxError) else str(error)).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Failed in nopython mode", ">>>"))]
    first = told[0] if told else ""
    unknown = re.match(r"Unknown attribute '(\w+)' of type ref\((\w+)\(", first)
    if unknown is not None:
        fields = getattr(getattr(importlib.import_module("bidsim.core.contracts"), unknown[2], None), "_fields", ())
        return f"{unknown[2]} has no field {unknown[1]!r}{did_you_mean(unknown[1], fields)}"
    undefined = _UNDEFINED.search(first)
    if undefined is not None:
        other = _frames(error)[-1:] if isinstance(error, NameError) else []
        elsewhere = "".join(f" ({Path(frame.filename).name}, line {frame.lineno})" for frame in other if frame.filename != str(file))
        return f"name {undefined[1]!r} is not defined{elsewhere or did_you_mean(undefined[1], _defined(file) - {undefined[1]})}"
    if isinstance(error, SyntaxError) and error.filename != str(file):
        first += f" ({Path(str(error.filename)).name}, line {error.lineno})"
    signature = next((line.removeprefix(">>> ") for line in lines if line.startswith(">>> ")), "")
    return cut(f"{type(error).__name__}: {first} {signature}".rstrip(), _LONGEST_REASON)


def _where(error: BaseException, file: Path) -> str:
    """Line of the file in which it went wrong, where that is known."""
    text = _plain(str(error))
    inside = [int(line) for line in re.findall(rf'File "(?:[^"]*/)?{re.escape(file.name)}", line (\d+)', text)]
    frames = [frame.lineno for frame in _frames(error) if frame.filename == str(file)]
    line = inside[-1] if inside else frames[-1] if frames else None
    undefined = _UNDEFINED.search(text)
    if undefined is not None and not isinstance(error, NameError):  # numba tells where the kernel begins
        line = next((node.lineno for node in _names_in(file) if node.id == undefined[1] and node.lineno >= (line or 0)), line)
    if isinstance(error, SyntaxError) and error.filename == str(file):
        line = error.lineno
    return f" at line {line}" if line is not None else ""


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    return list(traceback.extract_tb(error.__traceback__))


def _plain(text: str) -> str:
    """A text without the colours of a terminal."""
    return re.sub(r"\x1b\[\d+m", "", text)


def _names_in(file: Path) -> list[ast.Name]:
    """Names that a file uses, line by line."""
    return sorted((node for node in ast.walk(ast.parse(file.read_bytes())) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)), key=lambda node: node.lineno)


def _defined(file: Path) -> set[str]:
    """Names that a file defines anywhere."""
    found = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).split(".")[0])
    return found

"""Reading scenario files: TOML, ``extends``, overrides, and where each key came from."""

from __future__ import annotations

import re
import tomllib
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from bidsim.core.errors import Problem, ScenarioError, shown
from bidsim.scenario.choices import KEY_OF
from bidsim.scenario.formats import other_format
from bidsim.scenario.locate import Path as KeyPath
from bidsim.scenario.locate import locate_keys
from bidsim.scenario.shapes import check_name
from bidsim.scenario.shipped import meant_name, shipped

_CHOICE_KEYS = ("name", "kind")
_MOST_BYTES = 20_000_000
_LONGEST_NAME = 60
_LONGEST_CHAIN = 20
_DEEPEST = 16
TABLES = "the dictionary"
"""What stands for the file where a scenario is given as tables."""


class OptionKey(str):
    """A dotted key that was given with an option of the command line, which errors then name.

    Attributes:
        option: Such as ``--set``.

    """

    __slots__ = ("option",)
    option: str

    def __new__(cls, key: str, option: str) -> Self:
        """Name the option."""
        made = super().__new__(cls, key)
        made.option = option
        return made


@dataclass
class Source:
    """What was typed, merged, with the place of every key.

    Attributes:
        file: The scenario file as the person named it.
        data: The merged tables.
        places: For each key path, (file or override's text, line).
        home: Where paths are looked for; by default beside the file.

    """

    file: str
    data: dict[str, Any]
    places: dict[KeyPath, tuple[str, int]] = field(default_factory=dict)
    home: Path | None = None

    @property
    def folder(self) -> Path:
        """Where the scenario file lies."""
        return self.home or Path(self.file).resolve().parent

    def problem(self, path: KeyPath, message: str) -> Problem:
        """Make a problem at the nearest known place of ``path``."""
        for depth in range(len(path), 0, -1):
            if path[:depth] in self.places:
                file, line = self.places[path[:depth]]
                return Problem(file, line, dotted(path), message)
        return Problem(self.file, 0 if self.file == TABLES else 1, dotted(path), message)


def dotted(path: KeyPath) -> str:
    """Write a key path as a person would type it."""
    return ".".join(_quoted(str(part)) if isinstance(part, str) else str(part) for part in path)


def _quoted(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return name
    shown = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 3] + "..."
    return '"' + shown.encode("unicode_escape").decode().replace('"', '\\"') + '"'


def read_source(path: Path, overrides: dict[str, Any] | None = None) -> Source:
    """Read a scenario file, the files it extends, and overrides on top.

    Args:
        path: The scenario file.
        overrides: Dotted keys with values; an `OptionKey` says where it was typed.

    Raises:
        ScenarioError: A file cannot be read or is not TOML, ``extends`` runs in a loop, or an override does not fit.

    """
    return _overridden(_read_chain(path, ()), overrides)


def _overridden(source: Source, overrides: dict[str, Any] | None) -> Source:
    problems = []
    for key, value in (overrides or {}).items():
        try:
            _override(source, key, value)
        except ValueError as error:
            problems.append(Problem(_override_text(key, value), 0, "", str(error)))
    if problems:
        raise ScenarioError(problems)
    return source


def parse_override(text: str, option: str) -> tuple[OptionKey, Any]:
    """Split ``key=value`` of an option; the value is TOML, or plain text where it is not.

    Raises:
        ScenarioError: There is no ``=``.

    """
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise ScenarioError(
            [Problem(f"{option} {text}", 0, "", f"write key=value, such as {option} campaigns.my-campaign.budget=500")]
        )
    try:
        parsed = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):
        return OptionKey(key.strip(), option), value.strip()
    return OptionKey(key.strip(), option), parsed["value"] if len(parsed) == 1 else value.strip()


def _override_text(key: str, value: Any) -> str:
    return (
        f"{key.option if isinstance(key, OptionKey) else 'overrides:'} "
        f"{key}={value if isinstance(value, str) else shown(value)}"
    )


def _fail(file: str, line: int, field_: str, message: str) -> ScenarioError:
    return ScenarioError([Problem(file, line, field_, message)])


def _read_text(path: Path) -> str:
    name = str(path)
    try:
        if path.is_dir():
            raise _fail(name, 0, "", "is a directory; name a scenario file, such as scenarios/quickstart.toml")
        if path.exists() and not path.is_file():
            raise _fail(name, 0, "", "is not a regular file; name a scenario file, such as scenarios/quickstart.toml")
        if path.stat().st_size > _MOST_BYTES:
            raise _fail(name, 0, "", f"is larger than {_MOST_BYTES // 1_000_000} MB; is it a scenario?")
        content = path.read_bytes()
    except FileNotFoundError:
        raise _fail(name, 0, "", f"no such file{meant_name(name)}") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise _fail(name, 0, "", f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise _fail(
            name, line, "", f"is not UTF-8 text: byte 0x{content[error.start]:02x} at column {column}; save it as UTF-8"
        ) from None


def _parse(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    text = _read_text(path)
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        where = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        at_end = "end of document" in str(error)
        line = int(where[1]) if where else text.count("\n") + 1 if at_end else 1
        message = (
            re.sub(r"\s*\(at .*\)$", "", str(error))
            if not isinstance(error, RecursionError)
            else "tables nested too deeply"
        )
        what = other_format(text, path.name) or f"{message}{_duplicate(text, line, message)}"
        raise _fail(str(path), line, "", f"not valid TOML: {what}") from None
    return data, locate_keys(text)


def _duplicate(text: str, line: int, message: str) -> str:
    if "overwrite" in message or "twice" in message or "already" in message:
        shown = text.splitlines()[line - 1 : line]
        return f"; {shown[0].strip()!r} is there twice" if shown else ""
    return ""


def _read_chain(path: Path, seen: tuple[Path, ...]) -> Source:
    data, lines = _parse(path)
    return _on_base(Source(str(path), data, {key: (str(path), line) for key, line in lines.items()}), path, seen)


def source_of(data: dict[str, Any], folder: Path, overrides: dict[str, Any] | None = None) -> Source:
    """What is given as tables instead of a file, on what they extend.

    Args:
        data: The tables; they are not changed.
        folder: Where ``extends`` looks for files.
        overrides: Dotted keys with values.

    Raises:
        ScenarioError: ``extends`` cannot be followed, or an override does not fit.

    """
    typed = deepcopy(data)
    source = _on_base(Source(TABLES, typed, _everywhere(typed)), folder / TABLES, ())
    source.file, source.home = TABLES, folder
    return _overridden(source, overrides)


def _everywhere(data: dict[str, Any], path: KeyPath = ()) -> dict[KeyPath, tuple[str, int]]:
    """Places of all keys of tables that no file holds."""
    found: dict[KeyPath, tuple[str, int]] = {}
    for key, value in data.items():
        found[*path, key] = (TABLES, 0)
        if isinstance(value, dict) and len(path) < _DEEPEST:
            found |= _everywhere(value, (*path, key))
    return found


def _on_base(source: Source, path: Path, seen: tuple[Path, ...]) -> Source:
    """Lay a source over what it extends, if it does."""
    data, line = source.data, source.places.get(("extends",), ("", 0))[1]
    base = data.pop("extends", None)
    if base is None:
        return source
    if not isinstance(base, str) or not base:
        raise _fail(source.file, line, "extends", f"{shown(base)} is not a file name")
    target = path.parent / base
    try:
        target = target if target.is_file() else shipped(base) or target
        resolved, there = target.resolve(), target.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise _fail(
            source.file, line, "extends", f"{shown(base)} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from None
    if resolved == path.resolve() or resolved in seen:
        raise _fail(source.file, line, "extends", f"{shown(base)} extends this file in turn: a loop")
    if not there:
        raise _fail(
            source.file, line, "extends", f"{shown(base)}{_no_base(target, source.file, path)}{meant_name(base)}"
        )
    if len(seen) >= _LONGEST_CHAIN:
        raise _fail(source.file, line, "extends", f"the chain of files is longer than {_LONGEST_CHAIN}")
    below = _read_chain(target, (*seen, path.resolve()))
    below.file = str(path)
    _merge(below, data, source.places, ())
    return below


def _no_base(target: Path, file: str, path: Path) -> str:
    """What to say of a base that is no file."""
    if target.is_dir():
        return " is a directory; name a scenario file"
    if target.exists():
        return " is not a regular file; name a scenario file"
    return f": no such file in {path.parent}" if file == TABLES else f": no such file beside {path.name}"


def _merge(below: Source, table: dict[str, Any], places: dict[KeyPath, tuple[str, int]], prefix: KeyPath) -> None:
    """Lay ``table`` over what is below: tables are merged, all else is replaced; a plug-in is replaced whole."""
    target = below.data
    for part in prefix:
        target = target[str(part)]
    for key, value in table.items():
        path = (*prefix, key)
        old = target.get(key)
        chooses = (
            isinstance(value, dict)
            and isinstance(old, dict)
            and any(k in value and k in old and value[k] != old[k] for k in _CHOICE_KEYS)
        )
        if isinstance(value, dict) and isinstance(old, dict) and not chooses:
            _merge(below, value, places, path)
        else:
            target[key] = value
            for known in [k for k in below.places if k[: len(path)] == path]:
                del below.places[known]
        below.places.update({k: v for k, v in places.items() if k[: len(path)] == path})


def _split_key(key: str) -> list[str]:
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"|([^."]+)', key)
    names = [a or b for a, b in parts]
    if not names or ".".join(f'"{a}"' if a else b for a, b in parts) != key:
        raise ValueError(f"{key!r} is not a dotted key, such as campaigns.my-campaign.budget")
    return names


def _override(source: Source, key: str, value: Any) -> None:
    names = _split_key(key)
    check_name(names, source.data)
    table: Any = source.data
    for name in names[:-1]:
        if isinstance(table, dict) and isinstance(table.get(name), str):
            table[name] = {KEY_OF.get(name, "name"): table[name]}
        table = table.setdefault(name, {}) if isinstance(table, dict) else None
        if not isinstance(table, dict):
            raise ValueError(f"{name!r} is not a table, so it has no key {names[-1]!r}")
    table[names[-1]] = value
    path = tuple(names)
    for known in [k for k in source.places if k[: len(path)] == path]:
        del source.places[known]
    for depth in range(1, len(path)):
        source.places.setdefault(path[:depth], (_override_text(key, value), 0))
    source.places[path] = (_override_text(key, value), 0)

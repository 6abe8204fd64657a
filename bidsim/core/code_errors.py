"""What is wrong with a Python file beside a scenario, and at which line.

It is told in the words of its author and not in numba's.
"""

from __future__ import annotations

import ast
import importlib
import re
import traceback
from pathlib import Path

from bidsim.core.errors import cut, did_you_mean

_LONGEST_REASON = 200
_UNDEFINED = re.compile(r"[Nn]ame '(\w+)' is not defined")


def why(error: BaseException, file: Path) -> str:
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
        elsewhere = "".join(
            f" ({Path(frame.filename).name}, line {frame.lineno})" for frame in other if frame.filename != str(file)
        )
        return (
            f"name {undefined[1]!r} is not "
            f"defined{elsewhere or did_you_mean(undefined[1], _defined(file) - {undefined[1]})}"
        )
    if isinstance(error, SyntaxError) and error.filename != str(file):
        first += f" ({Path(str(error.filename)).name}, line {error.lineno})"
    signature = next((line.removeprefix(">>> ") for line in lines if line.startswith(">>> ")), "")
    return cut(f"{type(error).__name__}: {first} {signature}".rstrip(), _LONGEST_REASON)


def line_in(error: BaseException, folder: Path) -> str:
    """The last line of a file in a folder through which an error came, where that is known.

    Compiled code tells the place that its file had when it was compiled, which may be another with the same text; so
    the name decides.
    """
    package = Path(__file__).resolve().parent.parent
    own = [
        frame
        for frame in _frames(error)
        if (folder / Path(frame.filename).name).is_file() and package not in Path(frame.filename).parents
    ]
    return f" at {Path(own[-1].filename).name}, line {own[-1].lineno}" if own else ""


def where(error: BaseException, file: Path) -> str:
    """Line of the file in which it went wrong, where that is known."""
    text = _plain(str(error))
    inside = [int(line) for line in re.findall(rf'File "(?:[^"]*/)?{re.escape(file.name)}", line (\d+)', text)]
    frames = [frame.lineno for frame in _frames(error) if frame.filename == str(file)]
    line = inside[-1] if inside else frames[-1] if frames else None
    undefined = _UNDEFINED.search(text)
    if undefined is not None and not isinstance(error, NameError):  # numba tells where the kernel begins
        line = next(
            (node.lineno for node in _names_in(file) if node.id == undefined[1] and node.lineno >= (line or 0)), line
        )
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
    return sorted(
        (
            node
            for node in ast.walk(ast.parse(file.read_bytes()))
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        ),
        key=lambda node: node.lineno,
    )


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

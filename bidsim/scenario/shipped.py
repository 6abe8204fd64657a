"""The scenarios that come with bidsim, by name."""

from __future__ import annotations

import re
from pathlib import Path

from bidsim.core.errors import UsageError, did_you_mean

_NAME = re.compile(r"[a-z0-9_-]{1,60}(/[a-z0-9_-]{1,60})?")
_FOLDER = Path(__file__).resolve().parent.parent / "scenarios"


def scenario_folder() -> Path:
    """Folder of the scenarios that come with bidsim.

    Raises:
        UsageError: They were not installed.

    """
    if not _FOLDER.is_dir():
        raise UsageError(
            f"the scenarios that come with bidsim are not in {_FOLDER}; install bidsim anew, or name a scenario file"
        )
    return _FOLDER


def shipped_scenarios() -> dict[str, str]:
    """Name -> question, incidents last."""
    folder = scenario_folder()
    files = [*sorted(folder.glob("*.toml")), *sorted(folder.glob("*/*.toml"))]
    return {file.relative_to(folder).with_suffix("").as_posix(): question_of(file) for file in files}


def question_of(file: Path) -> str:
    """First line of a scenario, which is its question."""
    with file.open(encoding="utf-8") as lines:
        return lines.readline().removeprefix("#").strip()


def find_scenario(path: Path) -> Path:
    """File of a scenario: the path itself, or the scenario of that name that comes with bidsim.

    A file goes first.
    """
    try:
        there = path.is_file()
    except (OSError, ValueError):
        return path
    return path if there else shipped(path.as_posix()) or path


def shipped(name: str) -> Path | None:
    """File of the scenario of a name, such as ``quickstart`` or ``incidents/bots``; None where none has it."""
    file = _FOLDER / f"{name}.toml"
    return file if _NAME.fullmatch(name) and file.is_file() else None


def meant_name(text: str) -> str:
    """What to do about a file that is not there: the scenario that was meant, and where to look."""
    name = text.removeprefix("./").removeprefix("scenarios/").removesuffix(".toml")
    if not _FOLDER.is_dir() or not _NAME.fullmatch(name):
        return ""
    if shipped(name):
        return f"; write {name} for the scenario of that name that comes with bidsim"
    told = did_you_mean(name, shipped_scenarios())
    return told if "did you mean" in told else "; bidsim scenarios lists those that come with bidsim"

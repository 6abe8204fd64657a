"""`load_scenario`: from a file to a frozen `Scenario`, or to a list of everything that is wrong with it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bidsim.core.errors import ScenarioError
from bidsim.scenario.check import check_scenario
from bidsim.scenario.model import ScenarioSettings
from bidsim.scenario.names import check_names
from bidsim.scenario.problems import problems_of
from bidsim.scenario.shipped import find_scenario
from bidsim.scenario.sources import Source, read_source


@dataclass(frozen=True)
class Scenario:
    """A scenario that can be built.

    Attributes:
        settings: All keys, defaults filled in.
        folder: Where the file lies; paths and own plug-ins are looked for there.
        allow_code: Whether plug-ins from outside the package may be loaded.

    """

    settings: ScenarioSettings
    folder: Path
    allow_code: bool = False

    @property
    def name(self) -> str:
        """Name of the scenario."""
        return self.settings.name

    @property
    def beside(self) -> Path | None:
        """Where plug-ins from outside are looked for, None where they are not allowed."""
        return self.folder if self.allow_code else None

    def resolved(self) -> dict[str, Any]:
        """Every key with its value, as JSON can hold it."""
        return self.settings.model_dump(mode="json")

    def digest(self) -> str:
        """12 hex digits that change when any key changes, or the order of names.

        Levels and seats are counted by that order.
        """
        return hashlib.sha256(json.dumps(self.resolved()).encode()).hexdigest()[:12]


def load_scenario(path: str | Path, overrides: dict[str, Any] | None = None, *, allow_code: bool = False) -> Scenario:
    """Read and check a scenario file.

    Args:
        path: A TOML file, or the name of a scenario that comes with bidsim, such as ``quickstart``.
        overrides: Dotted keys laid over the file, such as ``{"seed": 7, "campaigns.a.budget": 500}``.
        allow_code: Whether to load plug-ins from Python files beside the scenario.

    Raises:
        ScenarioError: With every mistake that was found, each with file, line and key.

    """
    file = find_scenario(Path(path))
    return _checked(read_source(file, overrides), file.resolve().parent, allow_code)


def scenario_of(data: dict[str, Any], folder: Path | None = None) -> Scenario:
    """Check a scenario given as tables, as TOML would have been read.

    Args:
        data: The tables.
        folder: Where paths are looked for; by default the working directory.

    Raises:
        ScenarioError: As `load_scenario`, without lines.

    """
    folder = folder or Path.cwd()
    return _checked(Source(str(folder / "scenario"), data), folder, allow_code=False)


def _checked(source: Source, folder: Path, allow_code: bool) -> Scenario:
    beside = folder if allow_code else None
    try:
        settings = ScenarioSettings.model_validate(source.data)
    except ValidationError as error:
        raise ScenarioError([*problems_of(error, source, ScenarioSettings), *check_names(source, beside)]) from None
    problems = check_scenario(settings, source, beside)
    if problems:
        raise ScenarioError(problems)
    return Scenario(settings, folder, allow_code)

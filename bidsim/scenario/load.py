"""`load_scenario`: from a file to a frozen `Scenario`, or to a list of everything that is wrong with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bidsim.core.errors import ScenarioError, UsageError, shown
from bidsim.scenario.check import check_scenario
from bidsim.scenario.model import ScenarioSettings
from bidsim.scenario.names import check_names
from bidsim.scenario.problems import problems_of
from bidsim.scenario.shipped import find_scenario
from bidsim.scenario.sources import Source, read_source, source_of

_KNOWN = "the name of one that comes with bidsim, such as 'quickstart', the path of a TOML file, or a dictionary"


@dataclass(frozen=True)
class Scenario:
    """A scenario that can be built.

    Attributes:
        settings: All keys, defaults filled in.
        folder: Where the file lies; paths and own plug-ins are looked for there.
        allow_code: Whether plug-ins from outside the package may be loaded.

    Example:
        >>> import bidsim
        >>> scenario = bidsim.load_scenario("second_price_truthful", {"seed": 7})
        >>> scenario.resolved()["seed"], len(scenario.digest())
        (7, 12)

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


def load_scenario(
    path: str | Path | dict[str, Any], overrides: dict[str, Any] | None = None, *, allow_code: bool = False
) -> Scenario:
    """Read and check a scenario.

    Args:
        path: A TOML file; or the name of a scenario that comes with bidsim, such as ``quickstart``; or its tables as a
            dictionary, whose paths begin in the working directory.
        overrides: Dotted keys laid over the file, such as ``{"seed": 7, "campaigns.a.budget": 500}``.
        allow_code: Whether to load plug-ins from Python files beside the scenario.

    Raises:
        ScenarioError: With every mistake that was found, each with file, line and key.
        UsageError: What was given is none of these.

    Example:
        >>> import bidsim
        >>> scenario = bidsim.load_scenario("second_price_truthful", {"seed": 7, "requests": 2_000})
        >>> scenario.name, scenario.settings.seed
        ('second_price_truthful', 7)
        >>> bidsim.load_scenario({"extends": "second_price_truthful", "seed": 8}).settings.seed
        8
        >>> bidsim.load_scenario("second_price_truthful", {"seed": -1})
        Traceback (most recent call last):
        bidsim.core.errors.ScenarioError: overrides: seed=-1: seed: input should be greater than or equal to 0, not -1

    """
    if isinstance(overrides, Mapping):
        overrides = dict(overrides)
    if overrides is not None and not (isinstance(overrides, dict) and all(isinstance(key, str) for key in overrides)):
        raise UsageError(
            f"overrides: {shown(overrides)} is not a dictionary of dotted keys, such as {{'campaigns.a.budget': 500}}"
        )
    if isinstance(path, Mapping):
        folder = Path.cwd()
        return _checked(source_of(_tables(path), folder, overrides), folder, allow_code)
    if path == "" or not isinstance(path, str | PathLike):
        raise UsageError(f"a scenario is {_KNOWN}, not {shown(path)}")
    file = find_scenario(Path(path))
    return _checked(read_source(file, overrides), file.resolve().parent, allow_code)


def scenario_given(given: Any) -> Scenario:
    """A scenario that was loaded, or what `load_scenario` makes of anything else.

    Raises:
        ScenarioError: It has mistakes.
        UsageError: It is neither.

    """
    return given if isinstance(given, Scenario) else load_scenario(given)


def scenario_of(data: dict[str, Any], folder: Path | None = None) -> Scenario:
    """Check a scenario given as tables, as TOML would have been read.

    Args:
        data: The tables.
        folder: Where paths are looked for; by default the working directory.

    Raises:
        ScenarioError: As `load_scenario`, without lines.

    Example:
        >>> from bidsim.scenario.load import scenario_of
        >>> world = {"name": "mine", "duration": "1d", "requests": 500, "values": {"kind": "independent"}}
        >>> scenario_of({**world, "campaigns": {"a": {"budget": 5.0}}}).name
        'mine'

    """
    folder = folder or Path.cwd()
    return _checked(source_of(data, folder), folder, allow_code=False)


def _tables(given: Mapping[str, Any]) -> dict[str, Any]:
    wrong = next((key for key in given if not isinstance(key, str)), None)
    if wrong is not None:
        raise UsageError(f"a scenario's keys are text, not {shown(wrong)}")
    return dict(given)


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

"""bidsim: a real-time ad bidding simulator whose explanations, alarms and policies are graded against the truth."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bidsim.version import VERSION

if TYPE_CHECKING:
    from bidsim.core.errors import BidsimError, ScenarioError
    from bidsim.core.result import Result, load_result
    from bidsim.experiments.run import run
    from bidsim.experiments.simulation import Simulation
    from bidsim.explain.notebook import explain_result
    from bidsim.scenario.load import Scenario, load_scenario

__version__ = VERSION

__all__ = [
    "BidsimError",
    "Result",
    "Scenario",
    "ScenarioError",
    "Simulation",
    "__version__",
    "explain_result",
    "load_result",
    "load_scenario",
    "run",
]

_HOMES = {
    "BidsimError": "bidsim.core.errors",
    "Result": "bidsim.core.result",
    "Scenario": "bidsim.scenario.load",
    "ScenarioError": "bidsim.core.errors",
    "Simulation": "bidsim.experiments.simulation",
    "explain_result": "bidsim.explain.notebook",
    "load_result": "bidsim.core.result",
    "load_scenario": "bidsim.scenario.load",
    "run": "bidsim.experiments.run",
}
_RESULTS = ("Result", "load_result", "run")
"""Names through which a person comes by a result."""


def __dir__() -> list[str]:
    """Public names, which completion shows before any of them is imported."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for, so that ``import bidsim`` is quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bidsim' has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOMES[name]), name)
    if name in _RESULTS:
        importlib.import_module(_HOMES["Result"]).Result.explainer = staticmethod(_explain)
    return found


def _explain(*given: Any, **how: Any) -> Any:
    """Explain a result, wherever that is done."""
    return importlib.import_module(_HOMES["explain_result"]).explain_result(*given, **how)

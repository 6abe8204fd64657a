"""`Simulation`: a run that is stepped by hand, copied, put back, and goes on after it was killed."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import time
from dataclasses import replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsim.core.errors import UsageError
from bidsim.core.result import Result
from bidsim.cvr.files import model_files
from bidsim.engine.deadline import DECISION, STAGES, stage_nanoseconds
from bidsim.engine.snapshot import Snapshot, load_snapshot
from bidsim.metrics.latency import stage_times
from bidsim.metrics.summary import summarize
from bidsim.scenario.build import build
from bidsim.scenario.learned import learned_table
from bidsim.scenario.load import scenario_given
from bidsim.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from bidsim.scenario.load import Scenario

_PACKAGES = ("numpy", "numba", "lightgbm", "pandas", "pyarrow")


class Simulation:
    """A scenario as a world that can be stepped: `reset`, `step`, `finish`.

    How far each step goes changes nothing: a run is one step to the end.

    Args:
        scenario: What `load_scenario` returned, or what it takes: a name, a path or a dictionary.
        chunk: Requests generated at a time; the result does not depend on it.
        progress: Called with (stage, done since the last call, total) while models are trained.

    Raises:
        BidsimError: A model cannot be trained or loaded.

    Example:
        >>> import bidsim
        >>> scenario = bidsim.load_scenario("second_price_truthful", {"requests": 2_000})
        >>> simulation = bidsim.Simulation(scenario)
        >>> simulation.step(requests=500)
        500
        >>> checkpoint = simulation.snapshot()
        >>> rest = simulation.step(until="7d")
        >>> first = simulation.finish().summary["market"]["revenue"]
        >>> simulation.restore(checkpoint)
        >>> simulation.done, simulation.finish().summary["market"]["revenue"] == first
        (500, True)

    """

    def __init__(
        self,
        scenario: Scenario | str | Path | dict[str, Any],
        *,
        chunk: int | None = None,
        progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
    ) -> None:
        self._begun = time.perf_counter()
        self.scenario = scenario_given(scenario)
        self._chunk = chunk
        self._engine, self._models = build(self.scenario, progress=progress)
        self._ready()

    def _ready(self) -> None:
        if self._chunk is not None:
            self._engine.chunk = self._chunk
        self._engine.begin()
        self._engine.seconds["loop"] = 0.0

    @property
    def total(self) -> int:
        """Requests of the whole run."""
        return self._engine.total

    @property
    def done(self) -> int:
        """Requests simulated so far."""
        return self._engine.done

    def reset(self, seed: int | None = None) -> None:
        """Go back to the beginning, of this world or of another.

        Args:
            seed: Seed of the world; by default the one that it has. Another seed is another world, with the models
                that are there: they are not trained anew.

        """
        if seed is None or seed == self.scenario.settings.seed:
            self._engine.restore()
        else:
            self._engine.close()
            self.scenario = replace(self.scenario, settings=self.scenario.settings.model_copy(update={"seed": seed}))
            self._engine, self._models = build(self.scenario, models=self._models)
            self._ready()
        self._engine.seconds["loop"] = 0.0

    def step(self, requests: int | None = None, *, until: str | int | None = None) -> int:
        """Simulate the next requests; return how many there were, fewer than asked for where the run ends.

        Args:
            requests: How many, at most.
            until: Up to which moment, as a duration such as ``"36h"`` or in microseconds, with no request at or after
            it.

        Raises:
            UsageError: Neither or both were given, or one cannot be.
            BidsimError: The auction format sold a position as none may, or sums of money grow too large.

        """
        if (requests is None) == (until is None):
            raise UsageError("step() takes either requests or until, such as step(requests=1000) or step(until='36h')")
        begun = time.perf_counter()
        if requests is None:
            requests = self._engine.until(_moment(until))
        elif requests < 0:
            raise UsageError(f"step(requests={requests}) goes backwards; restore() a snapshot instead")
        made = self._engine.step(requests)
        self._engine.seconds["loop"] += time.perf_counter() - begun
        return made

    def finish(self) -> Result:
        """Run to the end, let late notices and conversions come in, and return the result.

        The simulation stands behind its end afterwards; `reset` or `restore` it to step it again.
        """
        begun = time.perf_counter()
        tables = self._engine.finish()
        self._engine.seconds["loop"] += time.perf_counter() - begun
        result = Result(self._manifest(), tables, models=self._texts())
        result.tables["learned"] = learned_table(self._engine.state.bidder, self.scenario)
        result.summary = summarize(result)
        return result

    def look(self) -> Result:
        """What the run has come to so far; only what observers count is whole."""
        return Result({"scenario": self.scenario.resolved(), **self._engine.facts()}, self._engine.look())

    def snapshot(self) -> Snapshot:
        """Copy the state between two requests, for `restore` or `save`."""
        return self._engine.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Go to where a snapshot of this simulation was taken.

        Raises:
            BidsimError: It is of another world.

        """
        self._engine.restore(snapshot)

    def save(self, path: str | Path) -> None:
        """Write the state to a file, whole or not at all, for `load` in another process.

        Raises:
            UsageError: The file cannot be written.

        """
        self.snapshot().save(path, self.world())

    def load(self, path: str | Path) -> None:
        """Go to where `save` was called, perhaps in another process.

        Raises:
            BidsimError: There is no such file, it is damaged, or it is of another scenario, seed or version.

        """
        self.restore(load_snapshot(path, self.world()))

    def world(self) -> str:
        """Digest of all that results depend on but the code: the scenario with its seed, and the models."""
        models = {seat: {name: str(text) for name, text in files.items()} for seat, files in self._texts().items()}
        told = json.dumps([self.scenario.digest(), models], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def _manifest(self) -> dict[str, Any]:
        engine, models = self._engine, self._models
        seconds = {**engine.seconds, "total": time.perf_counter() - self._begun}
        return {
            "scenario": self.scenario.resolved(),
            "scenario_hash": self.scenario.digest(),
            "evaluation": models.evaluation,
            **({"warnings": {"models": models.outside}} if models.outside else {}),
            "scorers": {
                seat: model.kind.describe(model.tables) for seat, model in zip(models.seats, models.fitted, strict=True)
            },
            "reproducible": engine.state.world.rules.measured == 0,
            **engine.facts(),
            **_circumstances(),
            "seconds": {stage: round(s, 3) for stage, s in seconds.items()},
            "requests_per_second": round(engine.total / max(engine.seconds["loop"], 1e-9)),
            "stage_nanoseconds": stage_times(stage_nanoseconds(engine.state), STAGES, DECISION),
        }

    def _texts(self) -> dict[str, Any]:
        models = self._models
        return {
            seat: model_files(model)
            for seat, model in zip(models.seats, models.fitted, strict=True)
            if model.kind.trains
        }


def _moment(until: str | int | None) -> int:
    from bidsim.core.units import parse_duration  # noqa: PLC0415

    try:
        return until if isinstance(until, int) else parse_duration(str(until))
    except ValueError as error:
        raise UsageError(f"step(until=...): {error}") from None


@cache
def _circumstances() -> dict[str, Any]:
    """Versions and machine; nothing that results depend on but the code."""
    return {
        "versions": {
            "bidsim": VERSION,
            "python": platform.python_version(),
            **{p: metadata.version(p) for p in _PACKAGES},
        },
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "python": platform.python_implementation(),
        },
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    """Commit of the checkout that this package lies in; None for an installed package."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607  (whichever git the path finds)
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()

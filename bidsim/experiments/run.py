"""`run`: one scenario, one world, one `Result`."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsim.core.code_errors import line_in
from bidsim.core.errors import BidsimError
from bidsim.core.result import Result
from bidsim.cvr.files import model_files
from bidsim.engine.deadline import DECISION, STAGES, stage_nanoseconds
from bidsim.metrics.latency import stage_times
from bidsim.metrics.summary import summarize
from bidsim.scenario.build import build
from bidsim.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bidsim.scenario.load import Scenario
    from bidsim.scenario.models import SeatModels

_PACKAGES = ("numpy", "numba", "lightgbm", "pandas", "pyarrow")


def run(
    scenario: Scenario,
    *,
    progress: Callable[[str, int, int], None] | None = None,
    chunk: int | None = None,
    look: Callable[[int, Callable[[], Result]], None] | None = None,
) -> Result:
    """Run a scenario.

    Args:
        scenario: What `load_scenario` returned.
        progress: Called with (stage, done since last call, total of the stage); by default a bar on a terminal and
            nothing elsewhere.
        chunk: Requests generated at a time; the result does not depend on it.
        look: Called after each chunk with the requests done, and with a function that gives what the run has come to so
            far.

    Raises:
        BidsimError: A model cannot be trained or loaded, or memory runs out.

    """
    if progress is None:
        from bidsim.progress import terminal_progress  # noqa: PLC0415  (rich is needed on terminals only)

        with terminal_progress() as shown:
            return run(scenario, progress=shown, chunk=chunk, look=look)
    if not scenario.allow_code:
        return _run_within_memory(scenario, progress, chunk, look)
    try:
        with _kernels_that_raise() as raised:
            result = _run_within_memory(scenario, progress, chunk, look)
    except (BidsimError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise _plugin_failed(error, scenario.folder) from error
    if raised:
        raise _plugin_failed(raised[0], scenario.folder) from raised[0]
    return result


@contextmanager
def _kernels_that_raise() -> Iterator[list[BaseException]]:
    """Exceptions of kernels that are called by their addresses: Python can only hand them to `sys.unraisablehook`."""
    raised: list[BaseException] = []
    hook = sys.unraisablehook
    sys.unraisablehook = lambda told: raised.append(told.exc_value or RuntimeError("unknown"))
    try:
        yield raised
    finally:
        sys.unraisablehook = hook


def _plugin_failed(error: BaseException, folder: Path) -> BidsimError:
    return BidsimError(
        f"a plug-in from outside the package failed{line_in(error, folder)}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    )


def _run_within_memory(
    scenario: Scenario, progress: Callable[[str, int, int], None], chunk: int | None, look: Any
) -> Result:
    try:
        return _run(scenario, progress, chunk, look)
    except MemoryError:
        raise BidsimError(
            f"out of memory while running {scenario.name}; lower traffic.users, log.wins or log.decisions"
        ) from None


def _run(scenario: Scenario, progress: Callable[[str, int, int], None], chunk: int | None, look: Any) -> Result:
    begun = time.perf_counter()
    engine, models = build(scenario, progress=progress)
    if chunk is not None:
        engine.chunk = chunk
    total = engine.total

    engine.begin()
    looped = time.perf_counter()
    while done := engine.step(engine.chunk):
        progress("auctions", done, total)
        if look is not None:
            facts = {"scenario": scenario.resolved(), **engine.facts()}
            look(engine.done, lambda: Result(facts, engine.look()))
    tables = engine.finish()
    engine.seconds["loop"] = time.perf_counter() - looped
    seconds = {**engine.seconds, "total": time.perf_counter() - begun}
    manifest = {
        "scenario": scenario.resolved(),
        "scenario_hash": scenario.digest(),
        "evaluation": models.evaluation,
        "scorers": {
            seat: model.kind.describe(model.tables) for seat, model in zip(models.seats, models.fitted, strict=True)
        },
        "reproducible": engine.state.world.rules.measured == 0,
        **engine.facts(),
        **_circumstances(),
        "seconds": {stage: round(s, 3) for stage, s in seconds.items()},
        "requests_per_second": round(total / max(engine.seconds["loop"], 1e-9)),
        "stage_nanoseconds": stage_times(stage_nanoseconds(engine.state), STAGES, DECISION),
    }
    result = Result(manifest, tables, models=_model_texts(models))
    result.summary = summarize(result)
    return result


def _model_texts(models: SeatModels) -> dict[str, Any]:
    return {
        seat: model_files(model) for seat, model in zip(models.seats, models.fitted, strict=True) if model.kind.trains
    }


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
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()

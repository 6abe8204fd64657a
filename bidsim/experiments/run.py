"""`run`: one scenario, one world, one `Result`."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bidsim.core.code_errors import line_in
from bidsim.core.errors import BidsimError
from bidsim.engine.engine import CHUNK
from bidsim.experiments.simulation import Simulation
from bidsim.scenario.load import scenario_given

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bidsim.core.result import Result
    from bidsim.scenario.load import Scenario

_BETWEEN = 16_384
"""Requests between two moments at which a snapshot may be taken."""


def run(
    scenario: Scenario | str | Path | dict[str, Any],
    *,
    progress: Callable[[str, int, int], None] | None = None,
    chunk: int | None = None,
    look: Callable[[int, Callable[[], Result]], None] | None = None,
    keep: Kept | None = None,
) -> Result:
    """Run a scenario.

    Args:
        scenario: What `load_scenario` returned, or what it takes: a name, a path or a dictionary.
        progress: Called with (stage, done since last call, total of the stage); by default a bar on a terminal and
            nothing elsewhere.
        chunk: Requests generated at a time; the result does not depend on it.
        look: Called after each chunk with the requests done, and with a function that gives what the run has come to so
            far.
        keep: Snapshots to take on the way, and to go on from.

    Raises:
        BidsimError: The scenario has mistakes, a model cannot be trained or loaded, or memory runs out.

    Example:
        >>> import bidsim
        >>> result = bidsim.run({"extends": "second_price_truthful", "requests": 2_000})
        >>> result.summary["scenario"], result.manifest["requests"] > 1_000
        ('second_price_truthful', True)

    """
    scenario = scenario_given(scenario)
    if progress is None:
        from bidsim.progress import terminal_progress  # noqa: PLC0415  (rich is needed on terminals only)

        with terminal_progress() as shown:
            return run(scenario, progress=shown, chunk=chunk, look=look, keep=keep)
    if not scenario.allow_code:
        return _run_within_memory(scenario, progress, chunk, look, keep)
    try:
        with _kernels_that_raise() as raised:
            result = _run_within_memory(scenario, progress, chunk, look, keep)
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
        f"a plug-in from outside the package failed{line_in(error, folder)}: {type(error).__name__}: "
        f"{' '.join(str(error).split())[:300]}"
    )


def _run_within_memory(
    scenario: Scenario, progress: Callable[[str, int, int], None], chunk: int | None, look: Any, keep: Kept | None
) -> Result:
    try:
        return _run(scenario, progress, chunk, look, keep)
    except MemoryError:
        raise BidsimError(
            f"out of memory while running {scenario.name}; lower traffic.users, log.wins or log.decisions"
        ) from None


def _run(
    scenario: Scenario, progress: Callable[[str, int, int], None], chunk: int | None, look: Any, keep: Kept | None
) -> Result:
    simulation = Simulation(scenario, chunk=chunk, progress=progress)
    if keep is not None:
        keep.begin(simulation)
        progress("auctions", simulation.done, simulation.total)
    stride = chunk or (CHUNK if keep is None else _BETWEEN)
    while done := simulation.step(stride):
        progress("auctions", done, simulation.total)
        if keep is not None:
            keep.note(simulation)
        if look is not None:
            look(simulation.done, simulation.look)
    return simulation.finish()


class Kept:
    """Snapshots of a run, so that it goes on where it was killed.

    Args:
        path: The file that holds the latest one.
        every: Seconds between two.
        resume: Whether to go on from what is there.

    """

    def __init__(self, path: Path, every: float, *, resume: bool) -> None:
        self.path, self.every, self.resume = path, every, resume
        self._next = 0.0

    def begin(self, simulation: Simulation) -> None:
        """Go on from the latest snapshot, where there is one and that is wanted."""
        if self.resume and self.path.exists():
            simulation.load(self.path)
        self._next = time.monotonic() + self.every

    def note(self, simulation: Simulation) -> None:
        """Take a snapshot, if it is time."""
        if time.monotonic() >= self._next and simulation.done < simulation.total:
            simulation.save(self.path)
            self._next = time.monotonic() + self.every

    def end(self) -> None:
        """Remove the snapshot of a run that is whole."""
        self.path.unlink(missing_ok=True)

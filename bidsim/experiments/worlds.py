"""Many worlds on all cores, on models that are trained once and shared."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bidsim.core.errors import BidsimError
from bidsim.core.result import model_folders
from bidsim.cvr.files import model_files
from bidsim.interrupt import whole
from bidsim.scenario.build import build
from bidsim.scenario.model import ScenarioSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bidsim.scenario.load import Scenario

T = TypeVar("T")
_TRIES = 3
MOST_REPLICATIONS = 1_000_000
_UNTRAINED = (
    "name",
    "seed",
    "requests",
    "count",
    "duration",
    "auction",
    "market",
    "deadline",
    "holdout",
    "exploration",
    "incidents",
    "monitoring",
    "log",
    "episode",
)
"""Keys that no model's training depends on."""
_OF_A_CAMPAIGN = ("advertiser", "product", "levers", "seat")
_OF_A_SEAT = ("model", "users")


def run_all(
    measure: Callable[..., T],
    jobs: Sequence[tuple[Any, ...]],
    workers: int | None,
    progress: Callable[[str, int, int], None],
) -> list[T]:
    """Call ``measure`` with each job's arguments, on all cores; jobs whose worker was killed are run again.

    Args:
        measure: A function that a fresh process can import.
        jobs: Its arguments, job by job.
        workers: Processes; by default one for each core.
        progress: Called with ("replications", 1, jobs in all) after each.

    Raises:
        BidsimError: Workers keep dying.

    """
    done: dict[int, T] = {}
    count = min(workers or os.cpu_count() or 1, len(jobs))
    if count == 1:
        for k, job in enumerate(jobs):
            done[k] = measure(*job)
            progress("replications", 1, len(jobs))
        return [done[k] for k in range(len(jobs))]
    for _ in range(_TRIES):
        missing = [k for k in range(len(jobs)) if k not in done]
        try:
            with worker_pool(min(count, len(missing))) as pool:
                for k, future in {k: pool.submit(measure, *jobs[k]) for k in missing}.items():
                    done[k] = future.result()
                    progress("replications", 1, len(jobs))
            return [done[k] for k in range(len(jobs))]
        except BrokenProcessPool:
            continue
    raise BidsimError(
        f"worker processes were killed {_TRIES} times, most likely for want of memory; run again with one worker "
        "(--workers 1, workers=1)"
    )


class _Workers(ProcessPoolExecutor):
    """Processes that leave Ctrl-C and requests to end to the one that started them.

    They begin with these blocked, since one that comes while they load would print a traceback each.
    """

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Hand over a job, for which a process may be started."""
        with whole():
            return super().submit(*args, **kwargs)


@contextmanager
def worker_pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes, which end at once where the block is left by an interrupt, or where this process is gone.

    Raises:
        BidsimError: The script that asks for them would start itself anew in each.

    """
    _refuse_unguarded_script()
    with whole():  # what tracks semaphores is started here
        pool = _Workers(count, mp_context=get_context("spawn"), initializer=_end_with_parent)
    before = set(active_children())
    try:
        yield pool
    except BaseException:
        for process in set(active_children()) - before:
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _end_with_parent() -> None:
    """Watch the process that started this one, and end when it does, however that came."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _refuse_unguarded_script() -> None:
    """Workers read the script that started them once more; say so where that would start it all again.

    Raises:
        BidsimError: The script is no file, or has no part that only the first process runs.

    """
    script = sys.modules.get("__main__")
    file = getattr(script, "__file__", None)
    if file is None or getattr(script, "__spec__", None) is not None:
        return
    if not Path(file).is_file() or "__name__" not in Path(file).read_text(encoding="utf-8", errors="replace"):
        raise BidsimError(
            f"{Path(file).name}: worker processes read this script again, so put what it does under 'if __name__ == "
            '"__main__":\' in a file, or ask for workers=1'
        )


def share_models(scenarios: Sequence[Scenario], folder: Path, seed: int) -> list[Scenario]:
    """Train each distinct model once, and point all scenarios to what was trained."""
    trained: dict[str, dict[str, Path]] = {}
    ready = []
    for scenario in scenarios:
        digest = training_digest(scenario)
        if digest not in trained:
            trained[digest] = _train(scenario, folder / digest, seed)
        ready.append(_with_models(scenario, trained[digest]))
    return ready


def training_digest(scenario: Scenario) -> str:
    """Hash of all that the training of a scenario's models depends on, the seed apart."""
    resolved: dict[str, Any] = {k: v for k, v in scenario.resolved().items() if k not in _UNTRAINED}
    resolved["campaigns"] = {name: {k: c[k] for k in _OF_A_CAMPAIGN} for name, c in resolved["campaigns"].items()}
    resolved["seats"] = {name: {k: s[k] for k in _OF_A_SEAT} for name, s in resolved["seats"].items()}
    return hashlib.sha256(json.dumps(resolved).encode()).hexdigest()[:16]


def _train(scenario: Scenario, folder: Path, seed: int) -> dict[str, Path]:
    if scenario.settings.values is not None:
        return {}
    _, models = build(replace(scenario, settings=scenario.settings.model_copy(update={"seed": seed})))
    found = {}
    where = model_folders(models.seats)
    for name, model in zip(models.seats, models.fitted, strict=True):
        if model.kind.trains:
            found[name] = folder / where[name]
            found[name].mkdir(parents=True)
            for file, text in model_files(model).items():
                (found[name] / file).write_text(text, encoding="utf-8")
    return found


def _with_models(scenario: Scenario, folders: dict[str, Path]) -> Scenario:
    if not folders:
        return scenario
    seats = {}
    for name, seat in scenario.settings.seats.items():
        choice = seat.model
        if name in folders:
            choice = choice.model_copy(update={"params": {**choice.params, "path": str(folders[name])}})
        seats[name] = seat.model_copy(update={"model": choice})
    settings: ScenarioSettings = scenario.settings.model_copy(update={"seats": seats})
    return replace(scenario, settings=settings)

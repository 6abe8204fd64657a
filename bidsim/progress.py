"""Progress bars on a terminal; silence in a pipe."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bidsim.interrupt import stop_if_asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LABELS = {
    "history": "Logging history",
    "training": "Training models",
    "auctions": "Running auctions",
    "cases": "Checking cases",
    "replications": "Running worlds",
    "signals": "Watching",
}


@contextmanager
def terminal_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Give a function of (stage, done, total) that draws bars on standard error where that is a terminal.

    Either way it is where Ctrl-C is heard.
    """
    if not sys.stderr.isatty():
        yield lambda stage, done, total: stop_if_asked()
        return
    from rich.console import Console  # noqa: PLC0415  (only on a terminal)
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, object] = {}

        def advance(stage: str, done: int, total: int) -> None:
            stop_if_asked()
            if stage not in tasks:
                tasks[stage] = bars.add_task(_LABELS.get(stage, stage), total=total, rate="")
            task = tasks[stage]
            bars.advance(task, done)  # type: ignore[arg-type]
            speed = bars.tasks[int(task)].speed  # type: ignore[call-overload]
            bars.update(task, rate=f"{speed:,.0f}/s" if speed else "")  # type: ignore[arg-type]

        yield advance

"""`validate`: run cases with known answers through the components that decide them, on all cores."""

from __future__ import annotations

import os
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from bidsim.core.errors import BidsimError
from bidsim.experiments.truths.cases import Case, Verdict, grade
from bidsim.experiments.truths.checks import CHECKS
from bidsim.experiments.worlds import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

UNKNOWN = "no such kind of check"
_SLOWEST_FIRST = ("arrivals", "regret", "km", "optres", "pace", "downs")


def validate(
    cases: Sequence[Case],
    *,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> list[Verdict]:
    """Grade every metric of every case.

    Args:
        cases: What `load_cases` returned.
        seed: Seed of all worlds.
        workers: Processes; by default one for each core.
        progress: Called with (stage, cases done since the last call, cases in all).

    Raises:
        BidsimError: A worker died.

    """
    order = sorted(
        range(len(cases)),
        key=lambda k: _SLOWEST_FIRST.index(cases[k].check) if cases[k].check in _SLOWEST_FIRST else len(_SLOWEST_FIRST),
    )
    verdicts: dict[int, list[Verdict]] = {}
    count = min(workers or os.cpu_count() or 1, len(cases))
    if count == 1:
        for k in order:
            verdicts[k] = run_case(cases[k], seed)
            progress("cases", 1, len(cases))
    else:
        try:
            with worker_pool(count) as pool:
                waiting = {k: pool.submit(run_case, cases[k], seed) for k in order}
                for k, future in waiting.items():
                    verdicts[k] = future.result()
                    progress("cases", 1, len(cases))
        except BrokenProcessPool:
            raise BidsimError(
                "a worker process died, most likely for want of memory; run again with --workers 1"
            ) from None
    return [verdict for k in range(len(cases)) for verdict in verdicts[k]]


def run_case(case: Case, seed: int) -> list[Verdict]:
    """Run one case; parameters that its check cannot read fail the case and say why."""
    check = CHECKS.get(case.check)
    if check is None:
        return [
            Verdict(case.id, case.check, "", metric, expected, None, note=UNKNOWN)
            for metric, expected in case.expected.items()
        ]
    try:
        estimates = check.run(case.params, check.units, seed)
    except KeyError as error:
        return _not_run(case, check.component, f"params lack {error}")
    except (BidsimError, TypeError, ValueError, IndexError, ZeroDivisionError, OverflowError) as error:
        return _not_run(case, check.component, f"params do not fit: {' '.join(str(error).split())[:200]}")
    return grade(case, check.component, estimates)


def _not_run(case: Case, component: str, note: str) -> list[Verdict]:
    return [
        Verdict(case.id, case.check, component, metric, expected, None, note=note)
        for metric, expected in case.expected.items()
    ]

"""`validate`: results with known answers, reproduced by the simulator itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsim.commands.common import add_command, add_json, add_workers, seed_of, workers_of
from bidsim.core.errors import EXIT_FOUND, UsageError, did_you_mean

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Declare ``validate``."""
    parser = add_command(
        commands, "validate", "check the simulator against results with known answers; exit code 1 where one does not "
                              "hold", _validate,
        """bidsim validate
        bidsim validate --only ipv --json""",
    )  # fmt: skip
    parser.add_argument(
        "--cases", type=Path, metavar="FILE", help="a JSON file of cases; by default those that ship with bidsim"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="only cases of this id or kind of check; may be repeated",
    )
    parser.add_argument("--seed", metavar="N", help="seed of everything that is drawn")
    add_workers(parser)
    add_json(parser)


def _validate(chosen: argparse.Namespace) -> int:
    from bidsim.experiments.truths.cases import load_cases, own_cases  # noqa: PLC0415
    from bidsim.experiments.validate import validate  # noqa: PLC0415
    from bidsim.progress import terminal_progress  # noqa: PLC0415
    from bidsim.reports.verdicts import print_verdicts, verdict_rows  # noqa: PLC0415

    cases = load_cases(chosen.cases or own_cases())
    if chosen.only:
        known = {c.id for c in cases} | {c.check for c in cases}
        for name in chosen.only:
            if name not in known:
                raise UsageError(
                    f"--only {name}: there is no such case or kind of check in the file{did_you_mean(name, known)}"
                )
        cases = [c for c in cases if c.id in chosen.only or c.check in chosen.only]
    workers = workers_of(chosen)
    with terminal_progress() as progress:
        verdicts = validate(cases, seed=seed_of(chosen) or 0, workers=workers, progress=progress)
    if chosen.json:
        print(json.dumps(verdict_rows(verdicts), indent=1))
    else:
        print_verdicts(verdicts)
    return 0 if all(v.holds for v in verdicts) else EXIT_FOUND

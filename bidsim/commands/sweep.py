"""`sweep`: a scenario at several values of one key."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsim.commands.common import (
    add_changes,
    add_command,
    add_json,
    add_scenario,
    add_workers,
    changes,
    picture_of,
    say_next,
    seed_of,
    workers_of,
)
from bidsim.core.errors import UsageError, cut

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Declare ``sweep``."""
    parser = add_command(
        commands, "sweep", "run a scenario at several values of one key", _sweep,
        """bidsim sweep slow_model --vary seats.main.model.trees=10,100,1000 --beside deadline.tmax=1h
        bidsim sweep tight_budgets --vary campaigns.by-the-price.budget=30,60,120 --replications 10""",
    )  # fmt: skip
    add_scenario(parser)
    parser.add_argument(
        "--vary",
        required=True,
        metavar="KEY=V1,V2,...",
        help="the key and its values, such as seats.main.model.trees=10,100,1000",
    )
    parser.add_argument(
        "--beside",
        metavar="KEY=VALUE",
        help="run every value beside a world where this is changed, too, such as deadline.tmax=1h",
    )
    parser.add_argument("--replications", type=int, default=4, metavar="N", help="worlds for each value (4)")
    add_changes(parser, " everywhere")
    add_workers(parser)
    add_json(parser)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="where to draw the figures (runs/sweep-NAME-....svg)")


def _sweep(chosen: argparse.Namespace) -> int:
    from bidsim.experiments.sweep import sweep  # noqa: PLC0415
    from bidsim.progress import terminal_progress  # noqa: PLC0415
    from bidsim.reports.comparison import write_picture  # noqa: PLC0415
    from bidsim.reports.sweep import draw_sweep, print_sweep, sweep_rows  # noqa: PLC0415
    from bidsim.scenario.load import load_scenario  # noqa: PLC0415

    key, sign, values = chosen.vary.partition("=")
    if not sign or not all(values.split(",")):
        raise UsageError(
            f"--vary {cut(chosen.vary, 60)}: write KEY=V1,V2,..., such as seats.main.model.trees=10,100,1000"
        )
    twice = [value for value, times in Counter(values.split(",")).items() if times > 1]
    if twice:
        raise UsageError(f"--vary {cut(chosen.vary, 60)}: {cut(twice[0], 40)} is there twice")
    workers = workers_of(chosen)
    listed = []
    for value in values.split(","):
        own = (("--set", chosen.set), ("--vary", [f"{key}={value}"]))
        beside = (
            load_scenario(chosen.scenario, changes(*own, ("--beside", [chosen.beside])), allow_code=chosen.allow_code)
            if chosen.beside
            else None
        )
        listed.append((value, load_scenario(chosen.scenario, changes(*own), allow_code=chosen.allow_code), beside))
    with terminal_progress() as progress:
        found = sweep(
            listed, replications=chosen.replications, seed=seed_of(chosen) or 0, workers=workers, progress=progress
        )
    plot = chosen.plot or picture_of(
        "sweep", [s for _, *both in listed for s in both if s is not None], chosen.replications, chosen.seed
    )
    if chosen.json:
        print(json.dumps(sweep_rows(found), indent=1))
    else:
        print_sweep(listed[0][1].name, key, chosen.beside, found, chosen.replications)
    write_picture(plot, draw_sweep(key, chosen.beside, found))
    if chosen.json:
        return 0
    print(f"\nPicture          {plot}")
    code = " --allow-code" if chosen.allow_code else ""
    say_next(
        f"bidsim compare {chosen.scenario} --set-last {key}=VALUE{code}    (one value against what is there, paired)"
    )
    return 0

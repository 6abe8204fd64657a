"""`compare`: scenarios side by side on the same seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsim.commands.common import (
    SCENARIO_HELP,
    add_changes,
    add_command,
    add_json,
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
    """Declare ``compare``."""
    parser = add_command(
        commands, "compare", "compare scenarios on the same seeds, with intervals", _compare,
        """bidsim compare tight_budgets my_scenario.toml --replications 40
        bidsim compare tight_budgets --set-last auction.format=first_price
        bidsim compare tight_budgets --set-last campaigns.by-the-price.budget=90 --campaign by-the-price""",
    )  # fmt: skip
    parser.add_argument(
        "scenario",
        type=Path,
        nargs="+",
        metavar="SCENARIO",
        help=SCENARIO_HELP + "; of two or more, each is compared with the first",
    )
    parser.add_argument("--replications", type=int, default=20, metavar="N", help="worlds for each scenario (20)")
    parser.add_argument("--unpaired", action="store_true", help="give each scenario seeds of its own")
    parser.add_argument("--retrain", action="store_true", help="train models anew on each seed's history")
    parser.add_argument("--campaign", metavar="NAME", help="compare one campaign's figures only")
    add_changes(parser, " in all scenarios")
    parser.add_argument(
        "--set-last",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one key in the last scenario only; may be repeated",
    )
    add_workers(parser)
    add_json(parser)
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="where to draw the differences (runs/compare-NAME-....svg)"
    )


def _compare(chosen: argparse.Namespace) -> int:
    from bidsim.experiments.compare import compare  # noqa: PLC0415
    from bidsim.progress import terminal_progress  # noqa: PLC0415
    from bidsim.reports.comparison import comparison_rows, draw_comparison, print_comparison, write_picture  # noqa: PLC0415
    from bidsim.scenario.load import load_scenario  # noqa: PLC0415

    if len(chosen.scenario) == 1 and not chosen.set_last:
        raise UsageError(
            f"{cut(str(chosen.scenario[0]), 60)} alone: name another scenario beside it, or what to change in it, as "
            "--set-last KEY=VALUE"
        )
    paths = chosen.scenario if len(chosen.scenario) > 1 else chosen.scenario * 2
    overrides = [
        changes(("--set", chosen.set), ("--set-last", chosen.set_last if k == len(paths) - 1 else []))
        for k in range(len(paths))
    ]
    scenarios = [
        load_scenario(path, changed, allow_code=chosen.allow_code)
        for path, changed in zip(paths, overrides, strict=True)
    ]
    workers = workers_of(chosen)
    with terminal_progress() as progress:
        found = compare(
            scenarios,
            replications=chosen.replications,
            seed=seed_of(chosen) or 0,
            paired=not chosen.unpaired,
            campaign=chosen.campaign,
            retrain=chosen.retrain,
            workers=workers,
            progress=progress,
        )
    plot = chosen.plot or picture_of(
        "compare", scenarios, chosen.campaign, chosen.replications, chosen.seed, chosen.unpaired, chosen.retrain
    )
    if chosen.json:
        print(json.dumps(comparison_rows(found), indent=1))
    else:
        print_comparison(scenarios[0].name, found, chosen.replications, not chosen.unpaired, chosen.campaign)
    write_picture(plot, draw_comparison(scenarios[0].name, found, chosen.campaign))
    if chosen.json:
        return 0
    print(f"\nPicture          {plot}")
    say_next(f"bidsim compare ... --replications {4 * chosen.replications}    (intervals half as wide, or less)")
    return 0

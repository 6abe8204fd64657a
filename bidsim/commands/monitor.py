"""`monitor`: what broke in a run, since when, and how sure that is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsim.commands.common import RUN_HELP, add_command, add_json, open_page
from bidsim.core.errors import EXIT_FOUND

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Declare ``monitor``."""
    parser = add_command(
        commands, "monitor", "watch a run slice by slice, say what broke, and write the operator's page; exit code 1 "
                             "where an incident is open", _monitor,
        """bidsim monitor runs/tracker_outage-1a2b3c4d5e6f --open
        bidsim monitor runs/tracker_outage-1a2b3c4d5e6f --prometheus bidsim.prom --json""",
    )  # fmt: skip
    parser.add_argument("run", type=Path, metavar="RUN", help=RUN_HELP)
    parser.add_argument(
        "--quiet",
        type=int,
        metavar="WINDOWS",
        help="windows at the start that are taken for normal; by default what the scenario says, or a third",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where to write the page; by default monitor.html in the run directory"
    )
    add_json(parser)
    parser.add_argument(
        "--prometheus", type=Path, metavar="FILE", help="also write the figures as a Prometheus text file"
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")


def _monitor(chosen: argparse.Namespace) -> int:
    from bidsim.core.folder import MONITOR  # noqa: PLC0415
    from bidsim.core.result import load_result  # noqa: PLC0415
    from bidsim.monitoring.monitor import monitor  # noqa: PLC0415
    from bidsim.progress import terminal_progress  # noqa: PLC0415
    from bidsim.reports.files import write_marked  # noqa: PLC0415
    from bidsim.reports.html import whole_run  # noqa: PLC0415
    from bidsim.reports.monitoring import describe_watch, prometheus, write_watch  # noqa: PLC0415
    from bidsim.reports.watching import print_watch  # noqa: PLC0415

    result = load_result(chosen.run)
    with whole_run(result), terminal_progress() as progress:
        watch = monitor(result, chosen.quiet, progress=progress)
        content = describe_watch(result, watch)
    if chosen.json:
        print(json.dumps(content, indent=1))
    else:
        with whole_run(result):
            print_watch(content)
    page = write_watch(content, result, watch, chosen.out or chosen.run / MONITOR)
    if not chosen.json:
        print(f"\nPage             {page}")
    if chosen.prometheus is not None:
        write_marked(chosen.prometheus, prometheus(content), "--prometheus", "# HELP bidsim_")
    if chosen.open:
        open_page(page)
    return EXIT_FOUND if watch.open else 0

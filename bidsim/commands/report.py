"""`report`: HTML pages about a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsim.commands.common import RUN_HELP, add_command, open_page

if TYPE_CHECKING:
    import argparse

    from bidsim.core.result import Result


def add(commands: Any) -> None:
    """Declare ``report``."""
    parser = add_command(
        commands, "report", "write HTML pages about a run: of the whole, and of each advertiser", _report,
        """bidsim report runs/quickstart-1a2b3c4d5e6f --open
        bidsim report runs/quickstart-1a2b3c4d5e6f --advertiser softly --out softly.html""",
    )  # fmt: skip
    parser.set_defaults(left_behind="pages that were finished are in their place, the others are as they were")
    parser.add_argument("run", type=Path, metavar="RUN", help=RUN_HELP)
    parser.add_argument("--advertiser", metavar="NAME", help="write this advertiser's page only")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="where to write one page, of the whole run or of --advertiser; by default all pages go into the run "
        "directory",
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")


def _report(chosen: argparse.Namespace) -> int:
    from bidsim.core.folder import ADVERTISERS, CONSUMABLES, REPORT  # noqa: PLC0415
    from bidsim.core.result import load_result  # noqa: PLC0415
    from bidsim.reports.advertiser import advertiser_page, write_advertiser  # noqa: PLC0415
    from bidsim.reports.consumables import write_consumables  # noqa: PLC0415
    from bidsim.reports.page import write_report  # noqa: PLC0415

    result = load_result(chosen.run)
    if chosen.advertiser is not None:
        written = [
            write_advertiser(
                result,
                chosen.advertiser,
                chosen.out or chosen.run / ADVERTISERS / advertiser_page(result, chosen.advertiser),
            )
        ]
    else:
        written = [write_report(result, chosen.out or chosen.run / REPORT)]
        if chosen.out is None and not result.facts.values_are_drawn:
            written += [
                write_consumables(result, chosen.run / CONSUMABLES),
                _advertisers(result, chosen.run / ADVERTISERS),
            ]
    for path in written:
        print(f"wrote {path}")
    if chosen.open:
        open_page(written[-1])
    return 0


def _advertisers(result: Result, folder: Path) -> Path:
    from bidsim.metrics.advertiser import advertisers_of  # noqa: PLC0415
    from bidsim.progress import terminal_progress  # noqa: PLC0415
    from bidsim.reports.advertiser import write_advertisers  # noqa: PLC0415

    total = len(advertisers_of(result))
    with terminal_progress() as progress:
        return write_advertisers(result, folder, lambda done: progress("advertisers", done, total))

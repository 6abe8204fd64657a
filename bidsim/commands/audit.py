"""`audit`: which pricing rule do payments obey?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsim.commands.common import add_command, add_json

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Declare ``audit``."""
    parser = add_command(
        commands, "audit", "say which pricing rule payments obey", _audit,
        """bidsim audit runs/quickstart-1a2b3c4d5e6f
        bidsim audit my_log.csv --json""",
    )  # fmt: skip
    parser.add_argument(
        "log",
        type=Path,
        metavar="RUN_OR_LOG",
        help="a run directory, or a CSV or Parquet file with the columns bid and payment (and next_bid, if known)",
    )
    add_json(parser)


def _audit(chosen: argparse.Namespace) -> int:
    from bidsim.experiments.audit import audit_path  # noqa: PLC0415

    finding = audit_path(chosen.log)
    if chosen.json:
        print(
            json.dumps(
                {"rule": finding.rule, "sentence": finding.sentence, "evidence": dict(finding.evidence)}, indent=1
            )
        )
        return 0
    print(finding.sentence)
    for name, figure in finding.evidence.items():
        print(
            f"  {name.replace('_', ' '):<28} {figure:,.4g}"
            if isinstance(figure, float)
            else f"  {name.replace('_', ' '):<28} {figure:,}"
        )
    return 0

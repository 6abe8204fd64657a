"""``python -m bench NAME [--quick] [--seed N] [--json FILE] [--out FOLDER]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import explanations, latency, monitoring, realism, throughput

BENCHMARKS = {
    "explanations": explanations.measure,
    "latency": latency.measure,
    "monitoring": monitoring.measure,
    "realism": realism.measure,
    "throughput": throughput.measure,
}


def main() -> int:
    """Run one benchmark; print its table and write its JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure bidsim.")
    parser.add_argument("name", choices=sorted(BENCHMARKS), help="which benchmark")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="smaller sizes, three minutes at most; figures are not comparable with those of whole runs",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenarios")
    parser.add_argument("--worlds", type=int, metavar="N", help="how many worlds to grade (explanations)")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="another checkout to run in turn (throughput)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="write pictures (latency, monitoring) or the grade as a table (explanations) into this folder",
    )
    options = parser.parse_args()
    report = BENCHMARKS[options.name](options)
    report.print()
    if options.json:
        report.write(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`run` and `demo`: run a scenario and write a run directory."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsim.commands.common import add_changes, add_command, add_json, add_scenario, load
from bidsim.core.errors import UsageError, cut

if TYPE_CHECKING:
    import argparse

    from bidsim.experiments.run import Kept
    from bidsim.scenario.load import Scenario

QUICKSTART = "quickstart"
_LONGEST_NAME = 150


def add(commands: Any) -> None:
    """Declare ``demo`` and ``run``."""
    demo = add_command(
        commands, "demo", "run the quickstart scenario: a week of a market with twelve advertisers", _demo,
        """bidsim demo
        bidsim demo --seed 7 --set auction.format=second_price""",
    )  # fmt: skip
    _arguments(demo)
    run = add_command(
        commands, "run", "run a scenario and write a run directory", _run,
        """bidsim run tight_budgets --seed 7
        bidsim run quickstart --set campaigns.softly-always-on.budget=500
        bidsim run my_scenario.toml --out runs/more-money --json
        bidsim run incidents/tracker_outage --watch""",
    )  # fmt: skip
    add_scenario(run)
    _arguments(run)


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_changes(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="run directory; by default runs/<scenario>-<hash>")
    add_json(parser)
    parser.add_argument(
        "--resume", action="store_true", help="go on where this run was killed; takes snapshots for the next time"
    )
    parser.add_argument(
        "--snapshot-every",
        metavar="TIME",
        help="take a snapshot so often, such as 10m; by default none, 1m with --resume",
    )
    parser.add_argument(
        "--watch", action="store_true", help="show advertisers and incidents while the run goes, on a terminal"
    )


def _demo(chosen: argparse.Namespace) -> int:
    return _run_and_print(chosen, load(chosen, Path(QUICKSTART)))


def _run(chosen: argparse.Namespace) -> int:
    return _run_and_print(chosen, load(chosen))


def _run_and_print(chosen: argparse.Namespace, scenario: Scenario) -> int:
    from bidsim.experiments.run import run  # noqa: PLC0415
    from bidsim.reports.terminal import print_result  # noqa: PLC0415
    from bidsim.watching import run_watched  # noqa: PLC0415

    out = chosen.out or Path("runs") / f"{scenario.name}-{scenario.digest()}"
    _check_place(out)
    before = _digest_of(out)
    keep = _kept(chosen, out)
    result = run_watched(scenario, keep) if chosen.watch else run(scenario, keep=keep)
    result.save(out)
    if keep is not None:
        keep.end()
    chosen.left_behind = f"the run is whole, in {out}"
    if chosen.json:
        print(json.dumps(result.summary, indent=1, sort_keys=True))
    else:
        print_result(result)
        if before not in (None, result.facts.scenario_hash):
            print(f"Replaced         another run ({before}) that was in {out}")
    return 0


def _kept(chosen: argparse.Namespace, out: Path) -> Kept | None:
    """Where snapshots go, beside the run directory; None where none are wanted."""
    from bidsim.core.units import SECOND, parse_duration  # noqa: PLC0415
    from bidsim.experiments.run import Kept  # noqa: PLC0415

    if not chosen.resume and chosen.snapshot_every is None:
        return None
    try:
        every = parse_duration(chosen.snapshot_every or "1m") / SECOND
    except ValueError as error:
        raise UsageError(f"--snapshot-every: {error}") from None
    path = out.parent / f".{out.name}.snapshot"
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = Kept(path, every, resume=chosen.resume)
    if chosen.resume and path.exists():
        print(f"Going on from {path}", file=sys.stderr)
    return kept


def _digest_of(out: Path) -> str | None:
    """Scenario's hash of a run that is there already."""
    from bidsim.core.folder import MANIFEST  # noqa: PLC0415

    try:
        return str(json.loads((out / MANIFEST).read_text(encoding="utf-8"))["scenario_hash"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _check_place(out: Path) -> None:
    """Refuse a place that could not be written to before any time is spent."""
    from bidsim.core.result import is_run_directory  # noqa: PLC0415

    try:
        out = out.resolve()
        if out == Path.cwd() or len(out.name) > _LONGEST_NAME:
            name = str(out) if len(out.name) <= _LONGEST_NAME else cut(out.name, 60)
            raise UsageError(
                f"{name} cannot be a run directory: it must be a folder of its own with a name of at most "
                f"{_LONGEST_NAME} letters"
            )
        if out.exists() and not is_run_directory(out) and not (out.is_dir() and not any(out.iterdir())):
            raise UsageError(f"{out} exists and is not a run directory; choose another place with --out")
        nearest = next(p for p in (out, *out.parents) if p.exists())
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"--out {cut(str(out), _LONGEST_NAME)}: {getattr(error, 'strerror', None) or error}") from None
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UsageError(
            f"{out} cannot be written: {nearest} is not a folder that you may write to; choose another place with --out"
        )

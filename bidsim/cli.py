"""The command line: parses, calls, prints. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsim.core.errors import EXIT_FOUND, EXIT_RUN_FAILED, EXIT_TYPED_WRONG, BidsimError, UsageError, cut, did_you_mean, one_line
from bidsim.interrupt import interruptible
from bidsim.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bidsim.core.result import Result
    from bidsim.scenario.load import Scenario

QUICKSTART = "quickstart.toml"
_LONGEST_NAME = 150

_EPILOG = """examples:
  bidsim demo                                             run the quickstart scenario
  bidsim run scenarios/tight_budgets.toml --seed 7
  bidsim run scenarios/quickstart.toml --set campaigns.softly-always-on.budget=500
  bidsim check my_scenario.toml
  bidsim compare scenarios/tight_budgets.toml other.toml --replications 20
  bidsim compare scenarios/quickstart.toml --set-last auction.format=second_price
  bidsim sweep scenarios/slow_model.toml --vary seats.main.model.trees=10,100,1000 --beside deadline.tmax=1h
  bidsim validate --only ipv
  bidsim report runs/quickstart-1a2b3c4d5e6f
  bidsim run scenarios/incidents/tracker_outage.toml --watch
  bidsim monitor runs/tracker_outage-1a2b3c4d5e6f --prometheus bidsim.prom
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code (0 done, 2 typed wrong, 3 failed)."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] | None = getattr(chosen, "command", None)
    if command is None:
        parser.print_help()
        return EXIT_TYPED_WRONG
    try:
        with interruptible():
            return command(chosen)
    except BidsimError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("stopped; nothing was written")
        return EXIT_RUN_FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MemoryError) as error:
        _complain(f"{type(error).__name__}: {error}")
        return EXIT_RUN_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bidsim", description="Real-time ad bidding, simulated, with the truth known.", epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"bidsim {VERSION}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_run(commands, "demo", "run the quickstart scenario", _demo, scenario=False)
    _add_run(commands, "run", "run a scenario and write a run directory", _run)
    check = _add(commands, "check", "say everything that is wrong with a scenario", _check)
    _scenario_arguments(check)
    show = _add(commands, "show", "print a scenario", _show)
    _scenario_arguments(show)
    show.add_argument("--resolved", action="store_true", help="with every default filled in, as JSON")
    _add(commands, "schema", "print the JSON Schema of scenario files, for editors", _schema)
    _add_compare(commands)
    _add_sweep(commands)
    _add_validate(commands)
    audit = _add(commands, "audit", "say which pricing rule payments obey", _audit)
    audit.add_argument("log", type=Path, metavar="RUN_OR_LOG", help="a run directory, or a CSV or Parquet file with the columns bid and payment (and next_bid, if known)")
    audit.add_argument("--json", action="store_true", help="print the finding as JSON")
    _add_monitor(commands)
    report = _add(commands, "report", "write HTML pages about a run: of the whole, and of each advertiser", _report)
    report.add_argument("run", type=Path, metavar="RUN", help="a run directory, such as runs/quickstart-1a2b3c4d5e6f")
    report.add_argument("--advertiser", metavar="NAME", help="write this advertiser's page only")
    report.add_argument("--out", type=Path, help="where to write one page, of the whole run or of --advertiser; by default all pages go into the run directory")
    report.add_argument("--open", action="store_true", help="open the page in a browser")
    return parser


def _add_compare(commands: Any) -> None:
    parser = _add(commands, "compare", "compare scenarios on the same seeds, with intervals", _compare)
    parser.add_argument("scenario", type=Path, nargs="+", metavar="SCENARIO", help="two scenarios or more; each is compared with the first")
    parser.add_argument("--replications", type=int, default=20, metavar="N", help="worlds for each scenario (20)")
    parser.add_argument("--unpaired", action="store_true", help="give each scenario seeds of its own")
    parser.add_argument("--retrain", action="store_true", help="train models anew on each seed's history")
    parser.add_argument("--campaign", metavar="NAME", help="compare one campaign's figures only")
    parser.add_argument("--seed", help="first seed")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one key in all scenarios")
    parser.add_argument("--set-last", action="append", default=[], metavar="KEY=VALUE", help="change one key in the last scenario only")
    parser.add_argument("--workers", type=int, help="processes; by default one for each core")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the differences as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="where to draw the differences (runs/comparison.svg)")
    parser.add_argument("--allow-code", action="store_true", help="load plug-ins from Python files beside the scenario")


def _add_sweep(commands: Any) -> None:
    parser = _add(commands, "sweep", "run a scenario at several values of one key", _sweep)
    parser.add_argument("scenario", type=Path, metavar="SCENARIO", help="a scenario file, such as scenarios/slow_model.toml")
    parser.add_argument("--vary", required=True, metavar="KEY=V1,V2,...", help="the key and its values, such as seats.main.model.trees=10,100,1000")
    parser.add_argument("--beside", metavar="KEY=VALUE", help="run every value beside a world where this is changed, too, such as deadline.tmax=1h")
    parser.add_argument("--replications", type=int, default=4, metavar="N", help="worlds for each value (4)")
    parser.add_argument("--seed", help="first seed")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one key everywhere")
    parser.add_argument("--workers", type=int, help="processes; by default one for each core")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="where to draw the figures (runs/sweep.svg)")
    parser.add_argument("--allow-code", action="store_true", help="load plug-ins from Python files beside the scenario")


def _add_monitor(commands: Any) -> None:
    parser = _add(commands, "monitor", "watch a run slice by slice, say what broke, and write the operator's page; exit code 1 where an incident is open", _monitor)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory, such as runs/quickstart-1a2b3c4d5e6f")
    parser.add_argument("--quiet", type=int, metavar="WINDOWS", help="windows at the start that are taken for normal; by default what the scenario says, or a third")
    parser.add_argument("--out", type=Path, help="where to write the page; by default monitor.html in the run directory")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON instead of tables")
    parser.add_argument("--prometheus", type=Path, metavar="FILE", help="also write the figures as a Prometheus text file")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")


def _add_validate(commands: Any) -> None:
    parser = _add(commands, "validate", "check the simulator against results with known answers", _validate)
    parser.add_argument("--cases", type=Path, metavar="FILE", help="a JSON file of cases; by default those that ship with bidsim")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only cases of this id or kind of check; may be repeated")
    parser.add_argument("--seed", help="seed of everything that is drawn")
    parser.add_argument("--workers", type=int, help="processes; by default one for each core")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every metric as JSON")


def _add(commands: Any, name: str, text: str, command: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.set_defaults(command=command)
    return parser


def _add_run(commands: Any, name: str, text: str, command: Callable[[argparse.Namespace], int], *, scenario: bool = True) -> None:
    parser = _add(commands, name, text, command)
    _scenario_arguments(parser, scenario=scenario)
    parser.add_argument("--out", type=Path, help="run directory; by default runs/<scenario>-<hash>")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.add_argument("--watch", action="store_true", help="show advertisers and incidents while the run goes, on a terminal")


def _scenario_arguments(parser: argparse.ArgumentParser, *, scenario: bool = True) -> None:
    if scenario:
        parser.add_argument("scenario", type=Path, metavar="SCENARIO", help="a scenario file, such as scenarios/quickstart.toml")
    parser.add_argument("--seed", help="seed of everything that is drawn")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one key, such as campaigns.softly-always-on.budget=500")
    parser.add_argument("--allow-code", action="store_true", help="load plug-ins from Python files beside the scenario")


def _seed(chosen: argparse.Namespace) -> int | None:
    if chosen.seed is None:
        return None
    if not re.fullmatch("[0-9]{1,19}", chosen.seed):
        raise UsageError(f"--seed {chosen.seed}: a seed is a whole number, 0 or more")
    return int(chosen.seed)


def _load(chosen: argparse.Namespace, path: Path | None = None) -> Scenario:
    from bidsim.scenario.load import load_scenario  # noqa: PLC0415
    from bidsim.scenario.sources import parse_set  # noqa: PLC0415

    overrides = dict(parse_set(text) for text in chosen.set)
    seed = _seed(chosen)
    if seed is not None:
        overrides["seed"] = seed
    return load_scenario(path or chosen.scenario, overrides, allow_code=chosen.allow_code)


def _demo(chosen: argparse.Namespace) -> int:
    return _run_and_print(chosen, _load(chosen, scenario_folder() / QUICKSTART))


def _run(chosen: argparse.Namespace) -> int:
    return _run_and_print(chosen, _load(chosen))


def _run_and_print(chosen: argparse.Namespace, scenario: Scenario) -> int:
    from bidsim.experiments.run import run  # noqa: PLC0415
    from bidsim.reports.terminal import print_result  # noqa: PLC0415
    from bidsim.watching import run_watched  # noqa: PLC0415

    out = chosen.out or Path("runs") / f"{scenario.name}-{scenario.digest()}"
    _check_place(out)
    result = run_watched(scenario) if chosen.watch else run(scenario)
    result.save(out)
    if chosen.json:
        print(json.dumps(result.summary, indent=1, sort_keys=True))
    else:
        print_result(result)
    return 0


def _check_place(out: Path) -> None:
    """Refuse a place that could not be written to before any time is spent."""
    from bidsim.core.result import is_run_directory  # noqa: PLC0415

    try:
        out = out.resolve()
        if out == Path.cwd() or len(out.name) > _LONGEST_NAME:
            raise UsageError(f"{cut(str(out), _LONGEST_NAME)} cannot be a run directory: it must be a folder of its own with a name of at most {_LONGEST_NAME} letters")
        if out.exists() and not is_run_directory(out) and not (out.is_dir() and not any(out.iterdir())):
            raise UsageError(f"{out} exists and is not a run directory; choose another place with --out")
        nearest = next(p for p in (out, *out.parents) if p.exists())
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"--out {cut(str(out), _LONGEST_NAME)}: {getattr(error, 'strerror', None) or error}") from None
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UsageError(f"{out} cannot be written: {nearest} is not a folder that you may write to; choose another place with --out")


def _check(chosen: argparse.Namespace) -> int:
    scenario = _load(chosen)
    settings = scenario.settings
    print(f"{chosen.scenario}: fine. {len(settings.campaigns)} campaigns, {len(settings.seats)} seats, {settings.requests:,} requests expected.")
    return 0


def _show(chosen: argparse.Namespace) -> int:
    scenario = _load(chosen)
    if chosen.resolved:
        print(json.dumps(scenario.resolved(), indent=2))
    else:
        print(Path(chosen.scenario).read_text(encoding="utf-8-sig"), end="")
    return 0


def _schema(chosen: argparse.Namespace) -> int:
    from bidsim.scenario.schema import scenario_schema  # noqa: PLC0415

    print(json.dumps(scenario_schema(), indent=1))
    return 0


def _compare(chosen: argparse.Namespace) -> int:
    from bidsim.experiments.compare import compare  # noqa: PLC0415
    from bidsim.progress import terminal_progress  # noqa: PLC0415
    from bidsim.reports.comparison import draw_comparison, print_comparison, write_comparison, write_picture  # noqa: PLC0415
    from bidsim.scenario.load import load_scenario  # noqa: PLC0415
    from bidsim.scenario.sources import parse_set  # noqa: PLC0415

    paths = chosen.scenario if len(chosen.scenario) > 1 else chosen.scenario * 2
    if chosen.workers is not None and chosen.workers < 1:
        raise UsageError(f"--workers {chosen.workers}: at least one process is needed")
    overrides = [dict(parse_set(text) for text in [*chosen.set, *(chosen.set_last if k == len(paths) - 1 else [])]) for k in range(len(paths))]
    scenarios = [load_scenario(path, changed, allow_code=chosen.allow_code) for path, changed in zip(paths, overrides, strict=True)]
    with terminal_progress() as progress:
        found = compare(
            scenarios,
            replications=chosen.replications,
            seed=_seed(chosen) or 0,
            paired=not chosen.unpaired,
            campaign=chosen.campaign,
            retrain=chosen.retrain,
            workers=chosen.workers,
            progress=progress,
        )
    print_comparison(scenarios[0].name, found, chosen.replications, not chosen.unpaired)
    plot = chosen.plot or Path("runs") / "comparison.svg"
    write_picture(plot, draw_comparison(scenarios[0].name, found))
    if chosen.json is not None:
        write_comparison(found, chosen.json)
    print(f"\nPicture          {plot}")
    return 0


def _sweep(chosen: argparse.Namespace) -> int:
    from bidsim.experiments.sweep import sweep  # noqa: PLC0415
    from bidsim.progress import terminal_progress  # noqa: PLC0415
    from bidsim.reports.comparison import write_picture  # noqa: PLC0415
    from bidsim.reports.sweep import draw_sweep, print_sweep, write_sweep  # noqa: PLC0415
    from bidsim.scenario.load import load_scenario  # noqa: PLC0415
    from bidsim.scenario.sources import parse_set  # noqa: PLC0415

    key, sign, values = chosen.vary.partition("=")
    if not sign or not all(values.split(",")):
        raise UsageError(f"--vary {cut(chosen.vary, 60)}: write KEY=V1,V2,..., such as seats.main.model.trees=10,100,1000")
    if chosen.workers is not None and chosen.workers < 1:
        raise UsageError(f"--workers {chosen.workers}: at least one process is needed")
    changed = dict(parse_set(text) for text in chosen.set)
    other = dict([parse_set(chosen.beside)]) if chosen.beside else None
    listed = []
    for value in values.split(","):
        own = {**changed, **dict([parse_set(f"{key}={value}")])}
        beside = load_scenario(chosen.scenario, {**own, **other}, allow_code=chosen.allow_code) if other is not None else None
        listed.append((value, load_scenario(chosen.scenario, own, allow_code=chosen.allow_code), beside))
    with terminal_progress() as progress:
        found = sweep(listed, replications=chosen.replications, seed=_seed(chosen) or 0, workers=chosen.workers, progress=progress)
    print_sweep(listed[0][1].name, key, chosen.beside, found, chosen.replications)
    plot = chosen.plot or Path("runs") / "sweep.svg"
    write_picture(plot, draw_sweep(key, chosen.beside, found))
    if chosen.json is not None:
        write_sweep(found, chosen.json)
    print(f"\nPicture          {plot}")
    return 0


def _audit(chosen: argparse.Namespace) -> int:
    from bidsim.experiments.audit import audit_path  # noqa: PLC0415

    finding = audit_path(chosen.log)
    if chosen.json:
        print(json.dumps({"rule": finding.rule, "sentence": finding.sentence, "evidence": dict(finding.evidence)}, indent=1))
        return 0
    print(finding.sentence)
    for name, figure in finding.evidence.items():
        print(f"  {name.replace('_', ' '):<28} {figure:,.4g}" if isinstance(figure, float) else f"  {name.replace('_', ' '):<28} {figure:,}")
    return 0


def _validate(chosen: argparse.Namespace) -> int:
    from bidsim.experiments.truths.cases import load_cases, own_cases  # noqa: PLC0415
    from bidsim.experiments.validate import validate  # noqa: PLC0415
    from bidsim.progress import terminal_progress  # noqa: PLC0415
    from bidsim.reports.verdicts import print_verdicts, write_verdicts  # noqa: PLC0415

    cases = load_cases(chosen.cases or own_cases())
    if chosen.only:
        known = {c.id for c in cases} | {c.check for c in cases}
        for name in chosen.only:
            if name not in known:
                raise UsageError(f"--only {name}: there is no such case or kind of check in the file{did_you_mean(name, known)}")
        cases = [c for c in cases if c.id in chosen.only or c.check in chosen.only]
    if chosen.workers is not None and chosen.workers < 1:
        raise UsageError(f"--workers {chosen.workers}: at least one process is needed")
    with terminal_progress() as progress:
        verdicts = validate(cases, seed=_seed(chosen) or 0, workers=chosen.workers, progress=progress)
    print_verdicts(verdicts)
    if chosen.json is not None:
        write_verdicts(verdicts, chosen.json)
    return 0 if all(v.holds for v in verdicts) else EXIT_FOUND


def _report(chosen: argparse.Namespace) -> int:
    from bidsim.core.result import ADVERTISERS, CONSUMABLES, REPORT, load_result  # noqa: PLC0415
    from bidsim.reports.advertiser import advertiser_page, write_advertiser  # noqa: PLC0415
    from bidsim.reports.consumables import write_consumables  # noqa: PLC0415
    from bidsim.reports.page import write_report  # noqa: PLC0415

    result = load_result(chosen.run)
    if chosen.advertiser is not None:
        written = [write_advertiser(result, chosen.advertiser, chosen.out or chosen.run / ADVERTISERS / advertiser_page(result, chosen.advertiser))]
    else:
        written = [write_report(result, chosen.out or chosen.run / REPORT)]
        if chosen.out is None and not result.manifest["scenario"].get("values"):
            written += [write_consumables(result, chosen.run / CONSUMABLES), _advertisers(result, chosen.run / ADVERTISERS)]
    for path in written:
        print(f"wrote {path}")
    if chosen.open:
        _open(written[-1])
    return 0


def _monitor(chosen: argparse.Namespace) -> int:
    from bidsim.core.result import MONITOR, load_result  # noqa: PLC0415
    from bidsim.monitoring.monitor import monitor  # noqa: PLC0415
    from bidsim.progress import terminal_progress  # noqa: PLC0415
    from bidsim.reports.files import write_text  # noqa: PLC0415
    from bidsim.reports.html import whole_run  # noqa: PLC0415
    from bidsim.reports.monitoring import describe_watch, prometheus, write_watch  # noqa: PLC0415
    from bidsim.reports.watching import print_watch  # noqa: PLC0415

    result = load_result(chosen.run)
    with whole_run(result), terminal_progress() as progress:
        watch = monitor(result, chosen.quiet, progress=progress)
        content = describe_watch(result, watch)
    page = write_watch(content, result, watch, chosen.out or chosen.run / MONITOR)
    if chosen.json:
        print(json.dumps(content, indent=1))
    else:
        print_watch(content)
        print(f"\nPage             {page}")
    if chosen.prometheus is not None:
        write_text(chosen.prometheus, prometheus(content))
    if chosen.open:
        _open(page)
    return EXIT_FOUND if watch.open else 0


def _open(path: Path) -> None:
    import webbrowser  # noqa: PLC0415

    if not webbrowser.open(path.resolve().as_uri()):
        print(f"no browser could be started; open {path.resolve().as_uri()}")


def _advertisers(result: Result, folder: Path) -> Path:
    from bidsim.metrics.advertiser import advertisers_of  # noqa: PLC0415
    from bidsim.progress import terminal_progress  # noqa: PLC0415
    from bidsim.reports.advertiser import write_advertisers  # noqa: PLC0415

    total = len(advertisers_of(result))
    with terminal_progress() as progress:
        return write_advertisers(result, folder, lambda done: progress("advertisers", done, total))


def scenario_folder() -> Path:
    """Folder of the scenarios that come with bidsim: the checkout's, or the installed package's."""
    package = Path(__file__).resolve().parent
    for folder in (package.parent / "scenarios", package / "scenarios"):
        if (folder / QUICKSTART).is_file():
            return folder
    raise UsageError("the scenarios that come with bidsim are not installed; name a scenario file with: bidsim run FILE")


def _complain(text: str) -> None:
    told = "\n".join(one_line(line) for line in text.split("\n"))
    print(f"error: {told}" if "\n" not in told else f"errors:\n{told}", file=sys.stderr)

"""What several commands share: arguments of one name and one meaning, loading, and what a command says last."""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsim.core.errors import UsageError, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bidsim.scenario.load import Scenario

SCENARIO_HELP = "a scenario file, or the name of one that comes with bidsim, such as quickstart"
RUN_HELP = "a run directory, such as runs/quickstart-1a2b3c4d5e6f"


def add_command(
    commands: Any, name: str, text: str, command: Callable[[argparse.Namespace], int], examples: str
) -> argparse.ArgumentParser:
    """Declare a command: its line of help, what does it, and examples, one a line."""
    epilog = "examples:\n" + "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines())
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=command)
    return parser


def add_scenario(parser: argparse.ArgumentParser) -> None:
    """Add ``SCENARIO``."""
    parser.add_argument("scenario", type=Path, metavar="SCENARIO", help=SCENARIO_HELP)


def add_changes(parser: argparse.ArgumentParser, where: str = "") -> None:
    """Add ``--seed``, ``--set`` and ``--allow-code``."""
    parser.add_argument("--seed", metavar="N", help="seed of everything that is drawn")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"change one key{where}, such as campaigns.softly-always-on.budget=500; may be repeated",
    )
    parser.add_argument("--allow-code", action="store_true", help="load plug-ins from Python files beside the scenario")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add ``--workers``."""
    parser.add_argument("--workers", type=int, metavar="N", help="processes; by default one for each core")


def seed_of(chosen: argparse.Namespace) -> int | None:
    """``--seed`` as a number.

    Raises:
        UsageError: It is none.

    """
    if chosen.seed is None:
        return None
    if not re.fullmatch("[0-9]{1,19}", chosen.seed):
        raise UsageError(f"--seed {cut(chosen.seed, 60)}: a seed is a whole number, 0 or more")
    return int(chosen.seed)


def workers_of(chosen: argparse.Namespace) -> int | None:
    """``--workers``.

    Raises:
        UsageError: It is less than 1.

    """
    if chosen.workers is not None and chosen.workers < 1:
        raise UsageError(f"--workers {chosen.workers}: at least one process is needed")
    workers: int | None = chosen.workers
    return workers


def load(chosen: argparse.Namespace, path: Path | None = None) -> Scenario:
    """Load the scenario that was chosen, with what ``--set`` and ``--seed`` change."""
    from bidsim.scenario.load import load_scenario  # noqa: PLC0415
    from bidsim.scenario.sources import OptionKey  # noqa: PLC0415

    overrides = changes(("--set", chosen.set))
    seed = seed_of(chosen)
    if seed is not None:
        overrides[OptionKey("seed", "--seed")] = seed
    return load_scenario(path or chosen.scenario, overrides, allow_code=chosen.allow_code)


def changes(*options: tuple[str, list[str]]) -> dict[str, Any]:
    """Keys and values of options, each with its texts such as ``("--set", ["seed=7"])``.

    Of one key the last value counts.
    """
    from bidsim.scenario.sources import parse_override  # noqa: PLC0415

    found: dict[str, Any] = {}
    for option, texts in options:
        for text in texts:
            key, value = parse_override(text, option)
            found.pop(key, None)  # a dict would keep the option that named the key first
            found[key] = value
    return found


def picture_of(what: str, scenarios: Sequence[Scenario], *also: object) -> Path:
    """Where a picture goes that nobody gave a name.

    Another question gets another file, the same question the same one.
    """
    asked = hashlib.sha256(repr([[s.digest() for s in scenarios], also]).encode()).hexdigest()
    return Path("runs") / f"{what}-{scenarios[0].name}-{asked[:8]}.svg"


def say_next(*lines: str) -> None:
    """Print what one would do next."""
    for k, line in enumerate(lines):
        print(f"{'Next' if k == 0 else '':<16} {line}")


def open_page(path: Path) -> None:
    """Open a page in a browser, or say where it is."""
    import webbrowser  # noqa: PLC0415

    if not webbrowser.open(path.resolve().as_uri()):
        print(f"no browser could be started; open {path.resolve().as_uri()}")

"""The command line: parses, calls, prints. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from bidsim.commands import audit, compare, completion, monitor, report, run, scenarios, sweep, validate
from bidsim.core.errors import EXIT_RUN_FAILED, EXIT_TYPED_WRONG, BidsimError, one_line
from bidsim.interrupt import interruptible
from bidsim.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMANDS = (run, scenarios, compare, sweep, report, monitor, validate, audit, completion)
"""In the order of help."""

_EPILOG = """a first hour:
  bidsim demo                                               a week of a market; prints a table and leaves a run directory
  bidsim report runs/quickstart-1a2b3c4d5e6f --open         the same as pages, of the whole and of each advertiser
  bidsim scenarios                                          what else there is to run
  bidsim show tight_budgets > mine.toml                     a scenario of your own: change one line ...
  bidsim check mine.toml                                    ... see that it is understood ...
  bidsim compare tight_budgets mine.toml                    ... and what it changes, with intervals
  bidsim COMMAND --help                                     more examples
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code (0 done, 1 something was found, 2 typed wrong, 3 failed)."""
    parser = make_parser()
    chosen = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] | None = getattr(chosen, "command", None)
    if command is None:
        parser.print_help()
        return EXIT_TYPED_WRONG
    code = 0
    try:
        with interruptible():
            code = command(chosen)
        sys.stdout.flush()
    except BidsimError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain(f"stopped; {getattr(chosen, 'left_behind', 'nothing was written')}")
        return EXIT_RUN_FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, MemoryError) as error:
        _complain(f"{type(error).__name__}: {error}")
        return EXIT_RUN_FAILED
    return code


def make_parser() -> argparse.ArgumentParser:
    """Declare all commands."""
    return make_parsers()[0]


def make_parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser of the whole, and that of each command by name."""
    parser = argparse.ArgumentParser(
        prog="bidsim", description="Real-time ad bidding, simulated, with the truth known.", epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"bidsim {VERSION}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for one in COMMANDS:
        one.add(commands)
    return parser, dict(commands.choices)


def _complain(text: str) -> None:
    told = "\n".join(one_line(line) for line in text.split("\n"))
    print(f"error: {told}" if "\n" not in told else f"errors:\n{told}", file=sys.stderr)

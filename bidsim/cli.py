"""The command line: parses, calls, prints. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import argparse
import io
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsim.commands import audit, compare, completion, monitor, report, run, scenarios, sweep, validate
from bidsim.core.errors import EXIT_RUN_FAILED, EXIT_TYPED_WRONG, BidsimError, UsageError, cut, did_you_mean, one_line
from bidsim.interrupt import interruptible
from bidsim.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMANDS = (run, scenarios, compare, sweep, report, monitor, validate, audit, completion)
"""In the order of help."""

_EPILOG = """a first hour:
  bidsim demo                                               a week of a market: a table and a run directory
  bidsim report runs/quickstart-1a2b3c4d5e6f --open         the same as pages, of the whole and of each advertiser
  bidsim scenarios                                          what else there is to run
  bidsim show tight_budgets > mine.toml                     a scenario of your own: change one line ...
  bidsim check mine.toml                                    ... see that it is understood ...
  bidsim compare tight_budgets mine.toml                    ... and what it changes, with intervals
  bidsim COMMAND --help                                     more examples
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code (0 done, 1 something was found, 2 typed wrong, 3 failed)."""
    if sys.stdout is None:  # closed by whoever started it
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):  # what the terminal's alphabet lacks is shown as a question mark
        sys.stdout.reconfigure(errors="replace")
    chosen, out = argparse.Namespace(), _Patient(sys.stdout)
    try:
        with interruptible(), redirect_stdout(out):
            code = _run(chosen, arguments)
            sys.stdout.flush()
        if out.failed is not None:
            _complain(f"standard output cannot be written: {out.failed.strerror or out.failed}; all else was done")
            return EXIT_RUN_FAILED
    except BidsimError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain(f"stopped; {getattr(chosen, 'left_behind', 'nothing was written')}")
        return EXIT_RUN_FAILED
    except (OSError, MemoryError) as error:
        _complain(f"{type(error).__name__}: {error}")
        return EXIT_RUN_FAILED
    return code


def _run(chosen: argparse.Namespace, arguments: Sequence[str] | None) -> int:
    parser, commands = make_parsers()
    chosen.parser = parser  # for the command that tells a shell of all of them
    typed = sys.argv[1:] if arguments is None else list(arguments)
    if typed and not typed[0].startswith("-") and typed[0] not in commands:
        raise UsageError(
            f"there is no command {cut(typed[0], 60)!r} (bidsim --help lists them){did_you_mean(typed[0], commands)}"
        )
    try:
        _, unknown = parser.parse_known_args(typed, chosen)
        if unknown:
            # of the command, whose usage is shown; the parser of the whole would show its own
            commands.get(typed[0], parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    finally:
        sys.stdout.flush()  # help ends the interpreter
    command: Callable[[argparse.Namespace], int] | None = getattr(chosen, "command", None)
    if command is None:
        parser.print_help()
        return EXIT_TYPED_WRONG
    return command(chosen)


class _Patient:
    """Standard output whose reader may go away, or that may be full.

    What is left to say is dropped, and the command goes on to its end.

    Attributes:
        failed: Why it cannot be written, where that is not for want of a reader.

    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.failed: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        """All else is the stream's own."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, if anyone reads."""
        try:
            return int(self._stream.write(text))
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        """Hand over what was written, if anyone reads."""
        try:
            self._stream.flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        if not isinstance(error, BrokenPipeError):
            self.failed = error


def make_parser() -> argparse.ArgumentParser:
    """Declare all commands."""
    return make_parsers()[0]


def make_parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser of the whole, and that of each command by name."""
    parser = argparse.ArgumentParser(
        prog="bidsim",
        description="Real-time ad bidding, simulated, with the truth known.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bidsim {VERSION}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for one in COMMANDS:
        one.add(commands)
    return parser, dict(commands.choices)


def _complain(text: str) -> None:
    told = "\n".join(one_line(line) for line in text.split("\n"))
    print(f"error: {told}" if "\n" not in told else f"errors:\n{told}", file=sys.stderr)

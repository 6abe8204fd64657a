"""The process ``bidsim``, which is also ``python -m bidsim``."""

import signal
import sys
from typing import Any

_ENDING = (signal.SIGTERM, signal.SIGHUP)


def start() -> int:
    """Run the command line.

    Ctrl-C ends the process without a word while it loads, and can do nothing more once it has told how it ended.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from bidsim.cli import main  # noqa: PLC0415 - Ctrl-C may come while it loads

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # until `main` takes it, and again when `main` gives it back
    heard = [number for number in _ENDING if signal.getsignal(number) == signal.SIG_DFL]  # nohup has one ignored
    for number in heard:
        signal.signal(number, _nothing)
    code = main()
    for number in heard:
        signal.signal(number, signal.SIG_IGN)
    return code


def _nothing(number: int, frame: Any) -> None:
    """Stand where a signal that is taken later, or was told already, would end the process."""


if __name__ == "__main__":
    sys.exit(start())

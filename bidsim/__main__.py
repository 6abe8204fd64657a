"""The process ``bidsim``, which is also ``python -m bidsim``."""

import signal
import sys


def start() -> int:
    """Run the command line.

    Ctrl-C ends the process without a word while it loads, and can do nothing more once it has told how it ended.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from bidsim.cli import main  # noqa: PLC0415 - Ctrl-C may come while it loads

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # until `main` takes it, and again when `main` gives it back
    return main()


if __name__ == "__main__":
    sys.exit(start())

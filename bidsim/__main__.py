"""``python -m bidsim`` is the same as ``bidsim``."""

import sys

from bidsim.cli import main

if __name__ == "__main__":
    sys.exit(main())

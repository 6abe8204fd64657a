"""`completion`: words that a shell can complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bidsim.commands.common import add_command
from bidsim.core.errors import UsageError

if TYPE_CHECKING:
    import argparse

_SHELLS = ("bash", "zsh", "tcsh")


def add(commands: Any) -> None:
    """Declare ``completion``."""
    parser = add_command(
        commands, "completion", "print a script that lets a shell complete commands and options", _completion,
        """eval "$(bidsim completion bash)"                      (this shell; add the line to ~/.bashrc for all)
        bidsim completion zsh > ~/.zfunc/_bidsim""",
    )  # fmt: skip
    parser.add_argument("shell", choices=_SHELLS, help="which shell")


def _completion(chosen: argparse.Namespace) -> int:
    try:
        import shtab  # noqa: PLC0415  (an extra)
    except ImportError:
        raise UsageError("completion needs the package shtab, which is not installed: python -m pip install 'bidsim[completion]'") from None
    from bidsim.cli import make_parser  # noqa: PLC0415

    print(shtab.complete(make_parser(), shell=chosen.shell))
    return 0

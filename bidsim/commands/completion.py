"""`completion`: words that a shell can complete."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from bidsim.commands.common import add_command
from bidsim.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHELLS = ("bash", "zsh", "tcsh")
_SCENARIO = "_bidsim_scenario"
_BASH = """
_bidsim_scenario() {
  compgen -W "NAMES" -- "$1"
  _shtab_compgen_files "$1"
}
"""
_ZSH = """
_bidsim_scenario() {
  _alternative 'scenarios:scenario:(NAMES)' 'files:file:_files'
}
"""


def add(commands: Any) -> None:
    """Declare ``completion``."""
    parser = add_command(
        commands, "completion", "print a script that lets a shell complete commands, options and "
                                "scenarios", _completion,
        """eval "$(bidsim completion bash)"                      (this shell; add the line to ~/.bashrc for all)
        bidsim completion zsh > ~/.zfunc/_bidsim""",
    )  # fmt: skip
    parser.add_argument("shell", choices=_SHELLS, help="which shell")


def _completion(chosen: argparse.Namespace) -> int:
    try:
        import shtab  # noqa: PLC0415  (an extra)
    except ImportError:
        raise UsageError(
            "completion needs the package shtab, which is not installed: python -m pip install shtab, with the Python "
            "that runs bidsim"
        ) from None
    from bidsim.scenario.shipped import shipped_scenarios  # noqa: PLC0415

    parser, names = chosen.parser, " ".join(shipped_scenarios())
    scenario = {"bash": _SCENARIO, "zsh": _SCENARIO, "tcsh": "f"}
    _complete(
        parser,
        {
            "SCENARIO": scenario,
            "RUN": shtab.DIRECTORY,
            "FOLDER": shtab.DIRECTORY,
            "RUN_OR_LOG": shtab.FILE,
            "FILE": shtab.FILE,
        },
    )
    preamble: Any = {"bash": _BASH.replace("NAMES", names), "zsh": _ZSH.replace("NAMES", names)}
    print(shtab.complete(parser, shell=chosen.shell, preamble=preamble))
    return 0


def _complete(parser: argparse.ArgumentParser, by_metavar: Mapping[str, Any]) -> None:
    """Say of all arguments, commands' too, how a shell completes them."""
    for action in parser._actions:  # noqa: SLF001  (argparse has no other way to them)
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for command in action.choices.values():
                _complete(command, by_metavar)
        elif action.metavar in by_metavar:
            action.complete = by_metavar[action.metavar]  # type: ignore[attr-defined,index]

"""`scenarios`, `check`, `show` and `schema`: what there is to run, and what is wrong with it."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from bidsim.commands.common import add_changes, add_command, add_json, add_scenario, load, say_next
from bidsim.core.errors import UsageError

if TYPE_CHECKING:
    import argparse

_NARROWEST = 24


def add(commands: Any) -> None:
    """Declare the commands."""
    listed = add_command(
        commands,
        "scenarios",
        "list the scenarios that come with bidsim, each with its question",
        _scenarios,
        "bidsim scenarios",
    )
    add_json(listed)
    check = add_command(
        commands, "check", "say everything that is wrong with a scenario", _check, "bidsim check my_scenario.toml"
    )
    add_scenario(check)
    add_changes(check)
    show = add_command(
        commands, "show", "print a scenario", _show,
        """bidsim show tight_budgets > my_scenario.toml
        bidsim show my_scenario.toml --resolved""",
    )  # fmt: skip
    add_scenario(show)
    add_changes(show)
    show.add_argument("--resolved", action="store_true", help="with every default filled in, as JSON")
    add_command(
        commands,
        "schema",
        "print the JSON Schema of scenario files, for editors",
        _schema,
        "bidsim schema > bidsim.schema.json",
    )


def _scenarios(chosen: argparse.Namespace) -> int:
    from bidsim.scenario.shipped import shipped_scenarios  # noqa: PLC0415

    found = shipped_scenarios()
    if chosen.json:
        print(json.dumps(found, indent=1))
        return 0
    width = max(map(len, found))
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for name, question in found.items():
        lines = textwrap.wrap(question, room - width - 2) if room - width > _NARROWEST else [question]
        print(f"{name:<{width}}  {lines[0]}", *lines[1:], sep=f"\n{'':<{width}}  ")
    print()
    say_next("bidsim run NAME", "bidsim show NAME > my_scenario.toml")
    return 0


def _check(chosen: argparse.Namespace) -> int:
    settings = load(chosen).settings
    counts = ", ".join(
        f"{count} {word}{'' if count == 1 else 's'}"
        for count, word in ((len(settings.campaigns), "campaign"), (len(settings.seats), "seat"))
    )
    requests = f"{settings.requests:,} requests expected" if settings.requests else "as many requests as its log has"
    print(f"{chosen.scenario}: fine. {counts}, {requests}.")
    return 0


def _show(chosen: argparse.Namespace) -> int:
    from bidsim.scenario.shipped import find_scenario  # noqa: PLC0415

    scenario = load(chosen)
    if (chosen.set or chosen.seed) and not chosen.resolved:
        raise UsageError(
            f"show prints {chosen.scenario} as it is written; add --resolved to see it with what --set and --seed "
            "change"
        )
    if chosen.resolved:
        print(json.dumps(scenario.resolved(), indent=2))
    else:
        print(find_scenario(chosen.scenario).read_text(encoding="utf-8-sig"), end="")
    return 0


def _schema(chosen: argparse.Namespace) -> int:
    from bidsim.scenario.schema import scenario_schema  # noqa: PLC0415

    print(json.dumps(scenario_schema(), indent=1))
    return 0

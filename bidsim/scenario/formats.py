"""What a file that is no TOML seems to be instead, so that whoever opened it knows what to do."""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import Any

_EXAMPLE = "scenarios are TOML: 'bidsim show quickstart' prints one, and 'bidsim scenarios' lists those that there are"
_GYM = {"SecondPrice": "auctiongym_sp_oracle", "FirstPrice": "auctiongym_fp_oracle"}
_GIN = re.compile(r"^\s*(import [\w.]+\s*$|include\s+['\"]|from [\w.]+ import |[\w./]+\s*=\s*[@%]\w)", re.MULTILINE)
_YAML = re.compile(r"\A(\s*#[^\n]*\n|\s*\n)*(---\s*$|- |[\w\"'-]+:(\s|$))", re.MULTILINE)


def other_format(text: str, name: str) -> str:
    """Say what a text seems to be that is not valid TOML, and what to do; empty where it is like nothing known.

    Args:
        text: The file's text.
        name: Its name, whose ending may tell.

    """
    begin, ending = text.lstrip()[:1], PurePath(name).suffix.lower()
    if begin in ("{", "[") or ending == ".json":
        data = _json(text)
        if data is not None or begin == "{" or ending == ".json":
            return _told_of_json(data)
    if begin == "<":
        return f"it seems to be XML or a web page; {_EXAMPLE}"
    if ending == ".gin" or _GIN.search(text):
        return f"it seems to be a gin configuration of another tool; {_EXAMPLE}"
    if ending in (".yml", ".yaml") or _YAML.search(text):
        return f"it seems to be YAML; {_EXAMPLE}"
    return ""


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _told_of_json(data: Any) -> str:
    if isinstance(data, dict) and "agents" in data and {"allocation", "rounds_per_iter", "num_iter"} & set(data):
        own = _GYM.get(str(data.get("allocation")), "")
        stands = f"; {own} is that of this one's auctions" if own else ""
        names = " and ".join(_GYM.values())
        return f"it is a configuration of AuctionGym, in JSON; the scenarios {names} stand for its own{stands}"
    if isinstance(data, dict) and {"scenario", "scenario_hash"} <= set(data):
        return "it is the manifest of a run, in JSON; name the scenario that the run was made of"
    return f"it is JSON; {_EXAMPLE}"

"""What policies and pacers have learned.

Their slabs by the names of campaigns and columns, and how another run begins with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.errors import UsageError, did_you_mean
from bidsim.core.result import load_result
from bidsim.scenario.names import chosen_params
from bidsim.scenario.order import order_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bidsim.bidder.tables import Bidder
    from bidsim.core.result import Columns
    from bidsim.scenario.load import Scenario

_SLABS = {"policy": ("policy_floats", "policy_ints"), "pacing": ("pacer_floats", "pacer_ints")}
_KINDS = ("floats", "ints")


def _columns(plugin: Any, kind: str) -> Iterator[tuple[str, int, int]]:
    """Name, first place and width of each column of a plug-in's slab."""
    at = 0
    for column in getattr(plugin, kind):
        name, width = (column, 1) if isinstance(column, str) else column
        yield name, at, width
        at += width


def _plugins(scenario: Scenario) -> Iterator[tuple[int, str, str, Any]]:
    """Row and name of each campaign, and the family and class of its policy and pacer."""
    order = order_of(scenario)
    for row, (name, campaign) in enumerate(zip(order.names, order.campaigns, strict=True)):
        for family, choice in (("policy", campaign.policy), ("pacing", campaign.pacing)):
            yield row, name, family, chosen_params(family, choice.name, choice.params, scenario.beside)[0]


def learned_table(bidder: Bidder, scenario: Scenario) -> Columns:
    """Slabs as a table: one row a number, with campaign, family, plug-in, column and place in it."""
    found: dict[str, list[Any]] = {name: [] for name in ("campaign", "family", "plugin", "column")}
    places: list[NDArray[np.int64]] = []
    values: list[NDArray[np.float64]] = []
    counts: list[NDArray[np.int64]] = []
    for row, name, family, plugin in _plugins(scenario):
        for slab, kind in zip(_SLABS[family], _KINDS, strict=True):
            state = getattr(bidder, slab)[row]
            for column, at, width in _columns(plugin, kind):
                for key, value in zip(found, (name, family, plugin.__name__, column), strict=True):
                    found[key] += [value] * width
                places.append(np.arange(width))
                numbers = state[at : at + width]
                values.append(numbers.astype(np.float64))
                counts.append(numbers.astype(np.int64) if kind == "ints" else np.zeros(width, np.int64))
    return {
        **found,
        "place": np.concatenate([np.zeros(0, np.int64), *places]),
        "number": np.concatenate([np.zeros(0), *values]),
        "count": np.concatenate([np.zeros(0, np.int64), *counts]),
    }


def warm_start(bidder: Bidder, scenario: Scenario) -> None:
    """Write to the slabs what an earlier run had learned, where the scenario says so.

    Raises:
        UsageError: The run is missing, or a campaign, its plug-in or a column does not fit.

    """
    chosen = scenario.settings.warm_start
    if chosen is None:
        return
    folder = Path(chosen.run) if Path(chosen.run).is_absolute() else _beside(scenario.folder, chosen.run)
    where = f"warm_start.run {chosen.run!r}"
    table = load_result(folder).tables.get("learned")
    if table is None:
        raise UsageError(f"{where}: the run holds nothing that was learned; run it again with this version")
    learned = _by_name(table)
    campaigns = {campaign for campaign, *_ in learned}
    for row, name, family, plugin in _plugins(scenario):
        if name in chosen.fresh:
            continue
        if name not in campaigns and any(_columns(plugin, kind) for kind in _KINDS):
            hint = did_you_mean(name, campaigns)
            raise UsageError(
                f"{where}: there is no campaign {name!r}{hint}; name it under warm_start.fresh to begin anew"
            )
        _fill(bidder, row, (name, family, plugin), learned, where)


def _beside(folder: Path, run: str) -> Path:
    return folder / run if (folder / run).exists() else Path(run)


def _fill(
    bidder: Bidder, row: int, of: tuple[str, str, Any], learned: dict[tuple[str, str, str, str], Any], where: str
) -> None:
    name, family, plugin = of
    known = {column for c, f, p, column in learned if (c, f, p) == (name, family, plugin.__name__)}
    wanted = [column for kind in _KINDS for column, *_ in _columns(plugin, kind)]
    others = sorted({p for c, f, p, _ in learned if (c, f) == (name, family)} - {plugin.__name__})
    if others:
        raise UsageError(
            f"{where}: campaign {name!r} had {family} {others[0]} there and has {plugin.__name__} here; "
            "choose the same, or name the campaign under warm_start.fresh"
        )
    if known != set(wanted):
        apart = min(known ^ set(wanted))
        raise UsageError(
            f"{where}: campaign {name!r}: column {apart!r} of {plugin.__name__} is not in both; run it again"
        )
    for slab, kind in zip(_SLABS[family], _KINDS, strict=True):
        for column, at, width in _columns(plugin, kind):
            numbers, counts = learned[name, family, plugin.__name__, column]
            if len(numbers) != width:
                raise UsageError(
                    f"{where}: campaign {name!r}: column {column!r} of {plugin.__name__} has {len(numbers)} places "
                    "there "
                    f"and {width} here; choose the same parameters, or name the campaign under warm_start.fresh"
                )
            getattr(bidder, slab)[row, at : at + width] = counts if kind == "ints" else numbers


def _by_name(table: Columns) -> dict[tuple[str, str, str, str], tuple[NDArray[Any], NDArray[Any]]]:
    rows: dict[tuple[str, str, str, str], list[int]] = {}
    for row, key in enumerate(zip(table["campaign"], table["family"], table["plugin"], table["column"], strict=True)):
        rows.setdefault(key, []).append(row)
    return {key: (np.asarray(table["number"])[of], np.asarray(table["count"])[of]) for key, of in rows.items()}

"""From campaigns' policies and pacers to kernels, groups and first states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.contracts import CampaignBrief, column_names, do_nothing, state_row
from bidsim.core.errors import UsageError, did_you_mean
from bidsim.scenario.names import chosen_params

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bidsim.scenario.load import Scenario
    from bidsim.scenario.model import CampaignSettings


class Bidders:
    """Kernels of all policies and pacers, groups of campaigns that share them, and the plug-ins' first states.

    Args:
        scenario: The scenario.
        campaigns: Settings and seat of each campaign, in the engine's order.
        briefs: What each may know beforehand.

    Attributes:
        policies: Policies in the order that groups count them.
        pacers: Pacers in the order that groups count them.
        groups: int64[groups, 8]: policy, pacer, first campaign, end, seat, and whether pacer, notice and settler do
            anything.
        state: The state slabs by their names in `Simulated`.

    """

    def __init__(
        self, scenario: Scenario, campaigns: Sequence[tuple[CampaignSettings, int]], briefs: Sequence[CampaignBrief]
    ) -> None:
        found: dict[str, list[Any]] = {"policy": [], "pacing": []}
        codes: dict[str, list[int]] = {"policy": [], "pacing": []}
        starts: dict[str, list[tuple[Any, Any]]] = {"policy": [], "pacing": []}
        for (campaign, _), brief in zip(campaigns, briefs, strict=True):
            for family, choice in (("policy", campaign.policy), ("pacing", campaign.pacing)):
                plugin, params = chosen_params(family, choice.name, choice.params, scenario.beside)
                if plugin not in found[family]:
                    found[family].append(plugin)
                codes[family].append(found[family].index(plugin))
                starts[family].append((plugin, _first_state(plugin, params, brief)))
        self.policies, self.pacers = found["policy"], found["pacing"]
        self.groups = _groups(codes, [seat for _, seat in campaigns])
        acts = [
            [p.pace is not do_nothing for p in self.pacers],
            [p.notice is not do_nothing for p in self.policies],
            [p.settle is not do_nothing for p in self.pacers],
        ]
        flags = [[acts[0][pacer], acts[1][policy], acts[2][pacer]] for policy, pacer in self.groups[:, :2]]
        self.groups = np.ascontiguousarray(np.column_stack([self.groups, np.array(flags, np.int64)]))
        self.state: dict[str, NDArray[Any]] = {}
        for family, slab in (("policy", "policy"), ("pacing", "pacer")):
            self.state[f"{slab}_floats"] = _slab(starts[family], "floats", np.float64)
            self.state[f"{slab}_ints"] = _slab(starts[family], "ints", np.int64)


def _first_state(plugin: Any, params: Any, brief: CampaignBrief) -> dict[str, Any]:
    """Ask a plug-in for a campaign's first state, and check that it fits the columns that it named."""
    where = f"{plugin.__name__}.start() for campaign {brief.name!r}"
    known = [*column_names(plugin.floats), *column_names(plugin.ints)]
    try:
        first = dict(plugin.start(params, brief))
        state_row(plugin.floats, first, np.float64)
        state_row(plugin.ints, first, np.int64)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{where} failed: {type(error).__name__}: {error}") from error
    unknown = sorted(set(first) - set(known))
    if unknown:
        raise UsageError(
            f"{where} sets {unknown[0]!r}, which is no column of floats or ints{did_you_mean(unknown[0], known)}"
        )
    return first


def _groups(codes: dict[str, list[int]], seats: list[int]) -> NDArray[np.int64]:
    rows: list[list[int]] = []
    for k, (policy, pacer, seat) in enumerate(zip(codes["policy"], codes["pacing"], seats, strict=True)):
        if rows and rows[-1][:2] == [policy, pacer] and rows[-1][4] == seat:
            rows[-1][3] = k + 1
        else:
            rows.append([policy, pacer, k, k + 1, seat])
    return np.array(rows, np.int64)


def _slab(starts: Sequence[tuple[Any, Any]], kind: str, dtype: Any) -> NDArray[Any]:
    rows = [state_row(getattr(plugin, kind), first, dtype) for plugin, first in starts]
    slab = np.zeros((len(rows), max(1, *(len(row) for row in rows))), dtype)
    for k, row in enumerate(rows):
        slab[k, : len(row)] = row
    return slab

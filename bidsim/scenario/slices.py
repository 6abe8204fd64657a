"""How a run is cut into slices and windows: by product line, as long as the slices are not too many."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.scenario.incidents import run_vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bidsim.scenario.model import CampaignSettings, ScenarioSettings

_OF_SCORES = 8
"""Rows that the bins of one level weigh as much as."""


def windows_of(settings: ScenarioSettings) -> int:
    """Windows of a run, the last one perhaps cut short."""
    return -(-settings.duration // settings.monitoring.window)


def levels_of(settings: ScenarioSettings, vocabulary: Mapping[str, Sequence[str]]) -> int:
    """Levels of all fields and pairs."""
    return sum(len(names) for names in vocabulary.values()) + sum(
        math.prod(len(vocabulary[f]) for f in pair) for pair in settings.monitoring.pairs
    )


def group_campaigns(
    settings: ScenarioSettings, campaigns: Sequence[CampaignSettings], vocabulary: Mapping[str, Sequence[str]]
) -> tuple[NDArray[np.int64], list[tuple[str, str]]]:
    """Group of each campaign, int64[campaigns], and the groups as (advertiser, product).

    A group is a product line; a product, the advertiser left empty, where lines times levels are more slices than
    allowed; all campaigns together where products are too many, too.
    """
    levels = levels_of(settings, vocabulary)
    for told in (lambda c: (c.advertiser, c.product), lambda c: ("", c.product), lambda c: ("", "")):
        of_each = [told(c) for c in campaigns]
        groups = sorted(set(of_each))
        if len(groups) * levels <= settings.monitoring.most or groups == [("", "")]:
            break
    return np.array([groups.index(g) for g in of_each], np.int64), groups


def cells_of(settings: ScenarioSettings) -> int:
    """Rows that the tables of slices may come to."""
    vocabulary = run_vocabulary(settings)
    _, groups = group_campaigns(settings, list(settings.campaigns.values()), vocabulary)
    single = sum(len(names) for names in vocabulary.values())
    return windows_of(settings) * (levels_of(settings, vocabulary) * len(groups) + single * _OF_SCORES)

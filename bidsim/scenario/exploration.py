"""From ``[exploration]`` to the tables of the loop: how far each arm moves each lever of each campaign."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bidsim.bidder.exploration import ARMS, CHANCES, DOWN, NATURAL, UP
from bidsim.bidder.tables import Experiment
from bidsim.core.levers import BID, LEVERS
from bidsim.engine.exploration import BUY, CLICK, LOG, SHIFT
from bidsim.engine.tables import Exploration
from bidsim.observers.exploration import empty_tried
from bidsim.response.prepare import moved_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bidsim.scenario.model import CampaignSettings, ScenarioSettings

_IN_LOGARITHMS = ("price", "bid")
"""Levers of which a step is a part: so many parts of their logarithm."""


def prepare_exploration(
    settings: ScenarioSettings, campaigns: Sequence[CampaignSettings]
) -> tuple[Exploration, Experiment]:
    """Tables of the slice for campaigns in the engine's order; a lever that is not varied stays where it is."""
    explored = settings.exploration
    stays = CHANCES[DOWN] + CHANCES[NATURAL]
    below = np.array([[CHANCES[DOWN], stays] if lever in explored.levers else [0.0, 1.0] for lever in LEVERS])
    moves = np.zeros((len(campaigns), len(LEVERS), ARMS, 4))
    for j, lever in enumerate(LEVERS):
        for arm, sign in ((DOWN, -1.0), (UP, 1.0)) if lever in explored.levers else ():
            step = float(getattr(explored.steps, lever))
            for c, campaign in enumerate(campaigns):
                change = sign * explored.reach * (math.log1p(step) if lever in _IN_LOGARITHMS else step)
                if lever == "shipping_days":
                    change = max(change, -campaign.levers.shipping_days)
                moves[c, j, arm, SHIFT] = math.expm1(change) if lever in _IN_LOGARITHMS else change
                if j == BID:
                    moves[c, j, arm, LOG] = change
                else:
                    moved = moved_by(settings.response, lever, change)
                    moves[c, j, arm, CLICK], moves[c, j, arm, BUY], moves[c, j, arm, LOG] = moved
    factor = np.array([[math.exp(change) for change in arms] for arms in moves[:, BID, :, LOG].tolist()])
    return Exploration(below, moves), Experiment(below[BID].copy(), factor, empty_tried(len(campaigns), ARMS))

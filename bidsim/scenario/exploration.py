"""From ``[exploration]`` to the tables of the loop: how far each arm moves each lever of each campaign."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bidsim.engine.exploration import ARMS, BUY, CHANCES, CLICK, DOWN, LEVERS, LOG, SHIFT, UP
from bidsim.engine.tables import Exploration
from bidsim.observers.exploration import empty_tried

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bidsim.scenario.model import CampaignSettings, ScenarioSettings


def prepare_exploration(settings: ScenarioSettings, campaigns: Sequence[CampaignSettings]) -> Exploration:
    """Tables of the slice for campaigns in the engine's order; a lever that is not varied stays where it is."""
    explored, response = settings.exploration, settings.response
    below = np.array([[CHANCES[DOWN], CHANCES[DOWN] + CHANCES[1]] if lever in explored.levers else [0.0, 1.0] for lever in LEVERS])
    moves = np.zeros((len(campaigns), len(LEVERS), ARMS, 4))
    for j, lever in enumerate(LEVERS):
        if lever not in explored.levers:
            continue
        distance = explored.reach * getattr(explored.steps, lever)
        for arm, sign in ((DOWN, -1.0), (UP, 1.0)):
            move = moves[:, j, arm]
            move[:, SHIFT] = sign * distance
            if lever in ("price", "bid"):
                # a step is a part of it: so many parts of its logarithm
                move[:, LOG] = sign * explored.reach * math.log1p(getattr(explored.steps, lever))
                move[:, SHIFT] = np.expm1(move[:, LOG])
            elif lever == "creative":
                move[:, CLICK] = response.creative_effect * move[:, SHIFT]
            elif lever == "landing":
                move[:, BUY] = response.landing_effect * move[:, SHIFT]
            else:
                natural = np.array([c.levers.shipping_days for c in campaigns])
                move[:, SHIFT] = np.maximum(natural + sign * distance, 0.0) - natural
                move[:, BUY] = -response.shipping_effect * move[:, SHIFT]
    return Exploration(below, moves, empty_tried(len(campaigns), ARMS))

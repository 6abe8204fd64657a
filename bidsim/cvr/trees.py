"""An ensemble of trees compiled for scoring: tables of masks where they fit the caches, else linked nodes.

What is chosen stands in ``ints[0]`` and is told by `describe`: masks (`bidsim.cvr.masks`) where trees have 64 leaves at
most and their tables take 12 MB at most, else links (`bidsim.cvr.links`). The choice is by size alone: vectors are
written as 512 bits, and LLVM splits them for machines that have less.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.errors import ModelError
from bidsim.core.kernel import kernel
from bidsim.core.scoring import SCORE_SIGNATURE, ScorerTables, ScoreTask, aligned_tables, score_task
from bidsim.cvr.binning import COUNT, SCORER, bins_of, make_bins, split_as_both
from bidsim.cvr.ensemble import EXP, SOFTPLUS, SQUARE, parse_ensemble
from bidsim.cvr.links import compile_links, link_binned, link_row
from bidsim.cvr.masks import LINKS, NARROW, WIDE, compile_masks, fits, score_binned, score_candidates, score_rows

if TYPE_CHECKING:
    from bidsim.cvr.ensemble import Ensemble

_LINKS, _NARROW = LINKS, NARROW
_LIMITS = {
    EXP: (700.0, ", of which its objective takes exp"),
    SOFTPLUS: (700.0, ", of which its objective takes exp"),
    SQUARE: (1e150, ", of which its objective takes the square"),
}
"""Largest sum of leaves of each link, and what becomes of it."""


def compile_trees(text: str, features: int, offset: float = 0.0) -> ScorerTables:
    """Tables of a LightGBM model.

    Args:
        text: The model as LightGBM writes it (``model_to_string``).
        features: Number of columns that rows will have.
        offset: Added to the log-odds.

    Raises:
        ModelError: The text is damaged, or holds a model that cannot be scored here.

    """
    return compile_ensemble(parse_ensemble(text, features), offset)


def compile_ensemble(ensemble: Ensemble, offset: float = 0.0) -> ScorerTables:
    """Tables of a checked ensemble, in the form that suits its size.

    Raises:
        ModelError: It splits a feature both as a number and as a category, or is too large.

    """
    if split_as_both(ensemble):
        raise ModelError("the model splits one feature both as a number and as a category; the file is damaged")
    _check_sums(ensemble, offset)
    binning = make_bins(ensemble, offset)
    made = compile_masks(ensemble, binning) if fits(ensemble, binning) else compile_links(ensemble, binning)
    return aligned_tables(made)


def _check_sums(ensemble: Ensemble, offset: float) -> None:
    """See that no sum of leaves leads to a prediction that is no number.

    Raises:
        ModelError: One does.

    """
    most, least = np.full(ensemble.trees, -np.inf), np.full(ensemble.trees, np.inf)
    np.maximum.at(most, ensemble.leaf_tree, ensemble.leaf_value)
    np.minimum.at(least, ensemble.leaf_tree, ensemble.leaf_value)
    bounds = [
        ensemble.sharpness * sum(least.tolist()) + min(offset, 0.0),
        ensemble.sharpness * sum(most.tolist()) + max(offset, 0.0),
    ]
    limit, power = _LIMITS.get(ensemble.link, (sys.float_info.max, ""))
    reach = bounds[1] if ensemble.link in (EXP, SOFTPLUS) else max(abs(b) for b in bounds)
    if not all(math.isfinite(b) for b in bounds) or reach > limit:
        raise ModelError(
            f"the leaves of the model's trees add up to as much as {reach:g}{power}: more than a number can hold; "
            "train it with smaller steps (learning_rate), or on labels that are 0 and 1"
        )


def describe(tables: ScorerTables) -> str:
    """Say how a model is scored."""
    how = {LINKS: "linked nodes", NARROW: "masks of 32 bits", WIDE: "masks of 64 bits"}[int(tables.ints[SCORER])]
    size = sum(part.nbytes for part in tables) / 1e6
    return f"{how}, {tables.ints[COUNT]} trees, {size:.1f} MB"


@kernel(SCORE_SIGNATURE)
def score_trees(task: ScoreTask, lo: int, hi: int) -> None:
    """Predicted rates of rows ``lo`` to ``hi``, in the way that the tables were made for."""
    kind, together = task.ints[0], task.who[min(lo, task.who.shape[0] - 1)] >= 0
    if kind == _LINKS:
        for k in range(lo, hi):
            task.pcvr[k] = link_row(task, task.features[k])
    elif kind == _NARROW:
        if together:
            score_candidates(task.ints, task.narrow, task.floats, task.who, task.features, lo, hi, task.pcvr)
        else:
            score_rows(task.ints, task.narrow, task.floats, task.features, lo, hi, task.pcvr)
    elif together:
        score_candidates(task.ints, task.wide, task.floats, task.who, task.features, lo, hi, task.pcvr)
    else:
        score_rows(task.ints, task.wide, task.floats, task.features, lo, hi, task.pcvr)


@kernel()
def _score_all_binned(tables: ScorerTables, bins: NDArray[np.int64], out: NDArray[np.float64]) -> None:
    if tables.ints[0] == _LINKS:
        for k in range(bins.shape[0]):
            out[k] = link_binned(tables, bins[k])
    elif tables.ints[0] == _NARROW:
        score_binned(tables.ints, tables.narrow, tables.floats, bins, out)
    else:
        score_binned(tables.ints, tables.wide, tables.floats, bins, out)


def predict(tables: ScorerTables, rows: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Predictions of rows, float32 or float64[n, features], as LightGBM's ``Booster.predict`` makes them.

    Returns:
        float64[n]; within 1e-12 of LightGBM's.

    """
    out = np.zeros(len(rows))
    if rows.dtype == np.float64:
        _score_all_binned(tables, bins_of(tables.ints, tables.floats, rows.astype(np.float64, copy=False)), out)
    elif len(rows):
        score_trees(score_task(tables, np.full(1, -1), np.ascontiguousarray(rows, np.float32), out, out), 0, len(rows))
    return out

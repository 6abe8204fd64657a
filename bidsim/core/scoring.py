"""How the request loop hands work to a CVR model: its compiled tables, the rows to score, and room for the answer."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from bidsim.core.aligned import aligned, padded
from bidsim.core.calls import caller
from bidsim.core.reference import ReferenceType, ref, shelf, words


class ScorerTables(NamedTuple):
    """A compiled model as flat tables.

    Int64 structure, float64 numbers, and masks of 32 or 64 bits where it has any.
    """

    ints: NDArray[np.int64]
    floats: NDArray[np.float64]
    narrow: NDArray[np.uint32]
    wide: NDArray[np.uint64]


class ScoreTask(NamedTuple):
    """What a CVR model is handed: its tables, and the rows.

    Fields: ``ints`` to ``wide`` as in `ScorerTables`; ``who`` int64[rows], campaigns; ``features`` float32[rows,
    columns]; ``truth`` float64[rows], which only the oracle reads; ``pcvr`` float64[rows], which the model writes.
    """

    ints: NDArray[np.int64]
    floats: NDArray[np.float64]
    narrow: NDArray[np.uint32]
    wide: NDArray[np.uint64]
    who: NDArray[np.int64]
    features: NDArray[np.float32]
    truth: NDArray[np.float64]
    pcvr: NDArray[np.float64]


def scorer_tables(ints: NDArray[np.int64], floats: NDArray[np.float64]) -> ScorerTables:
    """Make tables of a model without masks."""
    return ScorerTables(ints, floats, np.zeros(1, np.uint32), np.zeros(1, np.uint64))


def aligned_tables(*models: ScorerTables) -> ScorerTables:
    """Tables of one or more models behind one another, each beginning where a line of the cache does."""
    return ScorerTables(
        *(aligned(np.concatenate([padded(part) for part in parts])) for parts in zip(*models, strict=True))
    )


def score_task(
    tables: ScorerTables,
    who: NDArray[np.int64],
    features: NDArray[np.float32],
    truth: NDArray[np.float64],
    pcvr: NDArray[np.float64],
) -> ScoreTask:
    """Make a task for a call of a scorer from Python."""
    return ref(ScoreTask(*tables, who, features, truth, pcvr))


_SCORE_TASK = numba.typeof(
    ScoreTask(
        *scorer_tables(np.zeros(1, np.int64), np.zeros(1)),
        np.zeros(1, np.int64),
        np.zeros((1, 1), np.float32),
        np.zeros(1),
        np.zeros(1),
    )
)
SCORE_SIGNATURE = numba.void(ReferenceType(_SCORE_TASK), numba.int64, numba.int64)
"""``score(task, lo, hi)``: of CVR models. Rows ``lo`` to ``hi`` are campaigns ``task.who`` on one request, whose own
features are the same in all of them, unless ``task.who[lo]`` is negative: then they have nothing in common."""
call_score = caller(SCORE_SIGNATURE)
"""``call(address, arguments)``: what the request loop calls a model with."""
TASK_WORDS = words(_SCORE_TASK)
put_task, take_task = shelf(_SCORE_TASK)
"""Lay a task down once, and take a reference to it at each request."""

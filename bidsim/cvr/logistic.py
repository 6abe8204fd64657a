"""Logistic regression on one-hot categories and standardised numbers, fitted by Newton's method."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bidsim.core.contracts import CvrModel
from bidsim.core.errors import ModelError
from bidsim.core.kernel import kernel
from bidsim.core.plain import plain_path, plain_words
from bidsim.core.scoring import SCORE_SIGNATURE, ScoreTask, scorer_tables
from bidsim.core.settings import Positive, Settings
from bidsim.cvr.features import CATEGORICAL, FEATURES, WIDTH
from bidsim.cvr.files import text_of
from bidsim.cvr.training import FittedModel, LoggedRows, downsampling_offset
from bidsim.kernels.normal import sigmoid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MODEL_FILE = "weights.json"
_ITERATIONS = 12
_CONVERGED = 1e-8
_UNUSED, _NUMBER, _CATEGORY = range(3)


class Weights(BaseModel):
    """What ``weights.json`` holds; `encode` says what the numbers mean."""

    model_config = ConfigDict(frozen=True, strict=True)

    ints: list[Annotated[int, Field(ge=-(2**62), le=2**62)]]
    """Kind, first weight and number of levels of each feature."""
    floats: list[float]
    """Mean and 1 / deviation of each feature, the intercept, the weights."""


class LogisticParams(Settings):
    """How the weights are fitted, or where fitted ones are."""

    ridge: Positive = 5.0
    """Penalty on squared weights."""
    ignore: list[str] = []
    """Features that the model may not use."""
    path: str | None = None
    """Folder of a trained model, such as ``runs/x/model/main``; then nothing is trained."""


@kernel()
def encode(
    ints: NDArray[np.int64],
    floats: NDArray[np.float64],
    row: NDArray[np.float32],
    index: NDArray[np.int64],
    value: NDArray[np.float64],
) -> int:
    """Write the non-zero inputs of a row as (weight index, value); return how many there are.

    Tables: for feature j, ``ints[3 j]`` is 0 unused, 1 number, 2 category; ``ints[3 j + 1]`` its first weight;
    ``ints[3 j + 2]`` its number of levels; ``floats[2 j]`` and ``floats[2 j + 1]`` mean and 1 / deviation.
    A number has two weights: its slope, and one for being missing.
    """
    count = 0
    for j in range(row.shape[0]):
        kind, first, x = ints[3 * j], ints[3 * j + 1], np.float64(row[j])
        if kind == _NUMBER:
            missing = math.isnan(x)
            index[count] = first + 1 if missing else first
            value[count] = 1.0 if missing else (x - floats[2 * j]) * floats[2 * j + 1]
            count += 1
        elif kind == _CATEGORY and -1.0 < x < ints[3 * j + 2]:
            index[count] = first + int(x)
            value[count] = 1.0
            count += 1
    return count


@kernel(SCORE_SIGNATURE)
def score(task: ScoreTask, lo: int, hi: int) -> None:
    """Predicted rates of rows ``lo`` to ``hi``; the intercept and the weights follow the encoding in ``floats``."""
    width = task.features.shape[1]
    index, value = np.empty(width, np.int64), np.empty(width)
    for k in range(lo, hi):
        count = encode(task.ints, task.floats, task.features[k], index, value)
        total = task.floats[2 * width]
        for j in range(count):
            total += task.floats[2 * width + 1 + index[j]] * value[j]
        task.pcvr[k] = sigmoid(total)


@kernel(allocates=True)
def _newton_step(
    ints: NDArray[np.int64],
    floats: NDArray[np.float64],
    features: NDArray[np.float32],
    label: NDArray[np.float64],
    beta: NDArray[np.float64],
    ridge: float,
) -> NDArray[np.float64]:
    """One Newton step of the penalised log-likelihood, summed in row order so that threads do not matter."""
    p = beta.shape[0]
    hessian, gradient = np.zeros((p, p)), np.zeros(p)
    width = features.shape[1]
    index, value = np.zeros(width + 1, np.int64), np.ones(width + 1)
    for i in range(features.shape[0]):
        count = encode(ints, floats, features[i], index[1:], value[1:]) + 1
        index[1:count] += 1
        total = 0.0
        for j in range(count):
            total += beta[index[j]] * value[j]
        rate = sigmoid(total)
        slope = rate * (1.0 - rate)
        for j in range(count):
            gradient[index[j]] += (label[i] - rate) * value[j]
            for k in range(j + 1):
                hessian[max(index[j], index[k]), min(index[j], index[k])] += slope * value[j] * value[k]
    for j in range(1, p):
        hessian[j, j] += ridge
        gradient[j] -= ridge * beta[j]
    return _solve(hessian, gradient)


@kernel(allocates=True)
def _solve(lower: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve a symmetric positive definite system given by its lower triangle (Cholesky, in place)."""
    n = right.shape[0]
    for j in range(n):
        for k in range(j):
            lower[j, j] -= lower[j, k] * lower[j, k]
        lower[j, j] = math.sqrt(lower[j, j])
        for i in range(j + 1, n):
            for k in range(j):
                lower[i, j] -= lower[i, k] * lower[j, k]
            lower[i, j] /= lower[j, j]
    x = right.copy()
    for i in range(n):
        for k in range(i):
            x[i] -= lower[i, k] * x[k]
        x[i] /= lower[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            x[i] -= lower[k, i] * x[k]
        x[i] /= lower[i, i]
    return x


class Logistic(CvrModel):
    """Logistic regression, trained on the logged history."""

    Params = LogisticParams
    score = score

    @staticmethod
    def fit(params: LogisticParams, rows: LoggedRows, vocabulary: dict[str, tuple[str, ...]], seed: int) -> FittedModel:
        """Fit on logged rows; the seed is not needed."""
        ints, scale, weights = _layout(rows.features, vocabulary, params.ignore)
        beta = np.zeros(1 + weights)
        beta[0] = math.log(rows.label.mean() / (1.0 - rows.label.mean()))
        for _ in range(_ITERATIONS):
            step = _newton_step(ints, scale, rows.features, rows.label, beta, float(params.ridge))
            beta += step
            if np.abs(step).max() < _CONVERGED:
                break
        beta[0] += downsampling_offset(rows.keep)
        return Logistic.restore(
            {MODEL_FILE: json.dumps({"ints": ints.tolist(), "floats": [*scale.tolist(), *beta.tolist()]})},
            {"vocabulary": vocabulary},
        )

    @staticmethod
    def restore(text: dict[str, str], meta: dict[str, Any]) -> FittedModel:
        """Build the model from its folder's files.

        Raises:
            ModelError: Weights are missing, are no finite numbers, belong to no feature, or to other levels.

        """
        try:
            stored = Weights.model_validate_json(text_of(text, MODEL_FILE).removeprefix("\ufeff"))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            told = ": ".join(part for part in (plain_path(first["loc"]), plain_words(first)) if part)
            raise ModelError(f"{MODEL_FILE}: {told}; the file is damaged") from None
        ints, floats = np.array(stored.ints, np.int64), np.array(stored.floats, np.float64)
        if wrong := _wrong_with(ints, floats) or _other_levels(ints, meta["vocabulary"]):
            raise ModelError(f"{MODEL_FILE}: {wrong}; the file is damaged")
        return FittedModel(Logistic, scorer_tables(ints, floats), meta["vocabulary"], text)


def _other_levels(ints: NDArray[np.int64], vocabulary: Mapping[str, Sequence[str]]) -> str:
    """Where the weights are not those of the levels that ``meta.json`` names; nothing where all is well."""
    for name, (kind, _, levels) in zip(FEATURES, ints.reshape(WIDTH, 3).tolist(), strict=True):
        known = len(vocabulary.get(name, ()))
        if kind != _UNUSED and (kind == _CATEGORY) != (name in CATEGORICAL):
            return f"{name} is read as a {'category' if kind == _CATEGORY else 'number'}, and is none"
        if kind == _CATEGORY and levels != known:
            return f"{name} has weights for {levels} levels, and meta.json names {known}"
    return ""


def _wrong_with(ints: NDArray[np.int64], floats: NDArray[np.float64]) -> str:
    """What would make `encode` or `score` read what is not there, or give no number; nothing where all is well."""
    if ints.shape != (3 * WIDTH,) or floats.ndim != 1 or len(floats) <= 2 * WIDTH:
        return f"ints has the shape {ints.shape} and floats {floats.shape}, for {WIDTH} features"
    if not np.isfinite(floats).all():
        return f"floats[{int(np.flatnonzero(~np.isfinite(floats))[0])}] is no finite number"
    kind, first, levels = ints.reshape(WIDTH, 3).T
    weights = len(floats) - 2 * WIDTH - 1
    used = kind != _UNUSED
    reach = np.where(kind == _NUMBER, 2, levels)
    bad = ((kind < _UNUSED) | (kind > _CATEGORY)) | (
        used & ((first < 0) | (first > weights) | (reach < 0) | (reach > weights - np.minimum(first, weights)))
    )
    return (
        f"ints of feature {FEATURES[int(np.flatnonzero(bad)[0])]} name weights that are not there" if bad.any() else ""
    )


def _layout(
    features: NDArray[np.float32], vocabulary: dict[str, tuple[str, ...]], ignore: list[str]
) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    ints, scale, weights = np.zeros(3 * WIDTH, np.int64), np.zeros(2 * WIDTH), 0
    for j, name in enumerate(FEATURES):
        if name in ignore:
            continue
        levels = len(vocabulary[name]) if name in CATEGORICAL else 2
        ints[3 * j : 3 * j + 3] = [_CATEGORY if name in CATEGORICAL else _NUMBER, weights, levels]
        weights += levels
        if name not in CATEGORICAL:
            known = features[:, j][~np.isnan(features[:, j])].astype(np.float64)
            deviation = float(known.std()) if len(known) else 0.0
            scale[2 * j : 2 * j + 2] = [
                float(known.mean()) if len(known) else 0.0,
                1.0 / deviation if deviation > 0 else 0.0,
            ]
    return ints, scale, weights

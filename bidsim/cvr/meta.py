"""``meta.json`` of a model's folder: what a model needs beside its own text to be read, and its types."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bidsim.core.errors import ModelError, did_you_mean, shown
from bidsim.core.plain import plain_path, plain_words
from bidsim.core.settings import Number
from bidsim.cvr.features import CATEGORICAL, FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

META_FILE = "meta.json"
_LARGEST_COUNT = 2**62
_NEEDS = (
    "it holds kind, features, vocabulary and offset; 'bidsim run SCENARIO --set seats.SEAT.model=lightgbm --out "
    "runs/x' writes runs/x/model/SEAT/meta.json: copy that, set its offset to 0, and leave out mean_pcvr and metrics"
)
Count = Annotated[int, Field(ge=0, le=_LARGEST_COUNT)]


class _Typed(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Judged(_Typed):
    """Figures of one evaluation."""

    model_config = ConfigDict(allow_inf_nan=True)

    log_loss: Number
    normalised_entropy: Number
    auc: Number
    brier: Number
    calibration: Number
    prediction_over_truth: Number


class Metrics(_Typed):
    """How a model did where it was trained, beside the best and the simplest possible."""

    model: Judged
    oracle: Judged
    base_rate: Judged
    rows: Count
    conversions: Count


class Meta(_Typed):
    """Keys of ``meta.json``; a kind of one's own may have more."""

    model_config = ConfigDict(extra="allow")

    kind: str
    """Kind of the model: ``lightgbm`` or ``logistic``."""
    features: list[str]
    """Columns of rows that it was trained on."""
    vocabulary: dict[str, list[str]]
    """Levels of each categorical feature, in the order of their codes."""
    offset: Number = 0.0
    """Added to the log-odds: undoes that negatives were thinned."""
    mean_pcvr: dict[str, Number] = {}
    """Mean prediction by campaign."""
    metrics: Metrics | None = None
    """Evaluation where it was trained."""

    def figures(self) -> dict[str, Any]:
        """Figures of the evaluation; empty where there was none."""
        return {} if self.metrics is None else self.metrics.model_dump()


def read_meta(text: str, where: str) -> Meta:
    """Read and check the text of a ``meta.json``.

    Args:
        text: The file's text.
        where: The file, for messages.

    Raises:
        ModelError: It is no JSON, a key is missing or of another type, or features and levels are not those of bidsim.

    """
    try:
        data = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where} is damaged: it is not JSON ({error})") from None
    if not isinstance(data, dict):
        raise ModelError(f"{where} is damaged: it holds {shown(data)}, not a table of keys")
    if data.get("metrics", {}) in ({}, None):
        data = {key: value for key, value in data.items() if key != "metrics"}
    try:
        meta = Meta.model_validate(data)
    except ValidationError as error:
        first, *more = error.errors(include_url=False)
        others = f"; so {'is' if len(more) == 1 else 'are'} {len(more)} more" if more else ""
        raise ModelError(f"{where} is damaged: {plain_path(first['loc'])}: {plain_words(first)}{others}") from None
    _check_features(meta, where)
    return meta


def _check_features(meta: Meta, where: str) -> None:
    """See that the model's rows are bidsim's, and that each category has levels."""
    if meta.features != list(FEATURES):
        apart = next((n for n, f in enumerate(FEATURES) if meta.features[n : n + 1] != [f]), len(FEATURES))
        there = shown(meta.features[apart]) if apart < len(meta.features) else "nothing"
        here = repr(FEATURES[apart]) if apart < len(FEATURES) else "nothing"
        raise ModelError(
            f"{where}: features: it was trained on other features: in place {apart} stands {there}, here {here}; "
            "train it again (model.txt may name its columns in any order, this list is bidsim's)"
        )
    for name in CATEGORICAL:
        if name not in meta.vocabulary:
            hint = did_you_mean(name, set(meta.vocabulary) - set(FEATURES))
            raise ModelError(f"{where}: vocabulary: the levels of {name!r} are missing{hint}")
        levels = meta.vocabulary[name]
        if len(set(levels)) < len(levels):
            twice = next(level for level in levels if levels.count(level) > 1)
            raise ModelError(f"{where}: vocabulary: {name!r} has the level {shown(twice)} twice")


def check_levels_of_traffic(
    vocabulary: Mapping[str, Sequence[str]], traffic: Mapping[str, Sequence[str]], folder: Path
) -> None:
    """See that a model counts the levels of requests as the scenario does.

    Raises:
        ModelError: It does not.

    """
    for name, levels in traffic.items():
        here, there = list(levels), list(vocabulary.get(name, ()))
        if here == there:
            continue
        apart = next((k for k, pair in enumerate(zip(there, here, strict=False)) if pair[0] != pair[1]), None)
        place = min(len(here), len(there)) if apart is None else apart
        theirs, ours = (shown(of[place]) if place < len(of) else "nothing" for of in (there, here))
        why = f"another order of levels of {name!r}" if sorted(there) == sorted(here) else f"other levels of {name!r}"
        raise ModelError(
            f"{folder} was trained with {why} than traffic.{name} has: in place {place} it has {theirs}, the scenario "
            f"{ours}; train it again"
        )


def no_meta(folder: Path) -> str:
    """What to say of a folder without ``meta.json``."""
    if any((folder / name).is_file() for name in ("model.txt", "weights.json")):
        return f"{folder} has no {META_FILE}: {_NEEDS}"
    return f"{folder} is not a model's folder: it has no {META_FILE}; name one such as runs/x/model/main"

"""Trained models as folders: the model's own text, and ``meta.json`` with what it needs to be read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsim.core.errors import ModelError, shown
from bidsim.core.registry import PluginNotFoundError, find
from bidsim.cvr.evaluation import EVALUATED
from bidsim.cvr.features import FEATURES
from bidsim.cvr.training import FittedModel

if TYPE_CHECKING:
    from collections.abc import Mapping

META_FILE = "meta.json"


def model_files(model: FittedModel) -> dict[str, str]:
    """Text of every file in a model's folder."""
    meta = {
        "kind": model.kind.__module__.rpartition(".")[2],
        "features": list(FEATURES),
        "vocabulary": model.vocabulary,
        "metrics": model.metrics,
        "mean_pcvr": model.mean_pcvr,
        **model.meta,
    }
    return {**model.text, META_FILE: json.dumps(meta, indent=1, sort_keys=True) + "\n"}


def save_model(model: FittedModel, folder: Path) -> None:
    """Write a model's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in model_files(model).items():
        (folder / name).write_text(text, encoding="utf-8")


def load_model(folder: Path, traffic: Mapping[str, tuple[str, ...]]) -> FittedModel:
    """Read a model's folder and check that it fits the traffic.

    Args:
        folder: A folder that `save_model` wrote.
        traffic: Level names of the request's categorical columns, as the scenario has them.

    Raises:
        ModelError: The folder is missing, damaged, or of another kind of traffic.

    """
    meta = _read_meta(folder)
    if meta["features"] != list(FEATURES):
        raise ModelError(f"{folder} was trained on other features ({len(meta['features'])} of them); train it again")
    vocabulary = {name: tuple(levels) for name, levels in meta["vocabulary"].items()}
    for name, levels in traffic.items():
        if name in vocabulary and vocabulary[name] != levels:
            raise ModelError(
                f"{folder} was trained with other levels of {name!r} than traffic.{name} has; train it again"
            )
    try:
        kind = find("model", str(meta["kind"]))
        text = {f.name: f.read_text(encoding="utf-8") for f in folder.iterdir() if f.is_file() and f.name != META_FILE}
        model: FittedModel = kind.restore(text, {**meta, "vocabulary": vocabulary})
    except ModelError as error:
        raise ModelError(f"{folder}/{error}") from None
    except (KeyError, PluginNotFoundError, ValueError, UnicodeDecodeError) as error:
        raise ModelError(f"{folder} is damaged: {type(error).__name__}: {error}") from None
    return FittedModel(
        model.kind,
        model.tables,
        vocabulary,
        model.text,
        model.meta,
        _metrics(meta.get("metrics", {}), folder),
        {k: float(v) for k, v in meta["mean_pcvr"].items()},
    )


def _metrics(found: Any, folder: Path) -> dict[str, Any]:
    """Figures of the evaluation that came with the model, if any."""
    if found == {}:
        return {}
    try:
        parts = {who: {name: float(found[who][name]) for name in EVALUATED} for who in ("model", "oracle", "base_rate")}
        return {**parts, "rows": int(found["rows"]), "conversions": int(found["conversions"])}
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{folder / META_FILE} is damaged: its metrics are not those of an evaluation ({type(error).__name__}: "
            f"{error})"
        ) from None


def _read_meta(folder: Path) -> dict[str, Any]:
    try:
        meta = json.loads((folder / META_FILE).read_text(encoding="utf-8"))
    except OSError:
        raise ModelError(
            f"{folder} is not a model's folder: it has no {META_FILE}; name one such as runs/x/model/main"
        ) from None
    except ValueError as error:
        raise ModelError(f"{folder / META_FILE} is damaged: {error}") from None
    if not isinstance(meta, dict):
        raise ModelError(f"{folder / META_FILE} is damaged: it holds no table")
    meta = {"mean_pcvr": {}, **meta}
    for key, whole, what in (
        ("vocabulary", _names_by_field, "a list of names for each field"),
        ("features", _are_names, "a list of names"),
        ("mean_pcvr", _rates_by_name, "a rate for each campaign"),
    ):
        if not whole(meta.get(key)):
            raise ModelError(f"{folder / META_FILE} is damaged: {key} is {shown(meta.get(key))}, not {what}")
    return meta


def _are_names(found: Any) -> bool:
    return isinstance(found, list) and all(isinstance(name, str) for name in found)


def _names_by_field(found: Any) -> bool:
    return isinstance(found, dict) and all(_are_names(levels) for levels in found.values())


def _rates_by_name(found: Any) -> bool:
    return isinstance(found, dict) and all(
        isinstance(rate, int | float) and math.isfinite(rate) for rate in found.values()
    )

"""Trained models as folders: the model's own text, and ``meta.json`` with what it needs to be read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bidsim.core.errors import ModelError, did_you_mean
from bidsim.core.registry import PluginNotFoundError, find, names
from bidsim.cvr.features import FEATURES
from bidsim.cvr.meta import META_FILE, check_levels_of_traffic, no_meta, read_meta
from bidsim.cvr.training import FittedModel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MOST_BYTES = 2_000_000_000


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


def load_model(folder: Path, traffic: Mapping[str, tuple[str, ...]], wanted: str | None = None) -> FittedModel:
    """Read a model's folder and check that it fits the traffic.

    Args:
        folder: A folder that `save_model` wrote.
        traffic: Level names of the request's categorical columns, as the scenario has them.
        wanted: Kind of model that it must be; by default any.

    Raises:
        ModelError: The folder is missing, damaged, or of another kind of model or traffic.

    """
    meta = read_meta(_text_of_meta(folder), str(folder / META_FILE))
    kind = _kind(meta.kind, folder)
    if wanted is not None and meta.kind != wanted:
        raise ModelError(
            f"{folder} holds a model of the kind {meta.kind!r}, not {wanted!r}; write name = {meta.kind!r}"
        )
    vocabulary = {name: tuple(levels) for name, levels in meta.vocabulary.items()}
    check_levels_of_traffic(vocabulary, traffic, folder)
    try:
        model: FittedModel = kind.restore(_texts(folder), {**meta.model_dump(), "vocabulary": vocabulary})
    except ModelError as error:
        raise ModelError(f"{folder}/{error}") from None
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ModelError(f"{folder} is damaged: {type(error).__name__}: {error}") from None
    rates = {name: float(rate) for name, rate in meta.mean_pcvr.items()}
    return FittedModel(model.kind, model.tables, vocabulary, model.text, model.meta, meta.figures(), rates)


def _kind(name: str, folder: Path) -> Any:
    kinds = [known for known in names("model") if find("model", known).trains]
    try:
        kind = find("model", name)
    except PluginNotFoundError as error:
        raise ModelError(f"{folder / META_FILE}: kind: {error}") from None
    if not kind.trains:
        raise ModelError(
            f"{folder / META_FILE}: kind: {name!r} is no model that is trained and kept{did_you_mean(name, kinds)}"
        )
    return kind


def _text_of_meta(folder: Path) -> str:
    if not (folder / META_FILE).is_file():
        raise ModelError(no_meta(folder))
    try:
        return (folder / META_FILE).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ModelError(f"{folder / META_FILE} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise ModelError(f"{folder / META_FILE} is damaged: it is not UTF-8 text ({error})") from None


def _texts(folder: Path) -> dict[str, str]:
    """Text of the folder's other files; what is no text is not looked at."""
    found = {}
    for file in sorted(folder.iterdir()):
        if file.name == META_FILE or not file.is_file() or file.stat().st_size > _MOST_BYTES:
            continue
        try:
            found[file.name] = file.read_text(encoding="utf-8-sig")
        except (OSError, ValueError):
            continue
    return found


def text_of(text: Mapping[str, str], name: str) -> str:
    """Text of one of a model's files.

    Raises:
        ModelError: It is not there, or was no text.

    """
    if name not in text:
        raise ModelError(f"{name}: there is no such file, or it is not UTF-8 text; a model needs it beside {META_FILE}")
    return text[name]

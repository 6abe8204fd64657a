"""A model's columns by their names: the file may hold them in another order than rows do, and count levels otherwise.

LightGBM itself goes by position alone. So it does where a file names its columns ``Column_0``, ``Column_1`` and so on,
which means that nobody named them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bidsim.core.errors import ModelError, did_you_mean, shown
from bidsim.cvr.ensemble import parse_ensemble, plain_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bidsim.cvr.ensemble import Ensemble

_MOST_NAMED = 5
_PANDAS = "\npandas_categorical:"


def read_ensemble(text: str, columns: Sequence[str]) -> tuple[Ensemble, NDArray[np.int64]]:
    """Read a LightGBM model for rows whose columns have names.

    Args:
        text: The model as LightGBM writes it.
        columns: Names of a row's columns.

    Returns:
        The ensemble, which splits columns of rows; and int64[columns], for each column of the file that of the rows.

    Raises:
        ModelError: The text is damaged, holds a model that cannot be scored here, or names other columns.

    """
    found = parse_ensemble(text)
    order = column_order(found.names, columns)
    return replace(found, features=len(columns), names=tuple(columns), feature=order[found.feature]), order


def column_order(named: Sequence[str], columns: Sequence[str]) -> NDArray[np.int64]:
    """For each column that a model names, its place among those of rows; by position where the model names none.

    Raises:
        ModelError: A name is unknown or there twice, or columns are missing.

    """
    if all(name == f"Column_{k}" for k, name in enumerate(named)):
        if len(named) != len(columns):
            raise ModelError(
                f"the model has {len(named)} columns without names, and rows have {len(columns)}; train it on a table "
                f"whose columns are named, in any order: {', '.join(columns)}"
            )
        return np.arange(len(columns))
    unknown = [name for name in named if name not in columns]
    missing = [name for name in columns if name not in named]
    twice = sorted({name for name in named if list(named).count(name) > 1}) if len(named) < 10 * len(columns) else []
    wrong = [f"{shown(unknown[0])} is no feature{did_you_mean(unknown[0], missing)}"] if unknown else []
    wrong += [f"{_listed(unknown[1:])} neither"] if unknown[1:] else []
    wrong += [f"{_listed(missing)} {'is' if len(missing) == 1 else 'are'} missing"] if missing else []
    wrong += [f"{_listed(twice)} there more than once"] if twice else []
    if wrong:
        raise ModelError(
            f"feature_names: {'; '.join(wrong)}; train it on all {len(columns)} features of bidsim, in any order"
        )
    place = {name: k for k, name in enumerate(columns)}
    return np.array([place[name] for name in named], np.int64)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(shown(name) for name in names[:_MOST_NAMED]) + more


def check_levels(text: str, vocabulary: Mapping[str, Sequence[str]]) -> None:
    """See that a model that was trained on a pandas table counts levels as rows do.

    LightGBM numbers the levels of a pandas column of categories in the order of that column, which it writes behind the
    trees; rows hold places in the ``vocabulary``.

    Raises:
        ModelError: A column's levels stand in another order, or it cannot be told whose they are.

    """
    listed = _pandas_levels(plain_text(text))
    foreign = [levels for levels in listed if not _is_range(levels)]
    if not foreign:
        return
    head = dict(line.partition("=")[::2] for line in plain_text(text).partition("\n\n")[0].split("\n"))
    names, ranges = head.get("feature_names", "").split(" "), head.get("feature_infos", "").split(" ")
    owners = [n for n, r in zip(names, ranges, strict=False) if not r.startswith("[") and r != "none"]
    if len(owners) != len(listed):
        raise ModelError(
            f"pandas_categorical lists levels of {len(listed)} columns, and {len(owners)} columns hold categories, so "
            "nobody knows whose they are; train on codes: places of levels in the vocabulary of meta.json"
        )
    for name, levels in zip(owners, listed, strict=True):
        known = list(vocabulary.get(name, ()))
        if not _is_range(levels) and levels != known[: len(levels)]:
            raise ModelError(
                f"pandas_categorical counts the levels of {shown(name)} as {shown(levels)}, and meta.json's vocabulary "
                f"as {shown(known)}; train on pandas.Categorical(column, categories=...) in the vocabulary's order"
            )


def _is_range(levels: Any) -> bool:
    return isinstance(levels, list) and levels == list(range(len(levels)))


def _pandas_levels(text: str) -> list[Any]:
    """Levels of the columns of categories of the table that a model was trained on; none where it was no such table."""
    _, found, told = text.rpartition(_PANDAS)
    if not found:
        return []
    try:
        listed = json.loads(told.partition("\n")[0]) or []
    except (ValueError, RecursionError):
        raise ModelError("pandas_categorical is not a list of lists; the file is damaged") from None
    if not isinstance(listed, list):
        raise ModelError("pandas_categorical is not a list of lists; the file is damaged")
    return listed

"""Model files from outside: refused with the place where they are damaged, or scored as LightGBM scores them."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import lightgbm
import numpy as np
import pytest

from bidsim.core.errors import ModelError
from bidsim.cvr import stored
from bidsim.cvr.ensemble import parse_ensemble
from bidsim.cvr.probe import probe
from bidsim.cvr.stored import compiled_model
from bidsim.cvr.trees import compile_ensemble, predict
from tests.cvr.lgb import COLUMNS, hostile, rows, trained, with_sizes

MUTANTS = 2_000
NAMES = [f"f{k}" for k in range(COLUMNS)]
"""Of rows; the models name theirs ``Column_0`` and so on, and are read by position."""


@cache
def _text(leaves: int = 4, trees: int = 2) -> str:
    text: str = trained({"num_leaves": leaves}, trees=trees).model_to_string()
    return text


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("objective=binary sigmoid:1", "objective=lambdarank", "objective is 'lambdarank'"),
        ("objective=binary sigmoid:1", "objective=binary sigmoid:0", "'sigmoid:0' is not above zero"),
        ("num_class=1", "num_class=3", "several classes"),
        ("max_feature_idx=7", "max_feature_idx=9", "it names 8 features instead of 10"),
        ("version=v4", "version=v9", "'v9' is not v3 or v4"),
        ("num_leaves=4", "num_leaves=5", "leaf_value: it has 4 numbers instead of 5"),
        ("leaf_value=", "leaf_value=nan ", "leaf_value: it has 5 numbers"),
        ("split_feature=", "split_feature=99 ", "split_feature: it has 4 numbers"),
        ("left_child=", "left_child=x", "is not a whole number"),
        ("is_linear=0", "is_linear=1", "linear_tree=false"),
        ("threshold=", "treshold=", "threshold: the line is missing"),
        ("num_cat=", "num_cat=\nnum_cat=", "it is there twice"),
        ("\nend of trees", "\nend", "no 'end of trees'"),
        ("tree\n", "forest\n", "not a LightGBM model"),
    ],
)
def test_parse__says_where_a_model_is_damaged(old: str, new: str, words: str) -> None:
    text = _text()
    assert old in text
    with pytest.raises(ModelError, match=words):
        parse_ensemble(with_sizes(text.replace(old, new, 1)), COLUMNS)


def _with_first(key: str, value: str) -> str:
    text = _text()
    line = next(one for one in text.splitlines() if one.startswith(f"{key}="))
    return with_sizes(text.replace(line, f"{key}={value}", 1))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("left_child", "0 0 0", "out of order"),
        ("left_child", "1 1 -1", "out of order"),
        ("left_child", "1 -1 -9", "out of order"),
        ("split_feature", "0 1 99", "99, which is not one of 8"),
        ("decision_type", "2 2 77", "unknown kind 77"),
        ("leaf_value", "1 2 inf 3", "'inf' is not finite"),
        ("threshold", "1 nan 1", "NaN"),
        ("leaf_value", "1 2 1_0 3", "'1_0' is not a number"),
    ],
)
def test_parse__checks_every_list(key: str, value: str, words: str) -> None:
    with pytest.raises(ModelError, match=words) as told:
        parse_ensemble(_with_first(key, value), COLUMNS)
    number = 1 + _text().splitlines().index(next(one for one in _text().splitlines() if one.startswith(f"{key}=")))
    assert f"line {number}: tree 0: {key}: " in str(told.value)


def test_parse__sees_that_sizes_are_wrong() -> None:
    with pytest.raises(ModelError, match="bytes long as tree_sizes says"):
        parse_ensemble(_text().replace("leaf_value=", "leaf_value= ", 1), COLUMNS)


def test_parse__refuses_a_model_of_several_classes() -> None:
    x, _ = rows(900, 1)
    booster = lightgbm.train(
        {"objective": "multiclass", "num_class": 3, "verbosity": -1},
        lightgbm.Dataset(x, np.arange(900) % 3),
        num_boost_round=2,
    )
    with pytest.raises(ModelError, match="several classes"):
        parse_ensemble(booster.model_to_string(), COLUMNS)


@pytest.mark.parametrize("left", ["goal=none\n", "objective=\n", "objective=none\n", ""])
def test_objective__that_was_lost_is_not_called_custom(left: str) -> None:
    text = _text().replace("objective=binary sigmoid:1\n", left)
    with pytest.raises(ModelError, match="objective= is missing or empty, though the model was trained with 'binary'"):
        parse_ensemble(text)
    told_nothing = text.replace("[objective: binary]", "[objective: custom]")
    with pytest.raises(ModelError, match="has a custom objective"):
        parse_ensemble(told_nothing)


def test_parse__refuses_linear_trees() -> None:
    x, y = rows(900, 1)
    booster = lightgbm.train(
        {"objective": "binary", "linear_tree": True, "verbosity": -1},
        lightgbm.Dataset(np.nan_to_num(x), y),
        num_boost_round=2,
    )
    with pytest.raises(ModelError, match="linear_tree=false"):
        parse_ensemble(booster.model_to_string(), COLUMNS)


def _mutate(text: str, dice: random.Random) -> str:
    """Damage a text as disks, editors and bad copies do."""
    way = dice.randrange(6)
    at = dice.randrange(len(text))
    lines = text.split("\n")
    line = dice.randrange(len(lines))
    if way == 0:
        return text[:at]
    if way == 1:
        return text[:at] + chr((ord(text[at]) ^ (1 << dice.randrange(7))) & 127) + text[at + 1 :]
    if way == 2:
        del lines[line]
    elif way == 3:
        lines.insert(line, lines[line])
    else:
        key, sign, value = lines[line].partition("=")
        words = value.split(" ")
        if sign and words:
            words[dice.randrange(len(words))] = dice.choice(
                ["-1", "0", "1", "2", "7", "nan", "inf", "1e400", "99999999999", "-2147483648", "x", "", "0.5", "3"]
            )
            lines[line] = f"{key}={' '.join(words)}"
    made = "\n".join(lines)
    return with_sizes(made) if dice.random() < 0.5 else made


def test_mutants__are_refused_or_scored_as_lightgbm_does() -> None:
    dice = random.Random(5)
    # what follows the trees, LightGBM's parameters, nobody reads
    texts = [
        trained({"num_leaves": leaves}, trees=4).model_to_string().partition("\nfeature_importances")[0]
        for leaves in (5, 20, 80)
    ]
    mutants = [_mutate(dice.choice(texts), dice) for _ in range(MUTANTS)]
    accepted: list[tuple[str, Any]] = []
    refused: list[str] = []
    for text in mutants:
        try:
            accepted.append((text, compile_ensemble(parse_ensemble(text, COLUMNS))))
        except ModelError as error:
            refused.append(str(error))
    assert not any("\n" in words for words in refused)
    assert len(refused) > 0.3 * MUTANTS
    assert len(accepted) > 0.1 * MUTANTS
    x = hostile(300, 3, texts[1])
    for (text, tables), theirs in zip(accepted, probe([text for text, _ in accepted], x), strict=True):
        # what LightGBM cannot read, or reads otherwise, is refused by the trial that every file goes through
        if theirs is None or np.abs(predict(tables, x) - theirs).max() > 1e-12:
            with pytest.raises(ModelError, match="damaged"):
                compiled_model(text, NAMES)


def test_compiled_model__is_kept_and_read_again(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIDSIM_CACHE", str(tmp_path))
    text = _text(31, 10)
    first = compiled_model(text, NAMES, -0.5)
    monkeypatch.setattr(stored, "read_ensemble", None)
    again = compiled_model(text, NAMES, -0.5)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    with pytest.raises(TypeError):
        compiled_model(text, NAMES, -0.6)


def test_compiled_model__damaged_file_on_disk_is_made_anew(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIDSIM_CACHE", str(tmp_path))
    text = _text(31, 10)
    first = compiled_model(text, NAMES)
    (kept,) = (tmp_path / "models").glob("*.npz")
    whole = kept.read_bytes()
    for damaged in (b"", whole[:1000], whole[: len(whole) // 2] + b"\x01" + whole[len(whole) // 2 + 1 :]):
        kept.write_bytes(damaged)
        again = compiled_model(text, NAMES)
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_probe__survives_what_aborts_lightgbm() -> None:
    good = _text(8, 3)
    bad = good.replace("left_child=", "left_child=99999 ", 1)
    hangs = _with_first("left_child", "0 0 0")
    x = rows(20, 9)[0].astype(np.float64)
    fine, broken, *_ = probe([good, bad, hangs[:200]], x)
    assert broken is None
    assert fine is not None
    np.testing.assert_allclose(fine, trained({"num_leaves": 8}, trees=3).predict(x), atol=1e-15)

"""Folders of models as people hand them over: columns by name, editors' marks, types of meta.json, random damage."""

from __future__ import annotations

import json
import random
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np
import pandas as pd
import pytest

from bidsim.core.errors import ModelError
from bidsim.cvr.ensemble import IDENTITY
from bidsim.cvr.features import CATEGORICAL, FEATURES, WIDTH, recoded
from bidsim.cvr.files import load_model
from bidsim.cvr.lightgbm import Lightgbm
from bidsim.cvr.logistic import Logistic, LogisticParams
from bidsim.cvr.meta import META_FILE
from bidsim.cvr.reading import read_ensemble
from bidsim.cvr.training import LoggedRows
from bidsim.cvr.trees import predict
from bidsim.explain.model_use import _explained, what_if
from tests.cvr.lgb import with_sizes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LEVELS = ("a", "b", "c")
VOCABULARY = {name: list(LEVELS) for name in (*CATEGORICAL, "age")}
MUTANTS = 400


def _rows(n: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    dice = np.random.default_rng(seed)
    x = dice.normal(size=(n, WIDTH)).astype(np.float32)
    for name in (*CATEGORICAL, "age"):
        x[:, FEATURES.index(name)] = dice.integers(0, 3, n)
    score = x[:, FEATURES.index("price")] + (x[:, FEATURES.index("geo")] == 1) - x[:, FEATURES.index("visits")]
    return x, (dice.random(n) < 1 / (1 + np.exp(2 - score))).astype(np.float64)


def _trained(columns: tuple[str, ...] = FEATURES, *, named: bool = True, **settings: Any) -> Any:
    x, y = _rows(2_000, 1)
    order = [FEATURES.index(name) if name in FEATURES else 0 for name in columns]
    data = lightgbm.Dataset(
        x[:, order],
        y,
        feature_name=list(columns) if named else "auto",
        categorical_feature=[k for k, name in enumerate(columns) if name in CATEGORICAL],
    )
    return lightgbm.train({"objective": "binary", "verbosity": -1, "seed": 1, **settings}, data, num_boost_round=5)


@cache
def _text(*columns: str) -> str:
    text: str = _trained(columns or FEATURES).model_to_string()
    return text


def _folder(place: Path, text: str | bytes, **meta: Any) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    (place / "model.txt").write_bytes(text.encode() if isinstance(text, str) else text)
    whole = {"kind": "lightgbm", "features": list(FEATURES), "vocabulary": VOCABULARY, "offset": 0.0}
    (place / META_FILE).write_text(json.dumps(whole | meta))
    return place


def _refused(place: Path, text: str | bytes, **meta: Any) -> str:
    with pytest.raises(ModelError) as told:
        load_model(_folder(place, text, **meta), {})
    assert "\n" not in str(told.value)
    return str(told.value)


ALPHABETICAL = tuple(sorted(FEATURES))


def test_columns__are_read_by_name(tmp_path: Path) -> None:
    booster = _trained(ALPHABETICAL)
    model = load_model(_folder(tmp_path, booster.model_to_string()), {})
    x, _ = _rows(500, 2)
    theirs = booster.predict(x[:, [FEATURES.index(name) for name in ALPHABETICAL]])
    np.testing.assert_allclose(model.predict(x), theirs, atol=1e-12)
    assert np.abs(booster.predict(x) - theirs).max() > 0.01


def test_columns__without_names_are_read_by_position(tmp_path: Path) -> None:
    booster = _trained(named=False)
    model = load_model(_folder(tmp_path, booster.model_to_string()), {})
    x, _ = _rows(500, 2)
    np.testing.assert_allclose(model.predict(x), booster.predict(x), atol=1e-12)


def test_columns__kept_compiled_are_read_by_name_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIDSIM_CACHE", str(tmp_path / "cache"))
    x, _ = _rows(500, 2)
    folder = _folder(tmp_path / "m", _text(*ALPHABETICAL))
    first = load_model(folder, {}).predict(x)
    monkeypatch.setattr("bidsim.cvr.stored.read_ensemble", None)
    np.testing.assert_array_equal(load_model(folder, {}).predict(x), first)
    theirs = _trained(ALPHABETICAL).predict(x[:, [FEATURES.index(name) for name in ALPHABETICAL]])
    np.testing.assert_allclose(first, theirs, atol=1e-12)


def test_columns__are_explained_by_name() -> None:
    ensemble, order = read_ensemble(_text(*ALPHABETICAL), FEATURES)
    assert ensemble.names == FEATURES
    assert [FEATURES[k] for k in order] == list(ALPHABETICAL)
    assert FEATURES.index("price") in ensemble.feature


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (FEATURES[1:], "'hour' is missing; train it on all 23 features"),
        (FEATURES[:5], "and 13 more are missing"),
        ((*FEATURES, "colour"), "'colour' is no feature"),
        ((*FEATURES[:-1], "days_since_purchas"), "did you mean 'days_since_purchase'"),
        (tuple(f"Column_{k}" for k in reversed(range(23))), "'Column_22' is no feature"),
        (tuple(f"Column_{k}" for k in range(5)), "5 columns without names, and rows have 23"),
    ],
)
def test_columns__missing_or_unknown_are_refused(tmp_path: Path, columns: tuple[str, ...], words: str) -> None:
    assert words in _refused(tmp_path, _text(*columns))


def test_columns__twice_are_refused(tmp_path: Path) -> None:
    text = _text().replace("feature_names=hour weekday", "feature_names=hour hour", 1)
    told = _refused(tmp_path, text)
    assert "'weekday' is missing" in told
    assert "'hour' there more than once" in told


def _of_pandas(geo: list[Any]) -> str:
    x, y = _rows(2_000, 1)
    table = pd.DataFrame(x, columns=list(FEATURES))
    names = geo if isinstance(geo[0], str) else list(range(3))
    codes = table["geo"].astype(int)
    levels = [LEVELS[k] for k in codes] if isinstance(geo[0], str) else codes
    table["geo"] = pd.Categorical(levels, categories=geo)
    assert len(names) == len(geo)
    booster = lightgbm.train({"objective": "binary", "verbosity": -1, "seed": 1}, lightgbm.Dataset(table, y), 5)
    text: str = booster.model_to_string()
    return text


def test_levels__of_a_pandas_table_in_another_order_are_refused(tmp_path: Path) -> None:
    told = _refused(tmp_path, _of_pandas(["c", "a", "b"]))
    assert "pandas_categorical counts the levels of 'geo' as ['c', 'a', 'b']" in told
    for good in (list(LEVELS), [0, 1, 2]):
        load_model(_folder(tmp_path, _of_pandas(good)), {})
    assert "'geo' as [2, 0, 1]" in _refused(tmp_path, _of_pandas([2, 0, 1]))


def test_levels__of_requests_must_be_the_traffics(tmp_path: Path) -> None:
    folder = _folder(tmp_path, _text())
    load_model(folder, {"geo": LEVELS})
    for levels, words in (
        (
            ("b", "a", "c"),
            "another order of levels of 'geo' than traffic.geo has: in place 0 it has 'a', the scenario 'b'",
        ),
        (("a", "b"), "other levels of 'geo' than traffic.geo has: in place 2 it has 'c', the scenario nothing"),
    ):
        with pytest.raises(ModelError, match=re.escape(words)):
            load_model(folder, {"geo": levels})
    without = {name: levels for name, levels in VOCABULARY.items() if name != "geo"}
    assert "the levels of 'geo' are missing" in _refused(tmp_path, _text(), vocabulary=without)
    assert "'site' has the level 'a' twice" in _refused(tmp_path, _text(), vocabulary=VOCABULARY | {"site": ["a", "a"]})


def test_recoded__gives_campaigns_the_codes_of_a_models_own_vocabulary() -> None:
    x, _ = _rows(50, 3)
    theirs = {**VOCABULARY, "campaign": ["c", "x", "a"]}
    found = recoded(x, VOCABULARY, theirs)
    place = FEATURES.index("campaign")
    assert found[:, place].tolist() == [{0: 2.0, 1: -1.0, 2: 0.0}[int(code)] for code in x[:, place]]
    assert np.array_equal(np.delete(found, place, 1), np.delete(x, place, 1))
    assert recoded(x, VOCABULARY, VOCABULARY) is x


def test_weights__of_other_levels_are_refused(tmp_path: Path) -> None:
    x, y = _rows(500, 1)
    rows = LoggedRows(x, y, y, np.zeros(500, np.int64), 1.0, 500)
    text = Logistic.fit(LogisticParams(), rows, {k: tuple(v) for k, v in VOCABULARY.items()}, 0).text
    (tmp_path / "weights.json").write_text("\ufeff" + text["weights.json"])
    meta = {"kind": "logistic", "features": list(FEATURES), "vocabulary": VOCABULARY}
    (tmp_path / META_FILE).write_text(json.dumps(meta))
    load_model(tmp_path, {})
    (tmp_path / META_FILE).write_text(json.dumps({**meta, "vocabulary": {**VOCABULARY, "geo": ["a", "b"]}}))
    with pytest.raises(ModelError, match=r"geo has weights for 3 levels, and meta.json names 2"):
        load_model(tmp_path, {})
    stored = json.loads(text["weights.json"])
    stored["ints"][0] = 2
    (tmp_path / "weights.json").write_text(json.dumps(stored))
    with pytest.raises(ModelError, match="hour is read as a category, and is none"):
        load_model(tmp_path, {})
    stored["ints"][0] = 1.5
    (tmp_path / "weights.json").write_text(json.dumps(stored))
    with pytest.raises(ModelError, match=r"weights.json: ints.0: input should be a valid integer"):
        load_model(tmp_path, {})


def test_kind__that_was_not_asked_for_is_refused(tmp_path: Path) -> None:
    folder = _folder(tmp_path, _text())
    load_model(folder, {}, "lightgbm")
    with pytest.raises(ModelError, match="holds a model of the kind 'lightgbm', not 'logistic'"):
        load_model(folder, {}, "logistic")
    assert "'oracle' is no model that is trained and kept" in _refused(tmp_path, _text(), kind="oracle")


@pytest.mark.parametrize("way", ["crlf", "mark", "blank", "all"])
def test_text__of_an_editor_is_read(tmp_path: Path, way: str) -> None:
    text = _text()
    if way in ("blank", "all"):
        text = "\n\n" + text
    if way in ("crlf", "all"):
        text = text.replace("\n", "\r\n")
    if way in ("mark", "all"):
        text = "\ufeff" + text
    x, _ = _rows(200, 2)
    plain = load_model(_folder(tmp_path / "plain", _text()), {})
    found = load_model(_folder(tmp_path / "edited", text.encode()), {})
    np.testing.assert_array_equal(found.predict(x), plain.predict(x))
    read = Lightgbm.restore({"model.txt": text}, {"offset": 0.0, "vocabulary": VOCABULARY})
    np.testing.assert_array_equal(read.predict(x), plain.predict(x))
    assert read.text == plain.text


def test_objective__of_ones_own_is_told_and_can_be_named(tmp_path: Path) -> None:
    x, y = _rows(2_000, 1)
    data = lightgbm.Dataset(x, y, feature_name=list(FEATURES))

    def squares(predicted: Any, rows: Any) -> tuple[Any, Any]:
        return predicted - rows.get_label(), np.ones(len(predicted))

    booster = lightgbm.train({"objective": squares, "verbosity": -1}, data, num_boost_round=5)
    text = booster.model_to_string()
    told = _refused(tmp_path, text)
    assert "custom objective" in told
    assert "'objective=regression' where they are rates" in told
    named = text.replace("max_feature_idx=22\n", "max_feature_idx=22\nobjective=regression\n", 1)
    found = load_model(_folder(tmp_path, named), {})
    np.testing.assert_allclose(found.predict(x), booster.predict(x), atol=1e-12)


@pytest.mark.parametrize(
    ("objective", "leaf", "words"),
    [
        ("poisson", "1e4", "of which its objective takes exp: more than a number can hold"),
        ("cross_entropy_lambda", "1e4", "takes exp"),
        ("regression sqrt", "1e200", "takes the square"),
        ("regression", "1e308", "more than a number can hold"),
        ("binary sigmoid:1e300", "1e300", "more than a number can hold"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_leaves__that_lead_to_no_number_are_refused(tmp_path: Path, objective: str, leaf: str, words: str) -> None:
    text = re.sub(r"^objective=.*$", f"objective={objective}", _text(), count=1, flags=re.MULTILINE)
    text = re.sub(r"^(leaf_value=)\S+", rf"\g<1>{leaf}", text, flags=re.MULTILINE)
    told = _refused(tmp_path, with_sizes(text))
    assert words in told


def test_what_if__of_predictions_below_zero_is_unknown() -> None:
    text = re.sub(r"^objective=.*$", "objective=regression", _text(), count=1, flags=re.MULTILINE)
    x, _ = _rows(50, 2)
    ensemble, _ = read_ensemble(text, FEATURES)
    known = _explained(text, 0.0)
    assert predict(known.tables, x).mean() < 0
    assert what_if(known, x, "price", 0.1) is None
    rates = _explained(_text(), 0.0)
    assert what_if(rates, x, "price", 0.1) is not None
    assert ensemble.link == IDENTITY


def test_folder__without_what_it_needs_says_what_that_is(tmp_path: Path) -> None:
    assert "model.txt: the file is empty" in _refused(tmp_path / "empty", "")
    assert "model.txt: the file is empty" in _refused(tmp_path / "blank", "\n \n")
    assert "model.txt: there is no such file, or it is not UTF-8 text" in _refused(tmp_path / "bytes", b"\xff\xfe\x00")
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "model.txt").write_text(_text())
    with pytest.raises(ModelError, match=r"has no meta.json: it holds kind, features.*'bidsim run SCENARIO") as told:
        load_model(alone, {})
    assert len(str(told.value)) - len(str(alone)) < 400
    (folder := _folder(tmp_path / "beside", _text())).joinpath("picture.png").write_bytes(b"\x89PNG\xff")
    load_model(folder, {})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": 5}, "kind: input should be text in quotes, not 5"),
        ({"kind": "forest"}, "kind: unknown model 'forest'"),
        ({"kind": None}, "kind: input should be text"),
        ({"features": "hour"}, "features: input should be a list, not 'hour'"),
        ({"features": [*FEATURES[1:], "hour"]}, "in place 0 stands 'weekday', here 'hour'"),
        ({"features": []}, "in place 0 stands nothing, here 'hour'"),
        ({"vocabulary": ["geo"]}, "vocabulary: input should be a table, not ['geo']"),
        (
            {"vocabulary": VOCABULARY | {"geo": [1, 2]}},
            "vocabulary.geo.0: input should be text in quotes, not 1; so is 1 more",
        ),
        ({"offset": "-1"}, "offset: input should be a valid number, not '-1'"),
        ({"offset": [1]}, "offset: input should be a valid number"),
        ({"offset": True}, "offset: input should be a valid number, not True"),
        ({"offset": float("inf")}, "offset: input should be a finite number"),
        ({"mean_pcvr": [0.1]}, "mean_pcvr: input should be a table"),
        ({"mean_pcvr": {"my ad": None}}, "mean_pcvr.'my ad': input should be a valid number, not None"),
        ({"mean_pcvr": {"a": 10**400}}, "mean_pcvr.a: the number is too large"),
        ({"metrics": 5}, "metrics: input should be a table, not 5"),
        ({"metrics": {"model": {}}}, "metrics.model.log_loss: is missing"),
    ],
)
def test_meta__of_wrong_types_is_told_with_its_key(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    told = _refused(tmp_path, _text(), **change)
    assert words in told
    assert str(tmp_path / META_FILE) in told


WILD: list[Any] = [
    None,
    True,
    0,
    -1,
    10**30,
    1e308,
    float("nan"),
    "",
    "x",
    [],
    {},
    [None],
    {"a": 1},
    [[1]],
    [{}],
    "lightgbm",
]


def _damaged(value: Any, dice: random.Random) -> Any:
    """Change one thing somewhere inside: another type, a key that is missing, a list for a table, another order."""
    if isinstance(value, dict) and value and dice.random() < 0.8:
        key = dice.choice(sorted(value))
        way = dice.randrange(5)
        if way == 0:
            return {k: v for k, v in value.items() if k != key}
        if way == 1:
            return {(k + "x" if k == key else k): v for k, v in value.items()}
        return {**value, key: _damaged(value[key], dice)}
    if isinstance(value, list) and value and dice.random() < 0.8:
        at = dice.randrange(len(value))
        way = dice.randrange(4)
        if way == 0:
            return value[:at] + value[at + 1 :]
        if way == 1:
            return dice.sample(value, len(value))
        return [*value[:at], _damaged(value[at], dice), *value[at + 1 :]]
    return dice.choice([*WILD, list(value) if isinstance(value, dict) else {"0": value}])


def test_mutants__of_folders_are_refused_in_one_line_or_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bidsim.cvr.stored._compare", lambda *_: None)  # test_ensemble tries damaged trees on LightGBM
    dice = random.Random(7)
    x, y = _rows(300, 1)
    rows = LoggedRows(x, y, y, np.zeros(300, np.int64), 1.0, 300)
    vocabulary = {k: tuple(v) for k, v in VOCABULARY.items()}
    weights = Logistic.fit(LogisticParams(), rows, vocabulary, 0).text["weights.json"]
    judged = dict.fromkeys(
        ("log_loss", "normalised_entropy", "auc", "brier", "calibration", "prediction_over_truth"), 0.5
    )
    metrics = {**dict.fromkeys(("model", "oracle", "base_rate"), judged), "rows": 10, "conversions": 1}
    shared = {"features": list(FEATURES), "vocabulary": VOCABULARY, "mean_pcvr": {"a": 0.1}, "metrics": metrics}
    read = 0
    told: list[str] = []
    for number in range(MUTANTS):
        kind, file, text = dice.choice([("lightgbm", "model.txt", _text()), ("logistic", "weights.json", weights)])
        folder = tmp_path / str(number)
        folder.mkdir()
        meta: Any = {**shared, "kind": kind, **({"offset": -0.5} if kind == "lightgbm" else {})}
        if file == "weights.json" and dice.random() < 0.3:
            text = json.dumps(_damaged(json.loads(text), dice))
        else:
            meta = _damaged(meta, dice)
        written = json.dumps(meta)
        if dice.random() < 0.1:
            at = dice.randrange(len(written))
            written = written[:at] + chr(dice.randrange(1, 0x250)) + written[at + dice.randrange(3) :]
        (folder / META_FILE).write_text(written, encoding="utf-8")
        (folder / file).write_text(text)
        try:
            assert np.isfinite(load_model(folder, {"geo": LEVELS}).predict(x[:10])).all()
            read += 1
        except ModelError as error:
            told.append(str(error).replace(str(folder), "FOLDER"))
    assert all("FOLDER" in line and "\n" not in line for line in told)
    assert len(told) + read == MUTANTS
    assert 0.05 * MUTANTS < read < 0.5 * MUTANTS

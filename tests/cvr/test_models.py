from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

import bidsim
from bidsim.core.errors import BidsimError, ModelError
from bidsim.cvr.evaluation import auc, evaluate, normalised_entropy
from bidsim.cvr.features import CATEGORICAL, FEATURES, WIDTH
from bidsim.cvr.files import load_model
from bidsim.cvr.logistic import Logistic, LogisticParams
from bidsim.cvr.training import LoggedRows, downsampling_offset
from bidsim.reports.page import render_report
from bidsim.reports.terminal import print_result
from tests import naive
from tests.catalogue import META
from tests.cvr.lgb import with_sizes
from tests.scenario.test_every_key import LOGGED, TREES

if TYPE_CHECKING:
    from collections.abc import Callable


def _rows(n: int, keep: float = 1.0) -> tuple[LoggedRows, dict[str, tuple[str, ...]]]:
    dice = np.random.default_rng(0)
    x = np.zeros((n, WIDTH), np.float32)
    x[:, FEATURES.index("geo")] = dice.integers(0, 3, n)
    x[:, FEATURES.index("visits")] = dice.normal(10, 4, n)
    x[dice.random(n) < 0.1, FEATURES.index("visits")] = np.nan
    rate = 1 / (
        1 + np.exp(3 - 0.7 * (x[:, FEATURES.index("geo")] == 1) - 0.1 * np.nan_to_num(x[:, FEATURES.index("visits")]))
    )
    y = (dice.random(n) < rate).astype(np.float64)
    kept = (y == 1) | (dice.random(n) < keep)
    vocabulary = dict.fromkeys(CATEGORICAL, ("a", "b", "c"))
    return LoggedRows(
        x[kept], y[kept], rate[kept].astype(np.float64), np.zeros(int(kept.sum()), np.int64), keep, n
    ), vocabulary


def test_logistic__agrees_with_scikit_learn() -> None:
    rows, vocabulary = _rows(4_000)
    model = Logistic.fit(LogisticParams(ridge=5.0), rows, vocabulary, 0)
    geo, visits = rows.features[:, FEATURES.index("geo")], rows.features[:, FEATURES.index("visits")].astype(np.float64)
    known = visits[~np.isnan(visits)]
    inputs = np.column_stack(
        [
            geo == 0,
            geo == 1,
            geo == 2,
            np.where(np.isnan(visits), 0, (visits - known.mean()) / known.std()),
            np.isnan(visits),
        ]
    ).astype(float)
    # constant one-hot columns of the other categories only share the intercept with the ridge; both fits settle on the same rates
    inputs = np.column_stack([inputs, np.ones((len(inputs), len(CATEGORICAL) - 1))])
    reference = (
        LogisticRegression(C=1 / 5.0, tol=1e-10, max_iter=2000).fit(inputs, rows.label).predict_proba(inputs)[:, 1]
    )
    np.testing.assert_allclose(model.predict(rows.features), reference, atol=2e-5)


@pytest.mark.parametrize("keep", [0.05, 0.3, 1.0])
def test_downsampling_offset__gives_back_the_rate(keep: float) -> None:
    rows, vocabulary = _rows(200_000, keep)
    predicted = Logistic.fit(LogisticParams(), rows, vocabulary, 0).predict(rows.features)
    total = float((rows.weight * predicted).sum() / (rows.weight * rows.true_rate).sum())
    assert total == pytest.approx(1.0, abs=0.035)
    assert downsampling_offset(1.0) == 0.0


def test_evaluation__agrees_with_scikit_learn_and_the_twin() -> None:
    dice = np.random.default_rng(2)
    p, y, w = np.round(dice.random(300), 2), (dice.random(300) < 0.3).astype(float), dice.choice([1.0, 5.0], 300)
    found = evaluate(p, y, w, p)
    assert found["auc"] == pytest.approx(roc_auc_score(y, p, sample_weight=w), abs=1e-12)
    assert found["auc"] == pytest.approx(naive.auc(p.tolist(), y.astype(int).tolist(), w.tolist()), abs=1e-12)
    assert found["log_loss"] == pytest.approx(log_loss(y, np.clip(p, 1e-15, 1 - 1e-15), sample_weight=w), abs=1e-9)
    assert normalised_entropy(np.full(300, (w * y).sum() / w.sum()), y, w) == pytest.approx(1.0)
    assert np.isnan(auc(p, np.ones(300), w))


@pytest.mark.parametrize("settings", [TREES, LOGGED], ids=["lightgbm", "logistic"])
def test_model__from_an_earlier_run_bids_the_same(
    run_small: Callable[..., bidsim.Result], tmp_path: Path, settings: dict[str, Any]
) -> None:
    first = run_small(settings)
    first.save(tmp_path / "first")
    kind = settings["seats.main.model"]["name"]
    again = run_small({**settings, "seats.main.model": {"name": kind, "path": "first/model/main"}})
    assert (again.bids["pcvr"] == first.bids["pcvr"]).all()
    assert (again.campaigns["payment_nanos"] == first.campaigns["payment_nanos"]).all()
    judged = first.summary["models"]["main"]
    assert judged["conversions"] > 20
    assert again.summary["models"]["main"] == {**judged, "as_trained": True}
    assert "model, where it was trained" in render_report(again)
    assert "model, where it was trained" not in render_report(first)
    assert f"{judged['model']['auc']:.4f}" in render_report(first)


def test_model__that_does_not_fit_is_refused(run_small: Callable[..., bidsim.Result], tmp_path: Path) -> None:
    run_small(LOGGED).save(tmp_path / "run")
    folder = tmp_path / "run/model/main"
    with pytest.raises(ModelError, match="is not a model's folder"):
        load_model(tmp_path, {})
    with pytest.raises(ModelError, match="other levels of 'geo'"):
        load_model(folder, {"geo": ("MARS",)})
    with pytest.raises(BidsimError, match="other levels of 'geo'"):
        run_small(
            {
                **LOGGED,
                "seats.main.model": {"name": "logistic", "path": str(folder)},
                "traffic.geo": {"US": 1.0, "GB": 1.0, "XX": 1.0},
            }
        )
    meta = json.loads((folder / "meta.json").read_text())
    for damaged in (
        "{",
        "[]",
        json.dumps({**meta, "features": ["a"]}),
        json.dumps({**meta, "kind": "nonsense"}),
        json.dumps({**meta, "metrics": {"model": {"auc": 1}}}),
    ):
        (folder / "meta.json").write_text(damaged)
        with pytest.raises(ModelError):
            load_model(folder, {})


@pytest.mark.parametrize(
    ("settings", "file", "change", "words"),
    [
        (LOGGED, "meta.json", {"vocabulary": []}, "vocabulary: input should be a table, not []"),
        (LOGGED, "meta.json", {"vocabulary": {"geo": None}}, "vocabulary.geo: input should be a list, not None"),
        (LOGGED, "meta.json", {"features": 5}, "features: input should be a list, not 5"),
        (LOGGED, "meta.json", {"features": None}, "features: input should be a list, not None"),
        (LOGGED, "meta.json", {"mean_pcvr": [1]}, "mean_pcvr: input should be a table, not [1]"),
        (LOGGED, "meta.json", {"mean_pcvr": {"lamp": "x"}}, "mean_pcvr.lamp: input should be a valid number, not 'x'"),
        (LOGGED, "weights.json", {"ints": [1], "floats": [0.0]}, "ints has the shape (1,)"),
        (LOGGED, "weights.json", {"floats": ["x"]}, "floats.0: input should be a valid number, not 'x'"),
        (LOGGED, "weights.json", {"floats": None}, "the file is damaged"),
        (TREES, "meta.json", {"offset": float("nan")}, "offset: input should be a finite number, not nan"),
    ],
)
def test_model__that_is_damaged_is_refused(
    run_small: Callable[..., bidsim.Result],
    tmp_path: Path,
    settings: dict[str, Any],
    file: str,
    change: dict[str, Any],
    words: str,
) -> None:
    run_small({**settings, "requests": 200}).save(tmp_path / "run")
    path = tmp_path / "run/model/main" / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=re.escape(words)):
        load_model(path.parent, {})


@pytest.mark.parametrize("at", [(1, 10**12), (1, -1), (2, 10**6), (0, 7)])
def test_logistic__reads_no_weight_that_is_not_there(
    run_small: Callable[..., bidsim.Result], at: tuple[int, int]
) -> None:
    """Of a category's kind, first weight and number of levels."""
    text = dict(run_small({**LOGGED, "requests": 200}).models["main"])
    stored = json.loads(text["weights.json"])
    first = next(j for j in range(len(FEATURES)) if stored["ints"][3 * j] == 2)
    stored["ints"][3 * first + at[0]] = at[1]
    with pytest.raises(ModelError, match=f"ints of feature {FEATURES[first]}"):
        Logistic.restore({"weights.json": json.dumps(stored)}, {"vocabulary": {}})
    stored["ints"][3 * first + at[0]], stored["floats"][5] = 0, float("inf")
    with pytest.raises(ModelError, match=r"floats\[5\] is no finite number"):
        Logistic.restore({"weights.json": json.dumps(stored)}, {"vocabulary": {}})


def test_model__unknown_campaign_is_an_unseen_category(run_small: Callable[..., bidsim.Result], tmp_path: Path) -> None:
    run_small(TREES).save(tmp_path / "run")
    settings = {
        **TREES,
        "seats.main.model": {"name": "lightgbm", "path": "run/model/main"},
        "campaigns.newcomer": {"advertiser": "new", "product": "lamp", "budget": 5.0},
    }
    result = run_small(settings)
    rows = result.requests[result.requests["campaign"] == "newcomer"]
    assert (rows["feature_campaign"] == -1).all()


def test_model__from_a_file_sees_campaigns_by_its_own_names(
    run_small: Callable[..., bidsim.Result], tmp_path: Path
) -> None:
    """A new campaign that comes first moves no other's code: a model that knows the lamp alone predicts it alone."""
    ints = np.zeros(3 * WIDTH, int)
    ints[3 * FEATURES.index("campaign") : 3 * FEATURES.index("campaign") + 3] = [2, 0, 3]
    (tmp_path / "m").mkdir()
    weights = {"ints": ints.tolist(), "floats": [0.0] * (2 * WIDTH + 1) + [0.0, -20.0, -20.0]}
    (tmp_path / "m/weights.json").write_text(json.dumps(weights))
    (tmp_path / "m/meta.json").write_text(META.replace("lightgbm", "logistic"))
    result = run_small(
        {
            "seats.main.model": {"name": "logistic", "path": "m"},
            "campaigns.a-newcomer": {"advertiser": "clean", "product": "soap", "budget": 5.0},
        }
    )
    mean = json.loads(result.models["main"]["meta.json"])["mean_pcvr"]
    assert mean["lamp"] == pytest.approx(0.5)
    assert mean["soap-everyone"] < 1e-6
    assert mean["a-newcomer"] == pytest.approx(0.5)


def test_model__that_predicts_no_rates_warns_with_their_share(
    run_small: Callable[..., bidsim.Result], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_small(TREES).save(tmp_path / "run")
    path = tmp_path / "run/model/main/model.txt"
    text = path.read_text().replace("objective=binary sigmoid:1", "objective=regression")
    leaves = re.search(r"^leaf_value=(.*)$", text, re.MULTILINE)
    assert leaves is not None
    path.write_text(with_sizes(text.replace(leaves[1], " ".join(["3.0", "-0.05"] * 3), 1)))
    again = {**TREES, "seats.main.model": {"name": "lightgbm", "path": "run/model/main"}}
    result = run_small(again)
    (told,) = result.summary["warnings"]
    assert re.match(r"seat main: [\d.]+% of the model's predictions on logged traffic lie outside 0 to 1 \(", told)
    print_result(result)
    assert told in capsys.readouterr().out
    assert "warnings" not in run_small(TREES).summary


def test_requests__hold_what_the_model_saw(run_small: Callable[..., bidsim.Result]) -> None:
    result = run_small({**LOGGED, "log.decisions": 1_000_000})
    features = result.requests[[f"feature_{name}" for name in FEATURES]].to_numpy(np.float32)
    meta = json.loads(result.models["main"]["meta.json"])
    model = Logistic.restore(dict(result.models["main"]), {"vocabulary": meta["vocabulary"]})
    np.testing.assert_array_equal(model.predict(features), result.bids["pcvr"].to_numpy())


def test_history__without_a_conversion_says_so(run_small: Callable[..., bidsim.Result]) -> None:
    never = {
        "products.soap.click_rate": 1e-9,
        "products.lamp.click_rate": 1e-9,
        "seats.main.model": "lightgbm",
        "history.requests": 500,
    }
    with pytest.raises(BidsimError, match=r"raise history\.requests"):
        run_small(never)

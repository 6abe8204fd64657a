"""What bidders believe: winner's curse, log-loss, downsampling, and late conversions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.random import stream_key
from bidsim.cvr.delay import fit_delay
from bidsim.cvr.evaluation import evaluate
from bidsim.cvr.features import FEATURES, WIDTH
from bidsim.cvr.logistic import Logistic, LogisticParams
from bidsim.cvr.training import LoggedRows
from bidsim.engine.history import thinned
from bidsim.experiments.truths.cases import Estimate
from bidsim.experiments.truths.worlds import figure, rows, simulate, worth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bidsim.core.result import Result

_SECOND = {"format": "second_price"}
_ROOM = 12.0
"""Standard deviations by which values are shifted up, so that no bid is negative."""


def winners_curse(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """Noisy predictions in second price, as they are and shrunk (check ``curse``)."""
    n, sigma, tau, m = int(params["n"]), float(params["sigma"]), float(params["tau"]), float(params["m"])
    shift = max(_ROOM * (sigma + tau) - m, 0.0)
    mean = m + shift
    values = {
        "kind": "independent",
        "distribution": {"type": "normal", "mean": m, "sd": tau},
        "noise": sigma,
        "shift": shift,
    }
    names = [f"bidder-{k:02d}" for k in range(n)]
    shrunk = {"name": "shrunk", "noise": sigma / mean, "spread": tau / mean, "mean": mean}

    def play(policy: Mapping[str, Any] | str) -> Result:
        return simulate(
            seed, units, {name: {"policy": policy} for name in names}, values=values, auction=_SECOND, keep_wins=True
        )

    result = play("truthful")
    predicted, price = figure(result, "pcvr_sum") / units - shift, figure(result, "payment_nanos") / units - shift
    actual = worth(result) / units - shift
    corrected = play(shrunk)
    (bid,) = rows(corrected, "auctions", "bid_nanos")
    found = {
        "overprediction": predicted - actual,
        "win_pred": predicted,
        "win_actual": actual,
        "price": price,
        "profit": actual - price,
        "shrunk_bias": float(bid.sum()) / units - worth(corrected) / units,
    }
    return {name: Estimate(value, units) for name, value in found.items()}


def curse_at_threshold(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """One bidder with noisy predictions against a fixed price (check ``curse_thr``)."""
    sigma, tau, m, price = (float(params[name]) for name in ("sigma", "tau", "m", "c"))
    shift = max(_ROOM * (sigma + tau) - m, 0.0)
    values = {
        "kind": "independent",
        "distribution": {"type": "normal", "mean": m, "sd": tau},
        "noise": sigma,
        "shift": shift,
    }
    market = {"kind": "distribution", "distribution": {"type": "point", "value": price + shift}}
    result = simulate(seed, units, {"c": {"policy": "truthful"}}, values=values, auction=_SECOND, market=market)
    wins = figure(result, "wins")
    predicted, actual = figure(result, "pcvr_sum") / wins - shift, worth(result) / wins - shift
    found = {
        "win_rate": wins / units,
        "overprediction": predicted - actual,
        "win_pred": predicted,
        "win_actual": actual,
    }
    return {name: Estimate(value, units) for name, value in found.items()}


def log_loss(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """Metrics of the perfect model and of the base rate (check ``logloss``)."""
    values = {"kind": "independent", "distribution": {"type": "beta", "a": float(params["a"]), "b": float(params["b"])}}
    result = simulate(seed, units, {"c": {"policy": "truthful"}}, values=values, auction=_SECOND, keep_wins=True)
    rate, label = rows(result, "auctions", "pcvr", "converted")
    weight = np.ones(len(rate))
    oracle = evaluate(rate, label, weight, rate)
    base = evaluate(np.full(len(rate), label.mean()), label, weight, rate)
    found = {
        "base_rate": float(label.mean()),
        "logloss_oracle": oracle["log_loss"],
        "logloss_base": base["log_loss"],
        "normalised_entropy": oracle["normalised_entropy"],
        "brier_oracle": oracle["brier"],
        "calibration_ratio": oracle["calibration"],
    }
    return {name: Estimate(value, len(rate)) for name, value in found.items()}


def downsampling(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """Negatives thinned by the history's dice, and a model fitted to what is left (check ``downs``)."""
    rate, keep = float(params["p"]), float(params["w"])
    values = {"kind": "independent", "distribution": {"type": "point", "value": rate}}
    result = simulate(seed, units, {"c": {"policy": "truthful"}}, values=values, auction=_SECOND, keep_wins=True)
    (label,) = rows(result, "auctions", "converted")
    kept = (label == 1) | (thinned(seed, len(label)) < keep)
    count = int(kept.sum())
    logged = LoggedRows(
        np.zeros((count, WIDTH), np.float32),
        label[kept],
        np.full(count, rate),
        np.zeros(count, np.int64),
        keep,
        len(label),
    )
    vocabulary: dict[str, tuple[str, ...]] = dict.fromkeys(FEATURES, ("one",))
    fitted = Logistic.fit(LogisticParams(ignore=list(FEATURES)), logged, vocabulary, seed)
    return {
        "sampled_rate": Estimate(float(logged.label.mean()), units),
        "recalibrated": Estimate(float(fitted.predict(logged.features[:1])[0]), units),
    }


_SAMPLES = 640


def late_conversions(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """Rate and mean delay from labels that have not all arrived (check ``delay``).

    They are estimated as training does.
    """
    rate, mean, window, size = float(params["p"]), float(params["mean"]), float(params["W"]), int(params["N"])
    dice = np.random.Generator(np.random.Philox(key=int(stream_key(seed, "truths/delay"))))
    fitted, seen, converted, within = [], 0, 0, 0
    for _ in range(_SAMPLES):
        elapsed = window * dice.random(size)
        converts = dice.random(size) < rate
        delay = dice.exponential(mean, size)
        arrived = converts & (delay <= elapsed)
        fitted.append(fit_delay(delay[arrived], elapsed[~arrived]))
        seen += int(arrived.sum())
        converted += int(converts.sum())
        within += int((converts & (delay <= window)).sum())
    clicks = _SAMPLES * size
    rates = np.array([f.rate for f in fitted])
    return {
        "naive_cvr": Estimate(seen / clicks, clicks),
        "naive_factor": Estimate(seen / clicks / rate, clicks),
        "cutoff_factor": Estimate(within / converted, converted),
        "mle_p": Estimate(float(rates.mean()), clicks),
        "mle_mean_delay": Estimate(float(np.mean([f.mean for f in fitted])), clicks),
        "mle_p_sd1": Estimate(float(rates.std(ddof=1) * np.sqrt(size))),
    }

"""The seats' CVR models: trained on one shared history, or loaded, and evaluated on its later rows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.errors import BidsimError
from bidsim.cvr.evaluation import evaluate
from bidsim.cvr.features import recoded
from bidsim.cvr.files import load_model
from bidsim.cvr.oracle import Oracle
from bidsim.engine.feed import open_feed
from bidsim.engine.history import HistoryPlan, log_history
from bidsim.scenario.check import model_folder
from bidsim.scenario.names import chosen_params
from bidsim.traffic.arrivals import Arrivals
from bidsim.traffic.stream import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bidsim.bidder.tables import Campaigns
    from bidsim.cvr.training import FittedModel, LoggedRows
    from bidsim.engine.tables import Keys
    from bidsim.response.truth import Truth
    from bidsim.scenario.load import Scenario

_DELAY_QUANTILES, _FEWEST_DELAYS = 64, 50
_BRIEF_HISTORY = 30_000
"""Requests of the history where no model is trained, and only typical rates are needed."""


@dataclass(frozen=True)
class SeatModels:
    """Models by seat, in the order of the scenario's seats.

    Attributes:
        seats: Names of the seats.
        fitted: Their models.
        kinds: Distinct kinds of models.
        scorer_of: For each seat the index of its kind.
        evaluation: Metrics of each seat's model, of the oracle and of the base rate, on later rows; of a model from a
            file, those of its training where this run trains none.
        typical: Mean true rate by campaign on logged traffic, for seats without a model of their own.
        delays: int64[campaigns, quantiles], microseconds from an impression to its conversion, in logged traffic; no
            columns where there was none.
        outside: What share of a seat's predictions on logged traffic are no rates, in words; only where there are any.

    """

    seats: Sequence[str]
    fitted: Sequence[FittedModel]
    kinds: Sequence[Any]
    scorer_of: Sequence[int]
    evaluation: dict[str, dict[str, Any]] = field(default_factory=dict)
    typical: dict[str, float] = field(default_factory=dict)
    delays: Any = None
    outside: dict[str, str] = field(default_factory=dict)

    @property
    def needs_truth(self) -> bool:
        """Whether a seat bids by true rates."""
        return any(not model.kind.trains for model in self.fitted)

    def mean_pcvr(self, seat: int, campaign: str) -> float:
        """Mean prediction of a seat's model for a campaign on logged traffic."""
        known = self.fitted[seat].mean_pcvr or self.typical
        return known.get(campaign, float(np.mean(list(known.values()))) if known else 0.0)


def prepare_models(
    scenario: Scenario,
    names: Sequence[str],
    seats: Sequence[int],
    campaigns: Campaigns,
    truth: Truth,
    keys: Keys,
    progress: Callable[[str, int, int], None],
) -> SeatModels:
    """Train or load every seat's model.

    Args:
        scenario: The scenario.
        names: Campaigns in the engine's order, with the ``seats`` they sit in.
        seats: Index of each campaign's seat.
        campaigns: Their fixed facts; ``static`` is filled here for the history.
        truth: Parameters of the truth.
        keys: The history's random streams.
        progress: Called with (stage, done, total).

    """
    settings = scenario.settings
    if settings.values is not None:
        none = np.zeros((len(names), 0), np.int64)
        return SeatModels(
            list(settings.seats),
            [Oracle.ready()] * len(settings.seats),
            [Oracle],
            [0] * len(settings.seats),
            delays=none,
        )
    vocabulary = {**settings.traffic.vocabulary(), **_campaign_levels(scenario, names)}
    chosen = [chosen_params("model", s.model.name, s.model.params, scenario.beside) for s in settings.seats.values()]
    training = any(kind.trains and getattr(params, "path", None) is None for kind, params in chosen)
    known = campaigns._replace(static=_history_static(scenario, names, vocabulary))
    train, later = _history(scenario, known, truth, keys, training, progress)
    fitted, cache = [], {}
    progress("training", 0, len(chosen))
    for kind, params in chosen:
        key = (kind, params.model_dump_json())
        if key not in cache:
            cache[key] = _fit(scenario, kind, params, train, vocabulary)
        fitted.append(cache[key])
        progress("training", 1, len(chosen))
    predicted = [m.predict(recoded(later.features, vocabulary, m.vocabulary), later.true_rate) for m in fitted]
    evaluation = (
        _evaluate(list(settings.seats), predicted, train, later)
        if training
        else _as_trained(list(settings.seats), fitted)
    )
    fitted = [
        _with_figures(m, evaluation[s], later, names, p)
        for s, m, p in zip(settings.seats, fitted, predicted, strict=True)
    ]
    kinds: list[Any] = list(dict.fromkeys(model.kind for model in fitted))
    scorer_of = [kinds.index(model.kind) for model in fitted]
    typical = _by_campaign(later.true_rate, later, names)
    return SeatModels(
        list(settings.seats),
        fitted,
        kinds,
        scorer_of,
        evaluation,
        typical,
        _delays([train, later], truth.line),
        {s: told for s, p in zip(settings.seats, predicted, strict=True) if (told := _no_rates(p, later.weight))},
    )


def _campaign_levels(scenario: Scenario, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    listed = scenario.settings.campaigns
    return {
        "campaign": tuple(sorted(names)),
        "advertiser": tuple(sorted({c.advertiser for c in listed.values()})),
        "product": tuple(sorted({c.product for c in listed.values()})),
    }


def _history_static(scenario: Scenario, names: Sequence[str], vocabulary: dict[str, tuple[str, ...]]) -> Any:
    rows = []
    for name in names:
        campaign = scenario.settings.campaigns[name]
        codes = [
            vocabulary["campaign"].index(name),
            vocabulary["advertiser"].index(campaign.advertiser),
            vocabulary["product"].index(campaign.product),
        ]
        rows.append([*codes, campaign.levers.creative, campaign.levers.landing, campaign.levers.shipping_days])
    return np.array(rows, np.float32)


def _history(
    scenario: Scenario,
    campaigns: Campaigns,
    truth: Truth,
    keys: Keys,
    training: bool,
    progress: Callable[[str, int, int], None],
) -> tuple[LoggedRows, LoggedRows]:
    settings = scenario.settings
    history = settings.history
    requests = history.requests if training else min(_BRIEF_HISTORY, history.requests)
    arrivals = Arrivals(
        settings.seed,
        "history",
        requests=requests,
        start=-history.duration,
        duration=history.duration,
        hours=settings.traffic.hours,
        exact=False,
    )
    traffic = Traffic(settings.traffic, settings.seed, "history", arrivals)
    plan = HistoryPlan(
        seed=settings.seed,
        mean_view=settings.traffic.mean_view_rate,
        keep=float(history.keep) if training else 1.0,
        train_from=history.warmup - history.duration,
        evaluate_from=-settings.attribution.window - history.evaluation,
        evaluate_until=-settings.attribution.window,
        impute=history.labels == "imputed",
    )
    told = settings.purchases
    return log_history(
        traffic,
        campaigns,
        truth,
        keys,
        open_feed(told.told, told.delay or 0),
        plan,
        lambda done: progress("history", done, arrivals.total),
    )


def _fit(
    scenario: Scenario, kind: Any, params: Any, rows: LoggedRows, vocabulary: dict[str, tuple[str, ...]]
) -> FittedModel:
    if not kind.trains:
        ready: FittedModel = kind.ready()
        return replace(ready, vocabulary=vocabulary)
    if params.path is not None:
        folder = model_folder(scenario.folder, params.path)
        return load_model(folder, scenario.settings.traffic.vocabulary(), kind.__module__.rpartition(".")[2])
    if rows.label.sum() < 1:
        raise BidsimError(
            f"the history of {rows.logged} impressions holds no conversion to learn from; raise history.requests"
        )
    fitted: FittedModel = kind.fit(params, rows, vocabulary, scenario.settings.seed)
    return fitted


def _no_rates(predicted: NDArray[np.float64], weight: NDArray[np.float64]) -> str:
    """What to say of predictions outside 0 to 1; nothing where there are none."""
    out = ~((predicted >= 0.0) & (predicted <= 1.0))
    if not out.any():
        return ""
    share = float(weight[out].sum() / weight.sum())
    return (
        f"{max(share, 0.001):.1%} of the model's predictions on logged traffic lie outside 0 to 1 (they go from "
        f"{predicted.min():.3g} to {predicted.max():.3g}); bids are made of them as they are"
    )


def _evaluate(
    seats: list[str], predictions: list[NDArray[np.float64]], train: LoggedRows, later: LoggedRows
) -> dict[str, dict[str, Any]]:
    """Metrics on later logging-policy rows, each model beside the oracle and the base rate."""
    if later.label.sum() == 0 or later.label.min() == 1:
        return {seat: {} for seat in seats}
    weight = later.weight
    base = train.base_rate if train.label.sum() else later.base_rate
    oracle = evaluate(later.true_rate, later.label, weight, later.true_rate)
    guess = evaluate(np.full(len(later.label), base), later.label, weight, later.true_rate)
    rows = {"rows": later.logged, "conversions": int(later.label.sum())}
    found = {}
    for seat, predicted in zip(seats, predictions, strict=True):
        found[seat] = {
            "model": evaluate(predicted, later.label, weight, later.true_rate),
            "oracle": oracle,
            "base_rate": guess,
            **rows,
        }
    return found


def _as_trained(seats: list[str], fitted: list[FittedModel]) -> dict[str, dict[str, Any]]:
    """Metrics that models from files bring along, marked so.

    A brief history, in which users have seen few ads, would judge them by other traffic.
    """
    return {
        seat: {**model.metrics, "as_trained": True} if model.metrics else {}
        for seat, model in zip(seats, fitted, strict=True)
    }


def _with_figures(
    model: FittedModel,
    metrics: dict[str, Any],
    later: LoggedRows,
    names: Sequence[str],
    predicted: NDArray[np.float64],
) -> FittedModel:
    if model.mean_pcvr:
        return replace(model, metrics=metrics)
    return replace(model, metrics=metrics, mean_pcvr=_by_campaign(predicted, later, names))


def _delays(logs: Sequence[LoggedRows], line: NDArray[np.int64]) -> NDArray[np.int64]:
    """Quantiles of the delay by campaign, of its product line where that has conversions enough, else of all."""
    delay, campaign = (np.concatenate([getattr(log, name) for log in logs]) for name in ("delay", "campaign"))
    seen, of_line = delay >= 0, line[campaign]
    if not seen.any():
        return np.zeros((len(line), 0), np.int64)
    at = (np.arange(_DELAY_QUANTILES) + 0.5) / _DELAY_QUANTILES
    everyone = np.quantile(delay[seen], at)
    found = [
        np.quantile(own, at) if len(own := delay[seen & (of_line == one)]) >= _FEWEST_DELAYS else everyone
        for one in line
    ]
    return np.array(found).astype(np.int64)


def _by_campaign(rate: Any, rows: LoggedRows, names: Sequence[str]) -> dict[str, float]:
    """Weighted mean of a rate by campaign; campaigns without rows are left out."""
    weight = np.bincount(rows.campaign, rows.weight, len(names))
    total = np.bincount(rows.campaign, rows.weight * rate, len(names))
    return {name: float(total[k] / weight[k]) for k, name in enumerate(names) if weight[k] > 0}

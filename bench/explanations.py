"""Explanations: how fast attributions are, and how right effects are.

LightGBM's and shap's stand beside them, and the naive ways.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench import models
from bench.figures import Figure, Report, measured
from bidsim.cvr.ensemble import parse_ensemble
from bidsim.experiments.grading.applied import apply_advice
from bidsim.experiments.grading.grade import NAIVE, Graded, Score, grade_world, score_method, score_ours
from bidsim.experiments.worlds import share_models, worker_pool
from bidsim.explain.attribution import make_attributor
from bidsim.explain.shrinkage import Prior, known_prior
from bidsim.scenario.load import load_scenario

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

QUICKSTART = Path(__file__).resolve().parent.parent / "scenarios" / "quickstart.toml"
_COLUMNS = 30
_EXPLORED = 0.5
"""Share of traffic that is explored where advice is put to the test."""
_GOALS: dict[int, dict[str, str]] = {
    5_000: {
        "rank_correlation": ">= 0.65",
        "ordered_right": ">= 0.92",
        "spoken_signs_right": ">= 0.99",
        "spoken_share": ">= 0.35",
        "error_points": "<= 1.5",
        "worlds_with_null_spoken": "<= 0.05",
        "regret_points": "<= 1.0",
        "coverage": ">= 0.93",
    },
    12_000: {
        "rank_correlation": ">= 0.75",
        "ordered_right": ">= 0.95",
        "spoken_signs_right": ">= 0.99",
        "spoken_share": ">= 0.5",
        "error_points": "<= 1.0",
        "worlds_with_null_spoken": "<= 0.05",
        "regret_points": "<= 0.2",
        "coverage": ">= 0.93",
    },
    30_000: {
        "rank_correlation": ">= 0.85",
        "ordered_right": ">= 0.98",
        "spoken_signs_right": ">= 0.99",
        "spoken_share": ">= 0.65",
        "error_points": "<= 0.8",
        "worlds_with_null_spoken": "<= 0.05",
        "regret_points": "<= 0.2",
        "coverage": ">= 0.93",
    },
}
_UNITS = {
    "rank_correlation": "Spearman's, of sizes of effects, mean over worlds",
    "signs_right": "of levers that do something",
    "ordered_right": "of pairs more than 2 points apart",
    "error_points": "points of uplift, mean absolute",
    "regret_points": "points of uplift, of the first recommendation",
    "coverage": "of 95% intervals",
    "half_width": "points, median half-width of 95% intervals",
    "spoken_share": "of effects above 0.5% are spoken of",
    "spoken_signs_right": "of those spoken of",
    "worlds_with_null_spoken": "of worlds have a null lever spoken of",
    "own_error_points": "points of uplift, by advertiser, drawn to the others",
    "own_alone_error_points": "points of uplift, by advertiser, from its own evidence alone",
    "own_coverage": "of 95% intervals by advertiser",
    "own_half_width": "points, median half-width by advertiser",
    "own_spoken_signs_right": "of effects by advertiser that are spoken of",
}


def measure(options: Namespace) -> Report:
    """Measure attribution, then grade effects on worlds drawn from ``options.seed`` on."""
    report = Report("explanations", quick=options.quick)
    _attribution(report, options)
    worlds = options.worlds or (3 if options.quick else 20)
    prior = known_prior()
    sizes = (5_000,) if options.quick else tuple(_GOALS)
    with worker_pool(2) as pool:
        drawn = list(
            pool.map(grade_world, [options.seed * 1_000 + 200_000 + k for k in range(worlds)], [sizes] * worlds)
        )
    for k, conversions in enumerate(sizes):
        _grade(report, conversions, [world[k] for world in drawn], prior)
    _applied(
        report,
        options.seed,
        2 if options.quick else worlds,
        {"requests": 300_000, "history.requests": 600_000} if options.quick else {},
    )
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "grade.md").write_text(grade_table({f.id: f.value for f in report.figures}), encoding="utf-8")
    return report


def grade_table(found: Mapping[str, float | None]) -> str:
    """The grade as a Markdown table, from figures by their ids: ours and the naive ways, by randomised conversions."""
    ways = {
        "": "**bidsim**",
        "_difference_in_means": "difference in means, same slice",
        "_what_if": 'model "what if"',
        "_gain": "gain",
    }
    ways |= {"_mean_shap": "mean abs(SHAP)", "_permutation": "permutation"}
    columns = {
        "rank_correlation": ("rank correlation", "{:.2f}"),
        "ordered_right": ("pairs in order", "{:.1%}"),
        "signs_right": ("signs right", "{:.0%}"),
        "error_points": ("error, points", "{:.2f}"),
        "regret_points": ("regret, points", "{:.2f}"),
        "coverage": ("95% intervals hold", "{:.1%}"),
        "half_width": ("half-width, points", "{:.2f}"),
        "spoken_share": ("speaks of", "{:.0%}"),
        "spoken_signs_right": ("signs right of these", "{:.1%}"),
        "worlds_with_null_spoken": ("worlds with a null lever spoken of", "{:.0%}"),
    }
    lines = [
        f"| randomised conversions | method | {' | '.join(label for label, _ in columns.values())} |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for conversions in _GOALS:
        for suffix, name in ways.items():
            told = [found.get(f"c{conversions}{suffix}_{key}") for key in columns]
            if any(value is not None for value in told):
                cells = [
                    "" if value is None else form.format(value)
                    for value, (_, form) in zip(told, columns.values(), strict=True)
                ]
                lines.append(f"| {conversions:,} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _attribution(report: Report, options: Namespace) -> None:
    """Rows a second on one core: ours, LightGBM's ``pred_contrib`` and shap's TreeExplainer, in turn."""
    import lightgbm  # noqa: PLC0415  (slow to import)

    path = models.model(300, 63, _COLUMNS, categorical=True)
    text = path.read_text()
    booster, attributor = lightgbm.Booster(model_str=text), make_attributor(parse_ensemble(text, _COLUMNS))
    x = models.rows(2_000 if options.quick else 100_000, _COLUMNS, 3, missing=True)
    x[::50, 0] = 500.0  # a category that no tree knows
    attributor(x[:16])
    ours, theirs, worst, piece = [], [], 0.0, 200
    for repeat in range(3 if options.quick else 9):
        part = x[repeat * 2_000 % len(x) :][:2_000]
        begun = time.perf_counter()
        found = attributor(part)
        ours.append(len(part) / (time.perf_counter() - begun))
        begun = time.perf_counter()
        expected = np.asarray(booster.predict(part[:piece], pred_contrib=True, num_threads=1))
        theirs.append(piece / (time.perf_counter() - begun))
        worst = max(worst, float(np.abs(found[:piece] - expected[:, :-1]).max()))
    if not options.quick:
        worst = max(
            worst, float(np.abs(attributor(x) - np.asarray(booster.predict(x, pred_contrib=True))[:, :-1]).max())
        )
    report.add(
        measured(
            "attribution_rows_per_second", ours, "rows/s", note="one core, 300x63, 30 features, categories and NaN"
        )
    )
    report.add(measured("attribution_rows_per_second_lightgbm", theirs, "rows/s", note="pred_contrib on one thread"))
    report.add(
        measured("attribution_ratio_to_lightgbm", [a / b for a, b in zip(ours, theirs, strict=True)], "times", ">= 8")
    )
    report.add(
        Figure(
            "attribution_largest_difference",
            worst,
            "log-odds",
            goal="<= 1e-12",
            note=f"over {len(x) if not options.quick else 600:,} rows",
        )
    )


def _grade(report: Report, conversions: int, graded: Sequence[Graded], prior: Prior) -> None:
    found = np.mean([g.conversions for g in graded])
    report.add(
        Figure(
            f"c{conversions}_worlds",
            float(len(graded)),
            "worlds",
            note=f"{sum(len(g.levers) for g in graded)} levers, {found:,.0f} randomised conversions each",
        )
    )
    report.add(
        measured(
            f"c{conversions}_cost_of_exploring",
            [100 * g.change for g in graded],
            "%",
            note="more conversions than natural values would have brought, by world",
        )
    )
    _add(report, f"c{conversions}", score_ours(graded, prior), _GOALS[conversions])
    for name in NAIVE:
        _add(report, f"c{conversions}_{name}", score_method(graded, name), {})


def _applied(report: Report, seed: int, seeds: int, size: dict[str, int]) -> None:
    """Advice of `quickstart`'s pages, half of the traffic explored, taken and run again in the same world."""
    settings = {**size, "holdout.share": 0.0, "log.wins": 100_000}
    with tempfile.TemporaryDirectory() as folder:
        jobs = [load_scenario(QUICKSTART, {**settings, "seed": seed + k}) for k in range(seeds)]
        jobs = share_models(jobs, Path(folder), seed)
        with worker_pool(2) as pool:
            found = list(pool.map(apply_advice, jobs, [_EXPLORED] * seeds))
    each, every = [float(len(one)) for one in found], [a for one in found for a in one]
    report.add(measured("advice_given", each, "pieces of advice", ">= 10", note="by seed"))
    if every:
        report.add(
            Figure(
                "advice_holds",
                float(np.mean([a.holds for a in every])),
                "share",
                goal=">= 0.9",
                note=f"of {len(every)} effects lie in their intervals",
            )
        )
        report.add(
            Figure(
                "advice_worse_than_nothing",
                float(sum(a.harms for a in every)),
                "pieces of advice",
                goal="<= 0",
                note="earn less than doing nothing, by more than their interval",
            )
        )
        report.add(
            measured(
                "advice_error_points",
                [100 * abs(a.came - a.promised) for a in every],
                "points of uplift",
                note="promised less what came",
            )
        )


def _add(report: Report, name: str, score: Score, goals: dict[str, str]) -> None:
    for figure, unit in _UNITS.items():
        value = getattr(score, figure)
        if value is not None:
            report.add(Figure(f"{name}_{figure}", value, unit, goal=goals.get(figure, "")))

"""The advertiser's page: one self-contained HTML file each, an index of all, and the same content as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsim.explain.advertiser import describe_advertiser, describe_advertisers
from bidsim.explain.words import LEVERS, REASONS, action, feature
from bidsim.metrics.advertiser import account_of, advertisers_of
from bidsim.reports import charts
from bidsim.reports.files import write_page
from bidsim.reports.html import environment, whole_run
from bidsim.reports.sentences import effect_words, evidence, figure, headline_words, promise, trust_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from bidsim.core.result import Result

INDEX = "index.html"
_STEPS = {
    "matched": "requests that match the targeting",
    "eligible": "eligible (budget left, frequency cap not reached)",
    "bids": "bids",
    "wins": "impressions won",
    "views": "viewed",
    "clicks": "clicked",
    "conversions": "conversions attributed",
}


def write_advertiser(result: Result, advertiser: str, path: Path) -> Path:
    """Write one advertiser's page to ``path``, and its content beside it as JSON.

    Raises:
        UsageError: There is no such advertiser, or the place cannot be written.

    """
    with whole_run(result):
        content = describe_advertiser(result, advertiser)
    _write(content, path)
    return path


def write_advertisers(result: Result, folder: Path, progress: Callable[[int], None] = lambda done: None) -> Path:
    """Write all advertisers' pages and an index into a folder; return the index.

    Raises:
        UsageError: The folder cannot be written.

    """
    rows = []
    with whole_run(result):
        for k, (name, content) in enumerate(describe_advertisers(result)):
            file = f"{page_name(k, name)}.html"
            _write(content, folder / file)
            rows.append({"file": file, "content": content})
            progress(1)
    facts = {
        "scenario": result.facts.scenario,
        "seed": result.facts.seed,
        "hash": result.facts.scenario_hash,
    }
    write_page(folder / INDEX, environment(**_FILTERS).get_template("advertisers.html").render(rows=rows, **facts))
    return folder / INDEX


def advertiser_page(result: Result, advertiser: str) -> str:
    """File name of an advertiser's page within a run.

    Raises:
        UsageError: There is no such advertiser.

    """
    return f"{page_name(advertisers_of(result).index(account_of(result, advertiser).advertiser), advertiser)}.html"


def page_name(number: int, advertiser: str) -> str:
    """File name of a page: a number, and what of the name is safe anywhere."""
    plain = re.sub(r"[^a-z0-9]+", "-", advertiser.lower()).strip("-")[:40]
    return f"{number + 1:03d}-{plain}".rstrip("-")


def render_advertiser(content: dict[str, Any]) -> str:
    """Return a page as HTML; the same content gives the same bytes."""
    pictures = {
        "funnel": _loss_picture(content),
        "use": {
            seat: charts.bars(
                [feature(r["feature"]) for r in rows],
                [100 * r["share"] for r in rows],
                "% of all shares",
                "What the model uses",
            )
            for seat, rows in content["model"].items()
        },
        "effects": _effect_picture(content),
        "bids": _bid_picture(content),
        "trust": _trust_picture(content),
    }
    sentences = {"headline": headline_words(content), "effects": effect_words(content), "trust": trust_words(content)}
    return (
        environment(**_FILTERS)
        .get_template("advertiser.html")
        .render(pictures=pictures, sentences=sentences, funnel_rows=_funnel_rows(content), **content)
    )


def _write(content: dict[str, Any], path: Path) -> None:
    write_page(path, render_advertiser(content))
    write_page(path.with_suffix(".json"), json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True) + "\n")


def _funnel_rows(content: dict[str, Any]) -> list[dict[str, Any]]:
    rows, previous = [], None
    for name, label in _STEPS.items():
        count = content["funnel"]["steps"][name]
        rows.append({"name": label, "count": count, "share": count / previous if previous else None})
        previous = count
    return rows


def _loss_picture(content: dict[str, Any]) -> str:
    losses = content["funnel"]["losses"]
    won = content["funnel"]["steps"]["wins"] / max(content["funnel"]["steps"]["matched"], 1)
    return charts.bars(
        ["won", *(REASONS[r["reason"]] for r in losses)],
        [100 * won, *(100 * r["share"] for r in losses)],
        "% of matching requests",
        "Where opportunities went",
    )


def _effect_picture(content: dict[str, Any]) -> str:
    rows = content["effects"]["levers"]
    if not rows:
        return ""
    parts = [tuple(100 * row["uplift"][key] for key in ("value", "low", "high")) for row in rows]
    return charts.intervals(
        [action(r["lever"], r["change"]) for r in rows], parts, "% more conversions", "What changes conversions"
    )


def _bid_picture(content: dict[str, Any]) -> str:
    curve = content["bids"]["curve"]
    if len(curve) < 2 or not any(r["wins"] for r in curve):  # noqa: PLR2004
        return ""
    labels = [f"{figure(r['factor'], 'short')} x" for r in curve]
    return charts.labelled_line(
        [r["spend"] for r in curve],
        [r["conversions"] for r in curve],
        labels,
        "spend",
        "expected conversions",
        "What other bids would have bought",
    )


def _trust_picture(content: dict[str, Any]) -> str:
    groups = content["trust"]["groups"]
    if not groups:
        return ""
    observed = [(g["observed"]["value"], g["observed"]["low"], g["observed"]["high"]) for g in groups]
    return charts.points_with_errors(
        [g["predicted"] for g in groups],
        observed,
        "predicted conversions",
        "observed conversions",
        "Predicted and observed conversions",
    )


_FILTERS: dict[str, Callable[..., str]] = {
    "figure": figure,
    "action": lambda row: action(row["lever"], row["change"]),
    "lever": LEVERS.__getitem__,
    "feature": feature,
    "reason": REASONS.__getitem__,
    "promise": promise,
    "evidence": evidence,
    "clip": charts.short,
}

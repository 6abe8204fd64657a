"""Sentences of the advertiser's page, made from figures; they never say more than the figures do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bidsim.explain.words import action
from bidsim.metrics.intervals import rates_differ

_FORMS: dict[str, Callable[[float], str]] = {
    "money": "{:,.2f}".format,
    "whole": "{:,.0f}".format,
    "percent": lambda value: f"{100 * value:.1f}%",
    "change": lambda value: f"{100 * value:+.1f}%",
    "signed": "{:+,.1f}".format,
    "plus": "{:+,.2f}".format,
    "short": lambda value: f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}",  # noqa: PLR2004
}


def figure(value: float, form: str) -> str:
    """Write a number as its kind is read."""
    return _FORMS[form](value)


def between(interval: dict[str, float], form: str) -> str:
    """An interval in words."""
    return f"{figure(interval['low'], form)} to {figure(interval['high'], form)}"


def promise(row: dict[str, Any]) -> str:
    """What an action is expected to bring, in a period as long as the run."""
    found = row["conversions"]
    told = [
        f"Expected: {figure(row['uplift']['value'], 'change')} conversions, that is "
        f"{figure(found['value'], 'signed')} ({between(found, 'signed')}) in a period as long as this run"
    ]
    if row["spend"] is not None:
        told.append("at the same spend" if row["spend"] == 0 else f"spend {figure(row['spend'], 'signed')}")
    if row["cpa"] is not None:
        told.append(f"CPA {figure(row['cpa']['value'], 'money')} ({between(row['cpa'], 'money')})")
    if row["lever"] == "price":
        why = "each sale earns more: " if row["uplift"]["value"] < 0 < row["earnings"]["value"] else ""
        told.append(
            f"{why}what sales earn before media cost: {figure(row['earnings']['value'], 'change')} "
            f"({between(row['earnings'], 'change')})"
        )
    return "; ".join(told) + "."


def evidence(row: dict[str, Any]) -> str:
    """What an action's promise rests on, and how likely it is to be the wrong one."""
    wrong = ""
    if row["false_sign"] is not None and row["uplift"] is not None:
        believed = "more" if row["uplift"]["value"] > 0 else "fewer"
        wrong = f" With {figure(row['false_sign'], 'percent')} probability it does not bring {believed} conversions."
    return (
        f"Evidence: {row['impressions']:,} randomised impressions and {row['conversions_seen']:,} conversions of this "
        "advertiser, "
        f"{row['everyone']:,} conversions of all advertisers, towards whose effect this one is drawn.{wrong}"
    )


def headline_words(content: dict[str, Any]) -> list[str]:
    """How the halves differ, and what the ads caused."""
    facts = content["headline"]
    told = []
    late = facts["conversions_eventual"] - round(facts["conversions"]["value"])
    if late > 0 and not content["run"]["incidents"]:
        whole = facts["conversions_eventual"]
        cpa = figure(facts["spend"] / whole, "money")
        told.append(
            f"Conversions are those reported by the end of the run. {late:,} more come later from the same ads, "
            f"{whole:,} in all: a CPA of {cpa}."
        )
    before, after = facts["preceding"]["cpa"], facts["latest"]["cpa"]
    if before and after:
        first, second = (
            (round(half["conversions"]["value"]), half["spend"]) for half in (facts["preceding"], facts["latest"])
        )
        apart = rates_differ(first, second)
        direction = "more" if after["value"] > before["value"] else "less"
        if apart:
            told.append(
                f"A conversion of the latest half's ads cost {direction} ({figure(after['value'], 'money')}) than one "
                f"of the preceding half's ({figure(before['value'], 'money')})."
            )
        else:
            told.append("The two halves do not differ in CPA by more than chance explains.")
    if facts["incremental"]["estimate"] is None:
        told.append("How many purchases the ads caused is unknown: no users were held out (holdout.share), or too few.")
    else:
        found = facts["incremental"]["estimate"]
        sure = (
            ""
            if found["low"] > 0
            else " It may be that they caused none."
            if found["high"] >= 0
            else " By chance, most likely: users held out bought more."
        )
        told.append(
            f"Compared with users held out, the ads caused {figure(found['value'], 'whole')} purchases "
            f"({between(found, 'whole')}).{sure}"
        )
        if facts["incremental"]["truth"] is not None:
            told.append(f"This world is simulated, so the truth is known: it was {facts['incremental']['truth']:,}.")
    return told


def effect_words(content: dict[str, Any]) -> list[str]:
    """Where the model would mislead whoever took it for causes."""
    return [
        f"{action(row['lever'], row['change'])}: the model would expect {figure(row['model_says'], 'change')}, dice "
        f"found {figure(row['uplift']['value'], 'change')} "
        f"({between(row['uplift'], 'change')}). Do not read the model as advice here."
        for row in content["effects"]["levers"]
        if row["disagrees"]
    ]


def trust_words(content: dict[str, Any]) -> list[str]:
    """Whether the model predicts too many or too few conversions for this advertiser."""
    trust = content["trust"]
    seen = (
        f"{trust['impressions']:,} kept impressions older than the attribution window, {trust['conversions']:,} "
        "conversions"
    )
    if trust["over_observed"] is None:
        return [f"Too few conversions to say: {seen}."]
    ratio = trust["over_observed"]
    verdict = (
        "no more than chance explains"
        if ratio["low"] <= 1 <= ratio["high"]
        else "too many"
        if ratio["value"] > 1
        else "too few"
    )
    times = f"{figure(ratio['value'], 'short')} times as many ({between(ratio, 'short')})"
    return [
        f"{seen[0].upper()}{seen[1:]}; the model predicted {figure(trust['predicted'], 'short')}, {times}: {verdict}."
    ]

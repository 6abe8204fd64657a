"""Which pricing rule do payments obey? The evidence in prices paid against bids.

First price leaves all its payments at the bid; second price leaves them at the next bid or the floor, and the ratio of
payment to bid without a point mass. A point mass at a fixed share of the bid, in what is sold as second price, is the
mark of a bid that the seller makes up (a "ghost" next bid, or a fee taken by raising the price).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_NEARLY_ALL = 0.99
_SURELY = 0.95
"""A rule is named where at least this share of payments, by the lower end of a 95% interval, obeys it."""
_FEWEST_AT_FLOOR = 20
"""Payments that there must be on either side of a soft floor."""
_RATIO_STEP = 0.001
_EXCESS = 6.0
"""How many standard errors a ratio must stand out from its neighbours."""
_LEAST_SHARE = 0.01
_NEAR = 20
"""Neighbouring ratios on either side that a point mass is compared with."""


@dataclass(frozen=True)
class Finding:
    """What an audit found.

    Attributes:
        rule: ``first price``, ``second price``, ``soft floor``, ``second price with a point mass`` or ``unknown``.
        sentence: The finding in words.
        evidence: Figures behind it.

    """

    rule: str
    sentence: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


def audit(
    bid: NDArray[np.float64], payment: NDArray[np.float64], least: NDArray[np.float64] | None = None, unit: float = 1.0
) -> Finding:
    """Say which rule payments obey.

    Args:
        bid: float64[n], winning bids.
        payment: float64[n], what was paid, in the same unit.
        least: float64[n], lowest bid that would have won (the next bid or the floor), where it is known.
        unit: Smallest step of money, within which amounts count as equal.

    """
    keep = bid > 0
    bid, payment = bid[keep], payment[keep]
    if not len(bid):
        return Finding("unknown", "There is no payment to look at.", {"payments": 0})
    own = np.abs(payment - bid) <= unit
    evidence: dict[str, Any] = {
        "payments": len(bid),
        "paid_the_bid": float(own.mean()),
        "mean_payment_over_bid": float((payment / bid).mean()),
    }
    explained = None
    if least is not None:
        explained = np.abs(payment - least[keep]) <= 2 * unit
        evidence["paid_the_next_bid_or_floor"] = float(explained.mean())
    return _finding(bid, own, explained, _point_mass((payment / bid)[~own]), evidence)


def _finding(
    bid: NDArray[np.float64],
    own: NDArray[np.bool_],
    explained: NDArray[np.bool_] | None,
    mass: tuple[float, float, float] | None,
    evidence: dict[str, Any],
) -> Finding:
    """Name the rule that the evidence speaks for."""
    soft = _soft_floor(bid, own) if own.any() else None
    ratio, count = evidence["mean_payment_over_bid"], len(bid)
    first, second = own.mean() >= _NEARLY_ALL, explained is not None and explained.mean() >= _NEARLY_ALL
    rule, sentence = "unknown", "Payments obey none of the rules that are looked for."
    if first and second:
        sentence = (
            f"Of {count:,} payments nearly all are the winner's own bid and the next bid or the floor, too, "
            "so first price and second price cannot be told apart."
        )
    elif first:
        rule, sentence = _named("first price", "the winner's own bid", own)
    elif mass is not None:
        at, share, expected = mass
        evidence |= {"point_mass_at": at, "share_there": share, "share_expected_there": expected}
        rule = "second price with a point mass"
        sentence = (
            f"{share:.1%} of payments below the bid lie at {at:.3f} of it, where {expected:.2%} would be "
            "expected: a next bid seems to be made up there."
        )
    elif second and explained is not None:
        rule, sentence = _named("second price", "the next bid or the floor", explained)
    elif soft is not None:
        evidence["soft_floor"] = soft
        rule, sentence = (
            "soft floor",
            f"Winning bids below {soft:.6g} pay themselves and those above pay less: a soft floor lies there.",
        )
    elif explained is None and own.mean() < 1.0 - _NEARLY_ALL:
        if _at_least(~own) >= _SURELY:
            rule = "second price"
            sentence = (
                f"Payments lie below bids ({ratio:.2f} of them on average) without a point mass, as in second price."
            )
        else:
            sentence = f"All {count:,} payments lie below bids, as in second price, but they are too few to be sure."
    return Finding(rule, sentence, evidence)


def _named(rule: str, what: str, obeys: NDArray[np.bool_]) -> tuple[str, str]:
    """A rule that nearly all payments obey and its sentence; unknown where they are too few to be sure."""
    told, least = f"{obeys.mean():.1%} of {len(obeys):,} payments are {what}", _at_least(obeys)
    if least >= _SURELY:
        return rule, f"{told}: this is {rule}."
    return (
        "unknown",
        f"{told}, as in {rule}, but they are too few to be sure (of all, it may be as little as {least:.0%}).",
    )


def _at_least(obeys: NDArray[np.bool_]) -> float:
    """Lower end of the 95% interval of a share (Clopper and Pearson 1934)."""
    from scipy.special import betaincinv  # noqa: PLC0415  (slow to import)

    count = int(obeys.sum())
    return float(betaincinv(count, len(obeys) - count + 1, 0.025)) if count else 0.0


def _point_mass(ratio: NDArray[np.float64]) -> tuple[float, float, float] | None:
    """A ratio of payment to bid that stands out.

    The triple is the ratio, the share of payments there, and the share expected from its neighbours.
    """
    if len(ratio) < 1 / _LEAST_SHARE:
        return None
    counts = np.bincount(
        np.clip(np.rint(ratio / _RATIO_STEP), 0, 1 / _RATIO_STEP).astype(np.int64), minlength=round(1 / _RATIO_STEP) + 1
    ).astype(float)
    best = -1
    for k in np.flatnonzero(counts >= _LEAST_SHARE * len(ratio)).tolist():
        low, high = max(k - _NEAR, 0), min(k + _NEAR + 1, len(counts))
        near = np.delete(counts[low:high], k - low)
        expected = max(float(np.median(near)), 1.0)
        if (
            counts[k] - expected > _EXCESS * np.sqrt(expected)
            and counts[k] > 3 * expected
            and (best < 0 or counts[k] > counts[best])
        ):
            best = k
    if best < 0:
        return None
    low, high = max(best - _NEAR, 0), min(best + _NEAR + 1, len(counts))
    exact = ratio[np.rint(ratio / _RATIO_STEP) == best]
    return (
        float(np.median(exact)),
        float(counts[best] / len(ratio)),
        float(np.median(np.delete(counts[low:high], best - low)) / len(ratio)),
    )


def _soft_floor(bid: NDArray[np.float64], own: NDArray[np.bool_]) -> float | None:
    """The bid that best splits those who pay themselves from those who do not.

    None where none does, for a tie pays itself, too, anywhere.
    """
    order = np.argsort(bid, kind="stable")
    flags = own[order]
    right = np.cumsum(flags) + (~flags).sum() - np.cumsum(~flags)
    at = int(np.argmax(right))
    below, themselves = at + 1, int(flags[: at + 1].sum())
    splits = (
        right[at] / len(bid) >= _NEARLY_ALL
        and themselves >= _NEARLY_ALL * max(below, own.sum())
        and below >= max(_LEAST_SHARE * len(bid), _FEWEST_AT_FLOOR)
        and len(bid) - below >= _FEWEST_AT_FLOOR
    )
    return float(bid[order][min(at + 1, len(bid) - 1)]) if splits else None

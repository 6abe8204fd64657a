"""Several positions in one request: generalised second price, VCG, laddered prices, and Varian's equilibria."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bidsim.experiments.truths.cases import Estimate
from bidsim.experiments.truths.worlds import rows_of, simulate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_AUCTIONS = 50


def _priced(
    seed: int, pricing: str, bids: Sequence[float], quality: Sequence[float], slots: Sequence[float]
) -> list[tuple[int, float]]:
    """Position (-1 none) and price per click of each bidder, from one auction of the engine."""
    top = max(quality)
    names = [f"bidder-{k:02d}" for k in range(len(bids))]
    share = [q / top for q in quality]
    # what a bidder values is an impression, so that value over expected clicks is the bid per click
    own = {name: {"type": "point", "value": b * q} for name, b, q in zip(names, bids, share, strict=True)}
    values = {"kind": "independent", "own": own, "quality": dict(zip(names, share, strict=True))}
    auction = {"format": pricing, "charge": "click", "positions": [float(x) / float(slots[0]) for x in slots]}
    result = simulate(
        seed,
        _AUCTIONS,
        {name: {"policy": "truthful"} for name in names},
        values=values,
        auction=auction,
        keep_wins=True,
    )
    found = []
    for name in names:
        position, price = rows_of(result, "auctions", name, "position", "price_nanos")
        found.append((int(position[0]), float(price[0])) if len(position) else (-1, 0.0))
    return found


def position_auction(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """Prices and places by bid times quality (check ``position``)."""
    bids, slots = params["bids"], params["slots"]
    quality = params.get("quality") or [1.0] * len(bids)
    found: dict[str, float] = {}
    for label, pricing in (("gsp", "gsp"), ("vcg", "vcg"), ("laddered", "laddered")):
        revenue = 0.0
        for k, (slot, price) in enumerate(_priced(seed, pricing, bids, quality, slots)):
            paid = price * quality[k] * slots[slot] if slot >= 0 else 0.0
            revenue += paid
            found |= {f"{label}_ppc_{k}": price, f"{label}_pay_{k}": paid, f"slot_{k}": float(slot)}
        found[f"{label}_revenue"] = revenue
    return {name: Estimate(value) for name, value in found.items()}


def symmetric_equilibria(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """Bounds of Varian's symmetric Nash equilibria, bid in the engine's generalised second price (check ``sne``)."""
    slots = [float(x) for x in params["slots"]]
    values = sorted((float(v) for v in params["values"]), reverse=True)
    sold = min(len(slots), len(values))
    found: dict[str, float] = {}
    for label, ahead in (("lower", 0), ("upper", 1)):
        # price of position s: sum over t > s of v_t (x_{t-1} - x_t) / x_s, with v_{t-1} for the upper bound (Varian
        # 2007, equations 7 and 8)
        prices = []
        for s in range(sold):
            total = 0.0
            for t in range(s + 1, sold + 1):
                below = slots[t] if t < len(slots) else 0.0
                worth = values[t - ahead] if t < len(values) else 0.0
                total += worth * (slots[t - 1] - below)
            prices.append(total / slots[s])
        bids = [max([2.0 * values[0], *(2.0 * p for p in prices)]), *prices]
        bids = [*bids, *values[len(bids) :]][: len(values)]
        placed = _priced(seed, "gsp", bids, [1.0] * len(bids), slots)
        found[f"revenue_{label}"] = sum(price * slots[slot] for slot, price in placed if slot >= 0)
        for slot, price in placed:
            if slot >= 0:
                found[f"ppc_{label}_{slot}"] = price
    return {name: Estimate(value) for name, value in found.items()}

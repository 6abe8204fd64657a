"""What observers counted, as arrays by window: the finest cells, and the slices that are sums of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.errors import UsageError

if TYPE_CHECKING:
    from bidsim.core.result import Result

ALL = "all traffic"
WHOLE, LEVEL, OWNER, PART = range(4)
"""Kinds of slices: all traffic, a level of a field (or of a pair), an advertiser or product, and its part of a
level."""
_OF_ALL_ROWS = ("offers", "offered_pcvr_sum")
_COLUMNS = (
    "wins",
    "views",
    "clicks",
    "payment_nanos",
    "arrived",
    "converted",
    "pcvr_sum",
    "true_rate_sum",
    "log_likelihood_sum",
)


@dataclass(frozen=True)
class TrafficSlice:
    """A part of the traffic.

    Attributes:
        field: Field, or pair of fields; empty for all levels.
        level: Its level.
        advertiser: Whose impressions; empty for everyone's.
        product: Of which product, where slices are not by advertiser.

    """

    field: str = ""
    level: str = ""
    advertiser: str = ""
    product: str = ""

    @property
    def name(self) -> str:
        """How it is called."""
        owner = self.advertiser or self.product
        where = f"{self.field} = {self.level}" if self.field else ""
        return ", ".join(part for part in (owner, where) if part) or ALL


@dataclass(frozen=True)
class Cells:
    """Counts by window, level and group.

    Attributes:
        window: Length of a window, microseconds.
        levels: (field, level) of each level.
        groups: (advertiser, product) of each group.
        columns: Name -> float64[windows, levels, groups].

    """

    window: int
    levels: list[tuple[str, str]]
    groups: list[tuple[str, str]]
    columns: dict[str, NDArray[np.float64]]

    @property
    def windows(self) -> int:
        """How many windows there are."""
        return int(self.columns["wins"].shape[0])

    def first_field(self) -> NDArray[np.int64]:
        """Levels of the first field, which together are all traffic."""
        return np.flatnonzero([field == self.levels[0][0] for field, _ in self.levels])


def read_cells(result: Result) -> Cells:
    """Counts of a run's whole windows; one that the end cuts off is left out, for fewer reports come in it.

    Raises:
        UsageError: The run has no slices, as in a world of drawn values.

    """
    table, facts = result.tables["slices"], result.facts
    if not len(table["start_us"]):
        uncounted = 'monitoring.rows is "none"' if facts.watch_rows == "none" else "nothing was won"
        raise UsageError(
            "the run has no slices to watch: "
            f"{'its values are drawn and no user is simulated' if facts.values_are_drawn else uncounted}"
        )
    window, duration = facts.watch_window_us, facts.duration_us
    levels, level = _coded(table["field"], table["level"])
    groups, group = _coded(table["advertiser"], table["product"])
    at = np.asarray(table["start_us"]) // window
    whole = at < duration // window
    columns = {}
    for name in (*_COLUMNS, *(extra for extra in _OF_ALL_ROWS if extra in table)):
        columns[name] = np.zeros((duration // window, len(levels), len(groups)))
        columns[name][at[whole], level[whole], group[whole]] = np.asarray(table[name])[whole]
    return Cells(window, levels, groups, columns)


def _coded(first: list[str], second: list[str]) -> tuple[list[tuple[str, str]], NDArray[np.int64]]:
    """Distinct pairs, those of one field together, and the place of each row among them."""
    rows = list(zip(first, second, strict=True))
    known = list(dict.fromkeys(rows))
    order = {field: k for k, field in enumerate(dict.fromkeys(f for f, _ in known))}
    known.sort(key=lambda pair: order[pair[0]])
    place = {pair: k for k, pair in enumerate(known)}
    return known, np.array([place[row] for row in rows], np.int64)


@dataclass(frozen=True)
class Slicing:
    """Every slice that is watched, as sums of cells.

    Attributes:
        slices: The slices: all traffic, levels, owners, and owners' parts of levels.
        kind: int64[slices], `WHOLE`, `LEVEL`, `OWNER` or `PART`.
        owners: float64[owners, groups], which groups an owner (advertiser, or product) has.
        of_all: Levels of the first field.

    """

    slices: list[TrafficSlice]
    kind: NDArray[np.int64]
    owners: NDArray[np.float64]
    of_all: NDArray[np.int64]

    def total(self, cells: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums of cells [windows, levels, groups] for every slice, float64[windows, slices]."""
        by_level = cells.sum(axis=2)
        by_owner = cells @ self.owners.T
        mine = by_owner[:, self.of_all].sum(axis=1)
        parts = [by_level[:, self.of_all].sum(axis=1, keepdims=True), by_level]
        if len(self.owners) > 1:
            parts += [mine, by_owner.reshape(len(cells), -1)]
        return np.concatenate(parts, axis=1)


def slicing_of(cells: Cells) -> Slicing:
    """Slices of a run."""
    named = bool(cells.groups[0][0])
    owners = sorted({(a if named else p) for a, p in cells.groups})
    belongs = np.array([[owner == (a if named else p) for a, p in cells.groups] for owner in owners], np.float64)
    slices, kind = (
        [TrafficSlice(), *(TrafficSlice(f, v) for f, v in cells.levels)],
        [WHOLE] + [LEVEL] * len(cells.levels),
    )
    if len(owners) > 1:

        def part(owner: str, field: str = "", level: str = "") -> TrafficSlice:
            return TrafficSlice(field, level, advertiser=owner if named else "", product="" if named else owner)

        slices += [part(o) for o in owners] + [part(o, f, v) for f, v in cells.levels for o in owners]
        kind += [OWNER] * len(owners) + [PART] * (len(owners) * len(cells.levels))
    return Slicing(slices, np.array(kind), belongs, cells.first_field())

"""When requests arrive: a non-homogeneous Poisson process with an hour-of-week shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bidsim.core.datasets import load_dataset
from bidsim.core.errors import UsageError
from bidsim.core.kernel import kernel
from bidsim.core.random import stream_key, uniform
from bidsim.core.units import DAY, HOUR, MINUTE
from bidsim.kernels.choose import poisson_quantile

if TYPE_CHECKING:
    from bidsim.traffic.settings import DailyWave

_HOURS_PER_WEEK = 168
_PIECE = 16.0


def hour_shape(hours: str) -> NDArray[np.float64]:
    """Share of a week's traffic in each of its 168 hours, from Monday 0:00."""
    shape = np.asarray(load_dataset("ipinyou")["hours"]) if hours == "ipinyou" else np.ones(_HOURS_PER_WEEK)
    return shape / shape.sum()


def minute_weights(start: int, duration: int, hours: str | DailyWave) -> NDArray[np.float64]:
    """Share of the expected traffic in each minute of [start, start + duration), float64[minutes].

    Args:
        start: Microseconds, a whole minute; t = 0 is a Monday, 0:00.
        duration: Microseconds; a last part of a minute counts by its length.
        hours: Name of the shape, see `hour_shape`, or a wave.

    """
    minutes = np.arange(-(-duration // MINUTE), dtype=np.int64)
    begin = start + minutes * MINUTE
    if isinstance(hours, str):
        weights = hour_shape(hours)[(begin // HOUR) % _HOURS_PER_WEEK]
    else:
        # the mean of the wave over the minute, so that the curve is exact at its ends
        turn = 2.0 * np.pi / DAY
        ends = turn * (np.stack([begin, begin + MINUTE]) - hours.peak_hour * HOUR)
        weights = 1.0 + hours.amplitude * (np.sin(ends[1]) - np.sin(ends[0])) / (turn * MINUTE)
    lengths = np.minimum(MINUTE, duration - minutes * MINUTE) / MINUTE
    weights = weights * lengths
    return np.ascontiguousarray(weights / weights.sum())


class Arrivals:
    """Arrival times of one stream of requests; any part of it can be drawn at any time.

    Attributes:
        total: Number of requests in the stream.
        curve: float64[minutes + 1], share of the *expected* traffic before each minute.

    """

    def __init__(
        self, seed: int, stream: str, *, requests: int, start: int, duration: int, hours: str | DailyWave, exact: bool
    ) -> None:
        self.start = start
        self.duration = duration
        weights = minute_weights(start, duration, hours)
        self.curve = np.concatenate([[0.0], np.cumsum(weights)])
        self._key_times = stream_key(seed, f"{stream}/times")
        key = stream_key(seed, f"{stream}/counts")
        if exact:
            counts = np.zeros(len(weights), np.int64)
            _scatter_exact(key, requests, self.curve, counts)
        else:
            counts = _poisson_counts(key, weights * requests)
        self._first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.total = int(self._first[-1])

    def check(self, lo: int, hi: int) -> None:
        """Refuse requests that the stream does not have.

        Raises:
            UsageError: It does not have them.

        """
        if not 0 <= lo <= hi <= self.total:
            raise UsageError(
                f"requests {lo:,} to {hi:,} are not all there: the stream has {self.total:,}, from 0 on (without "
                'count = "exact" the number of requests that a scenario names is the expected one)'
            )

    def fill(self, lo: int, times: NDArray[np.int64]) -> None:
        """Write the times of requests ``lo`` to ``lo + len(times)``, sorted, in microseconds.

        Raises:
            UsageError: The stream has no such requests.

        """
        self.check(lo, lo + len(times))
        _fill_times(self._key_times, self._first, self.start, self.duration, lo, times)


@kernel(allocates=True)
def _poisson_counts(key: np.uint64, means: NDArray[np.float64]) -> NDArray[np.int64]:
    """Poisson counts; a large mean is the sum of independent pieces that inversion can serve."""
    counts = np.zeros(means.shape[0], np.int64)
    for minute in range(means.shape[0]):
        pieces = int(means[minute] / _PIECE) + 1
        for piece in range(pieces):
            counts[minute] += poisson_quantile(means[minute] / pieces, uniform(key, minute, piece, 0))
    return counts


@kernel()
def _scatter_exact(key: np.uint64, requests: int, curve: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
    """Give each of ``requests`` its minute independently: a Poisson process conditioned on its total."""
    last = counts.shape[0] - 1
    for r in range(requests):
        counts[min(np.searchsorted(curve, uniform(key, r, 0, 0), side="right") - 1, last)] += 1


@kernel(allocates=True)
def _sorted_times(key: np.uint64, minute: int, begin: int, length: float, count: int) -> NDArray[np.int64]:
    """Draw ``count`` uniform times within a minute, sorted.

    Spread over as many buckets as there are, then put in order.
    """
    place = np.zeros(count + 1, np.int64)
    for i in range(count):
        place[int(uniform(key, minute, i, 0) * count) + 1] += 1
    for b in range(count):
        place[b + 1] += place[b]
    drawn = np.empty(count, np.int64)
    for i in range(count):
        u = uniform(key, minute, i, 0)
        bucket = int(u * count)
        drawn[place[bucket]] = begin + int(u * length)
        place[bucket] += 1
    for i in range(1, count):
        late, at = drawn[i], i
        while at > 0 and drawn[at - 1] > late:
            drawn[at] = drawn[at - 1]
            at -= 1
        drawn[at] = late
    return drawn


@kernel(allocates=True)
def _fill_times(
    key: np.uint64, first: NDArray[np.int64], start: int, duration: int, lo: int, times: NDArray[np.int64]
) -> None:
    hi = lo + times.shape[0]
    minute = np.searchsorted(first, lo, side="right") - 1
    at = lo
    while at < hi:
        count: Any = first[minute + 1] - first[minute]
        length = min(float(MINUTE), float(duration - minute * MINUTE))
        drawn = _sorted_times(key, int(minute), int(start + minute * MINUTE), length, count)
        upto = min(hi, first[minute + 1])
        for r in range(at, upto):
            times[r - lo] = drawn[r - first[minute]]
        at = max(at, upto)
        minute += 1

"""`Simulation`: a built world that can be run once, chunk by chunk, and gives a `Result`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import CAPACITY
from bidsim.core.errors import BidsimError
from bidsim.core.reference import ref
from bidsim.engine.ahead import chunks_ahead
from bidsim.engine.loop import finish_conversions, run_requests
from bidsim.engine.output import Names, output_tables
from bidsim.engine.purchases import advance_all
from bidsim.engine.store import bytes_per_user, grown
from bidsim.engine.tables import Chunk, Simulated, roomier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bidsim.core.requests import Latent, Requests
    from bidsim.core.result import Columns
    from bidsim.traffic.stream import Traffic

CHUNK = 65_536


@dataclass(frozen=True)
class Plugins:
    """Kernels of a run, in the order that the groups' numbers refer to."""

    formats: Sequence[Any]
    scorers: Sequence[Any]
    policies: Sequence[Any]
    notices: Sequence[Any]
    pacers: Sequence[Any]
    settlers: Sequence[Any]

    def tuples(self) -> tuple[tuple[Any, ...], ...]:
        """Tuples of equal length for every run, so that the loop is compiled once.

        Raises:
            BidsimError: A family has more kernels than there is room for.

        """
        return tuple(_padded(list(kernels)) for kernels in (self.formats, self.scorers, self.policies, self.notices, self.pacers, self.settlers))


def _padded(kernels: list[Any]) -> tuple[Any, ...]:
    if len(kernels) > CAPACITY:
        raise BidsimError(f"a run holds at most {CAPACITY} different plug-ins of one family, this one has {len(kernels)}")
    return tuple(kernels + kernels[:1] * (CAPACITY - len(kernels)))


@dataclass
class Simulation:
    """A built world.

    Attributes:
        sim: Everything the loop works on.
        traffic: The stream of requests.
        rivals: Fills the rivals' bids of a batch.
        depth: Rival bids per request.
        plugins: Kernels.
        names: Names behind the codes.
        chunk: Requests generated at a time; results do not depend on it.
        seconds: Wall time by stage, filled as it runs.

    """

    sim: Simulated
    traffic: Traffic
    rivals: Callable[[Requests, Latent, Any], None]
    depth: int
    plugins: Plugins
    names: Names
    chunk: int = CHUNK
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Number of requests that will come."""
        return self.traffic.arrivals.total

    def run(self, progress: Callable[[int], None] = lambda done: None) -> dict[str, Columns]:
        """Run to the end and return the tables; ``progress`` is called with the requests done since the last call."""
        kernels = self.plugins.tuples()
        begun = time.perf_counter()
        for chunk in chunks_ahead(self.total, self.chunk, self._generate):
            at, count = 0, len(chunk.requests.time)
            while (at := run_requests(ref(self.sim), ref(chunk), kernels, at)) < count:
                self._grow()
            progress(count)
        incremental = self._finish()
        self.seconds["loop"] = time.perf_counter() - begun
        return output_tables(self.sim, self.names, self.total, incremental)

    def facts(self) -> dict[str, Any]:
        """What a manifest says of the run."""
        return {
            "requests": self.total,
            "sampling": {"auctions": self.sim.rules.keep_wins, "requests": self.sim.rules.keep_decisions, "landscape": 1 / self.sim.rules.landscape_every},
            "users_seen": int(self.sim.store.used[0]),
            "state_bytes_per_user": round(bytes_per_user(self.sim.store), 1),
        }

    def _generate(self, lo: int, hi: int) -> Chunk:
        requests, latent = self.traffic.chunk(lo, hi)
        rivals = np.zeros((hi - lo, self.depth), np.int64)
        self.rivals(requests, latent, rivals)
        return Chunk(requests, latent, rivals)

    def _grow(self) -> None:
        campaigns = len(self.sim.campaigns.id)
        logs = self.sim.logs
        self.sim = self.sim._replace(
            store=grown(self.sim.store, len(self.sim.truth.line_id)),
            logs=logs._replace(wins=roomier(logs.wins, 1), decisions=roomier(logs.decisions, campaigns), conversions=roomier(logs.conversions, 1)),
        )

    def _finish(self) -> NDArray[np.int64]:
        """Let the run's last purchases happen, take stock, then let late ones come in.

        Returns:
            The clocks at the end of the run, int64[clocks, columns].

        """
        sim = self.sim
        end = sim.rules.duration
        while not finish_conversions(ref(self.sim), end - 1):
            self._grow()
        advance_all(ref(self.sim.store), ref(sim.truth), ref(sim.keys), end - 1)
        clocks = self.sim.store.clocks[: int(self.sim.store.used[1])].copy()
        while not finish_conversions(ref(self.sim), end + sim.truth.window):
            self._grow()
        return clocks
